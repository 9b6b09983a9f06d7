//! `gondola-router`: the program of a pipeline's router, resolver and analyzer.

use std::process::ExitCode;

mod command;

fn main() -> ExitCode {
    command::run()
}
