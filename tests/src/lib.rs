//! Tests that cross crates, and what their programs share.

pub mod http;
pub mod server;
pub mod visitors;
