//! Workflows of NVIDIA Merlin's NVTabular become ours.
//!
//! `examples/merlin/export_workflow.py` runs where NVTabular runs, and writes what a saved workflow does as data: `nvtabular.json`
//! ([`exported`]) and Parquet files of categories and statistics. [`import()`] makes a [`Workflow`] of them whose outputs are equal. A pickle
//! is never read here.
//!
//! - [`exported`]: the file; [`refusal`]: what is refused, and what to do instead;
//! - [`compile`]: how an output of NVTabular becomes columns of ours; [`tables`]: the Parquet files beside it.

mod compile;
pub mod exported;
pub mod refusal;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use self::compile::{Compiler, Made};
use self::exported::{Entity, Exported, ExportedColumn};
pub use self::refusal::MerlinError;
use super::workflow::{EntityWorkflow, Workflow};

/// Whose the raw columns are, in addition to what the export's tags say, and what is left out.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Raw columns of users.
    pub user: Vec<String>,
    /// Raw columns of items.
    pub item: Vec<String>,
    /// Outputs of the workflow that models do not read, such as a label.
    pub leave_out: Vec<String>,
}

/// A workflow that was imported.
#[derive(Debug)]
pub struct Imported {
    /// The workflow; it has no columns of pairs, which NVTabular does not know.
    pub workflow: Workflow,
    /// Where its outputs differ from NVTabular's.
    pub notes: Vec<Note>,
}

/// Where an output differs from NVTabular's.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The output.
    pub column: String,
    /// How it differs.
    pub difference: Difference,
}

/// How an output differs from NVTabular's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// What is missing has no number in NVTabular.
    MissingIsZero,
    /// NVTabular encodes by the folds of its training, row by row.
    AllFolds,
    /// On a CPU NVTabular leaves lists shorter than it was told to.
    Padded,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, difference } = self;
        match difference {
            Difference::MissingIsZero => write!(
                f,
                "{column}: where NVTabular gives NaN, this gives 0; fit FillMissing or FillMedian before the last step for another number"
            ),
            Difference::AllFolds => write!(
                f,
                "{column}: TargetEncoding is by the statistics of all rows (kfold=1); NVTabular takes a fold's, by the row's position"
            ),
            Difference::Padded => write!(
                f,
                "{column}: short lists are padded, as NVTabular does on a GPU; on a CPU it leaves them short"
            ),
        }
    }
}

/// Makes a workflow of an exported one's folder.
pub fn import(folder: &Path, choices: &Choices) -> Result<Imported, MerlinError> {
    let exported = Exported::load(folder)?;
    let owners = Owners::new(&exported, choices)?;
    let mut compiler = Compiler::new(folder, &exported);
    let mut workflow = Workflow::default();
    for column in &exported.columns {
        if choices.leave_out.contains(&column.name) {
            continue;
        }
        let made = compiler.compile(column)?;
        let entity = match owners.of(column)? {
            Entity::User => &mut workflow.user,
            Entity::Item => &mut workflow.item,
        };
        add(entity, made);
    }
    Ok(Imported {
        workflow,
        notes: compiler.notes,
    })
}

fn add(entity: &mut EntityWorkflow, made: Made) {
    match made {
        Made::Categorical(columns) => entity.categorical.extend(columns),
        Made::Numeric(column) => entity.numeric.push(column),
    }
}

/// Whose each raw column is.
struct Owners {
    user: BTreeSet<String>,
    item: BTreeSet<String>,
}

impl Owners {
    fn new(exported: &Exported, choices: &Choices) -> Result<Self, MerlinError> {
        let inputs: Vec<String> = exported.inputs.iter().map(|input| input.name.clone()).collect();
        let outputs: Vec<String> = exported
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        known("--user", &choices.user, &inputs)?;
        known("--item", &choices.item, &inputs)?;
        known("--leave-out", &choices.leave_out, &outputs)?;
        if let Some(both) = choices.user.iter().find(|column| choices.item.contains(column)) {
            return Err(MerlinError::Both { column: both.clone() });
        }
        let mut owners = Self {
            user: choices.user.iter().cloned().collect(),
            item: choices.item.iter().cloned().collect(),
        };
        for input in &exported.inputs {
            let name = &input.name;
            let chosen = owners.user.contains(name) || owners.item.contains(name);
            match input.entity {
                Some(Entity::User) if !chosen => owners.user.insert(name.clone()),
                Some(Entity::Item) if !chosen => owners.item.insert(name.clone()),
                _ => continue,
            };
        }
        Ok(owners)
    }

    /// Whose an output is: that of all raw columns that it is made of.
    fn of(&self, output: &ExportedColumn) -> Result<Entity, MerlinError> {
        let mut user = None;
        let mut item = None;
        for raw in output.value.raw_columns() {
            if self.user.contains(raw) {
                user = Some(raw);
            } else if self.item.contains(raw) {
                item = Some(raw);
            } else {
                return Err(MerlinError::NobodyS {
                    column: output.name.clone(),
                    raw: raw.to_owned(),
                });
            }
        }
        match (user, item) {
            (Some(user), Some(item)) => Err(MerlinError::Mixed {
                column: output.name.clone(),
                user: user.to_owned(),
                item: item.to_owned(),
            }),
            (None, _) => Ok(Entity::Item),
            (Some(_), None) => Ok(Entity::User),
        }
    }
}

fn known(flag: &'static str, named: &[String], there: &[String]) -> Result<(), MerlinError> {
    match named.iter().find(|name| !there.contains(name)) {
        None => Ok(()),
        Some(name) => Err(MerlinError::NoColumn {
            flag,
            name: name.clone(),
            there: there.to_vec(),
        }),
    }
}
