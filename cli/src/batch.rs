//! `gondola batch`: the recommendations of everybody, by the program that runs variants.

use std::convert::Infallible;
use std::ffi::OsString;

use clap::Args;

use super::inference;

/// Arguments of `batch`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// Everything that `gondola-inference batch` takes; --help lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes `gondola-inference batch`; returns only if that program can't be run.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Infallible> {
    inference::become_it("batch", &arguments.arguments)
}
