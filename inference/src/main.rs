//! `gondola-inference`: the data plane's program.
fn main() {}
