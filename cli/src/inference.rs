//! The program that runs variants, `gondola-inference`, for what needs their models.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use clap::Args;

const PROGRAM: &str = "gondola-inference";

/// Arguments of one of its commands.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// Everything that the command of `gondola-inference` takes; --help lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes `gondola-inference COMMAND ARGUMENTS`; returns only if that program can't be run.
pub(super) fn become_it(command: &str, arguments: &Arguments) -> anyhow::Result<Infallible> {
    let program = program();
    let failed = Command::new(&program)
        .arg(command)
        .args(&arguments.arguments)
        .exec();
    Err(failed).with_context(|| {
        format!(
            "cannot run {}; put {PROGRAM} beside this program, or into a folder of PATH",
            program.display()
        )
    })
}

/// The program beside this one, or the one that PATH has.
fn program() -> PathBuf {
    let beside = std::env::current_exe().map(|this| this.with_file_name(PROGRAM));
    beside
        .ok()
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PROGRAM.into())
}
