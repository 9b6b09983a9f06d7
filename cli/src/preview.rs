//! `gondola experiment preview`: what a variant would bring, by traffic that was logged, by the program that runs variants.

use std::convert::Infallible;
use std::ffi::OsString;

use clap::Args;

use super::inference;

/// Arguments of `preview`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// Everything that `gondola-inference preview` takes; --help lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes `gondola-inference preview`; returns only if that program can't be run.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Infallible> {
    inference::become_it("preview", &arguments.arguments)
}
