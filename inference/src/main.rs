//! `gondola-inference`: the data plane's program.

use std::process::ExitCode;

mod command;

fn main() -> ExitCode {
    command::run()
}
