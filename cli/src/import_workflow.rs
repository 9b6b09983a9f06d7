//! `gondola import-workflow`: a workflow of NVTabular, exported, becomes one of ours.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use gondola_models::features::merlin::{Choices, import};
use gondola_models::scoring::check::Inputs;

/// Arguments of `import-workflow`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder that examples/merlin/export_workflow.py wrote.
    exported: PathBuf,
    /// Folder of a features bundle, which gets workflow.json, vocabulary/ and lookup/; created where it is missing.
    #[arg(long)]
    into: PathBuf,
    /// Raw columns of users, separated by commas; default: what Merlin's tags say.
    #[arg(long, value_delimiter = ',')]
    user: Vec<String>,
    /// Raw columns of items, separated by commas; default: what Merlin's tags say.
    #[arg(long, value_delimiter = ',')]
    item: Vec<String>,
    /// Outputs of the workflow that no model reads, such as a label, separated by commas.
    #[arg(long, value_delimiter = ',')]
    leave_out: Vec<String>,
}

/// Imports; returns the report for people: what models read, and where it differs from NVTabular.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<String> {
    let Arguments {
        exported,
        into,
        user,
        item,
        leave_out,
    } = arguments;
    ensure!(
        !into.join("workflow.json").exists(),
        "{} has a workflow already; name another folder, or remove workflow.json, vocabulary/ and lookup/ from it",
        into.display()
    );
    let choices = Choices {
        user,
        item,
        leave_out,
    };
    let imported = import(&exported, &choices)?;
    std::fs::create_dir_all(&into).with_context(|| format!("cannot create {}", into.display()))?;
    imported.workflow.save(&into)?;
    let mut said = Inputs::of(&imported.workflow).to_string();
    for note in &imported.notes {
        writeln!(said, "note: {note}")?;
    }
    Ok(said)
}
