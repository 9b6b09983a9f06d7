//! `gondola-inference`: the program of a variant's pod, and of a whole pipeline on one machine.

use std::process::ExitCode;

mod command;

fn main() -> ExitCode {
    command::run()
}
