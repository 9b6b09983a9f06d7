//! Whether a scorer, one of a user's own for example, fits a workflow.
//!
//! The scorer is loaded as a server loads it, which checks the names, the order and the number of its inputs and the shapes
//! of its weights. Then it scores made-up rows: every category of a vocabulary's ends and some between, and numbers around
//! zero. Nothing is published, and no data is needed but the workflow.

use std::fmt;
use std::path::Path;

use super::forest::Remark;
use super::stacked::layout_with;
use super::{CandidateBatch, LoadError, ScoreError, Scorer};
use crate::features::schema::SchemaError;
use crate::features::workflow::WorkflowError;
use crate::features::{Cardinalities, EncodedRow, EncodedTable, Layout, Schema, Workflow};

/// How many made-up items the scorer has to score.
const ITEMS: usize = 64;

/// Why a scorer does not fit.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The folder is not a features bundle.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Its workflow can't be read.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    /// The scorer can't be loaded, or reads other inputs.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It can't score the made-up rows.
    #[error("the scorer loads, but can't score made-up rows of this workflow")]
    Score(#[from] ScoreError),
    /// A row's score depends on the rows beside it.
    #[error(
        "row {row} gets the score {alone} alone and {together} among others; that is a mistake of this program, report it"
    )]
    Unsteady {
        /// Which made-up row.
        row: usize,
        /// Its score alone.
        alone: f32,
        /// Its score among others.
        together: f32,
    },
}

/// What a model on a workflow reads, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs(pub Vec<Input>);

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name, as `scorer.json` lists it.
    pub name: String,
    /// What its values are.
    pub kind: InputKind,
}

/// What the values of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// An index into a vocabulary of that many values; 0 is for null, 1 for what the vocabulary does not know.
    Index {
        /// The vocabulary's size.
        values: usize,
    },
    /// A number, scaled as the workflow says.
    Number,
}

/// A scorer that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it reads.
    pub inputs: Inputs,
    /// The scores of the made-up rows.
    pub scores: Vec<f32>,
    /// What should be known of the model's file.
    pub remarks: Vec<Remark>,
}

/// The inputs that a model must have to fit the workflow of a features bundle's folder.
pub fn inputs(features: &Path) -> Result<Inputs, CheckError> {
    Schema::load(features)?;
    Ok(Inputs::of(&Workflow::load(features)?))
}

/// Checks a scorer bundle's folder against a features bundle's folder.
pub fn check(scorer: &Path, features: &Path) -> Result<Report, CheckError> {
    Schema::load(features)?;
    let workflow = Workflow::load(features)?;
    let loaded = super::load(scorer, &workflow.layout())?;
    let layout = layout_with(&workflow.layout(), &loaded.sources);
    let sizes = workflow.cardinalities();
    Ok(Report {
        inputs: Inputs::named(&layout, &sizes),
        scores: MadeUp::rows(&layout, &sizes).score(loaded.scorer.as_ref())?,
        remarks: loaded.remarks,
    })
}

impl Inputs {
    /// The inputs that a workflow gives.
    pub fn of(workflow: &Workflow) -> Self {
        Self::named(&workflow.layout(), &workflow.cardinalities())
    }

    fn named(layout: &Layout, sizes: &Cardinalities) -> Self {
        let kinds = [
            indexes(&sizes.user),
            numbers(&layout.user_numeric),
            indexes(&sizes.item),
            numbers(&layout.item_numeric),
            numbers(&layout.pair),
        ]
        .concat();
        let named = layout.inputs().into_iter().zip(kinds);
        Self(named.map(|(name, kind)| Input { name, kind }).collect())
    }
}

fn indexes(sizes: &[usize]) -> Vec<InputKind> {
    sizes
        .iter()
        .map(|values| InputKind::Index { values: *values })
        .collect()
}

fn numbers(columns: &[String]) -> Vec<InputKind> {
    vec![InputKind::Number; columns.len()]
}

/// A user, items, and the pairs of the two.
struct MadeUp {
    user: EncodedRow,
    items: EncodedTable,
    /// `[items, pair_width]`, row-major.
    pairs: Vec<f32>,
    pair_width: usize,
}

impl MadeUp {
    fn rows(layout: &Layout, sizes: &Cardinalities) -> Self {
        let Layout {
            user_numeric,
            item_numeric,
            pair,
            ..
        } = layout;
        let mut items = EncodedTable::new(sizes.item.len(), item_numeric.len());
        let mut pairs = Vec::new();
        for row in 0..ITEMS {
            items.push(&made_up(row, &sizes.item, item_numeric.len()));
            pairs.extend(made_up(row, &[], pair.len()).numeric);
        }
        Self {
            user: made_up(1, &sizes.user, user_numeric.len()),
            items,
            pairs,
            pair_width: pair.len(),
        }
    }

    /// The score of each item, which must be the same alone as among the others.
    fn score(&self, scorer: &dyn Scorer) -> Result<Vec<f32>, CheckError> {
        let width = scorer.block_width();
        let mut blocks = vec![0.0; ITEMS * width];
        scorer.prepare(&self.items, &mut blocks);
        let blocks: Vec<&[f32]> = (0..ITEMS).map(|row| &blocks[row * width..][..width]).collect();
        let score = |first: usize, count: usize| {
            let mut scores = Vec::new();
            let candidates = CandidateBatch {
                blocks: &blocks[first..first + count],
                pairs: &self.pairs[first * self.pair_width..][..count * self.pair_width],
                pair_width: self.pair_width,
            };
            scorer.score(&self.user, &candidates, &mut scores)?;
            Ok::<_, ScoreError>(scores)
        };
        let together = score(0, ITEMS)?;
        for (row, together) in together.iter().enumerate() {
            let alone = score(row, 1)?[0];
            if (alone - together).abs() > TOLERANCE {
                return Err(CheckError::Unsteady {
                    row,
                    alone,
                    together: *together,
                });
            }
        }
        Ok(together)
    }
}

/// How far the scores of one row may differ: neural models add in another order where there are more rows.
const TOLERANCE: f32 = 1e-4;

/// A row of numbers from -2 to 2 and indexes into vocabularies of these sizes: row 0 has the first of each, row 1 the last.
fn made_up(row: usize, sizes: &[usize], numeric: usize) -> EncodedRow {
    let index = |(column, size): (usize, &usize)| match (row, size.checked_sub(1)) {
        (0, _) | (_, None) => 0,
        (1, Some(last)) => last as u32,
        (_, Some(_)) => ((row * 31 + column * 17) % size) as u32,
    };
    EncodedRow {
        categorical: sizes.iter().enumerate().map(index).collect(),
        numeric: (0..numeric)
            .map(|column| ((row * 37 + column * 11) % 65) as f32 / 16.0 - 2.0)
            .collect(),
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, Input { name, kind }) in self.0.iter().enumerate() {
            match kind {
                InputKind::Index { values } => writeln!(
                    f,
                    "{position:>4}  {name}  index, 0 to {}",
                    values.saturating_sub(1)
                )?,
                InputKind::Number => writeln!(f, "{position:>4}  {name}  number")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.scores.iter().copied().fold(f32::INFINITY, f32::min);
        let most = self.scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        write!(f, "{}", self.inputs)?;
        writeln!(
            f,
            "the scorer fits: {} made-up rows got scores from {least} to {most}",
            self.scores.len()
        )?;
        if least == most {
            writeln!(
                f,
                "note: all rows got the same score; does the model read what it should?"
            )?;
        }
        for remark in &self.remarks {
            writeln!(f, "note: {remark}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FEATURES: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/three-inputs/features"
    );
    const SCORER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/three-inputs/scorer");
    const INPUTS: &str = r#"["user.age", "item.price", "pair.purchases"]"#;

    /// The scorer of the fixture, but with other inputs in its configuration and in its tree.
    #[track_caller]
    fn check_refused(inputs: &str, count: usize, part: &str) {
        let scorer = tempfile::tempdir().unwrap();
        let json = format!(r#"{{"family": "forest", "inputs": {inputs}}}"#);
        fs::write(scorer.path().join("scorer.json"), json).unwrap();
        let tree = fs::read_to_string(Path::new(SCORER).join("model.txt")).unwrap();
        let last = format!("max_feature_idx={}", count - 1);
        let tree = tree.replace("max_feature_idx=2", &last);
        fs::write(scorer.path().join("model.txt"), tree).unwrap();
        let error = check(scorer.path(), Path::new(FEATURES)).unwrap_err();
        let message = format!("{:#}", anyhow::Error::from(error));
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn a_scorer_that_fits_scores_made_up_rows() {
        let report = check(Path::new(SCORER), Path::new(FEATURES)).unwrap();
        assert_eq!(report.inputs, inputs(Path::new(FEATURES)).unwrap());
        assert_eq!(report.inputs.0[1].name, "item.price");
        let text = report.to_string();
        let end = "the scorer fits: 64 made-up rows got scores from 0.25 to 0.75\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn inputs_of_other_names_order_or_number_are_refused() {
        let turned = r#"["item.price", "user.age", "pair.purchases"]"#;
        check_refused(turned, 3, "input 0 of the scorer");
        check_refused(r#"["user.age", "item.price"]"#, 3, "input 2 of the scorer");
        check_refused(INPUTS, 4, "the forest reads 4 inputs, but the workflow gives 3");
    }

    #[test]
    fn a_folder_without_a_workflow_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        let error = check(empty.path(), empty.path()).unwrap_err();
        assert!(error.to_string().contains("schema.json"), "{error}");
    }

    #[test]
    fn made_up_indexes_reach_both_ends_of_a_vocabulary() {
        assert_eq!(made_up(0, &[5, 1, 0], 0).categorical, [0, 0, 0]);
        assert_eq!(made_up(1, &[5, 1, 0], 0).categorical, [4, 0, 0]);
        for row in 0..ITEMS {
            assert!(made_up(row, &[5], 0).categorical[0] < 5);
        }
    }
}
