//! Whether a scorer, one of a user's own for example, fits a workflow.
//!
//! The scorer is loaded as a server loads it, which checks the names, the order and the number of its inputs and the shapes
//! of its weights. Then it scores made-up rows: every category of a vocabulary's ends and some between, and numbers around
//! zero. Nothing is published, and no data is needed but the workflow. Whoever has rows with their library's predictions has
//! the scorer compared with them ([`expect`]).

pub mod expect;

use std::fmt;
use std::path::Path;

use gondola_inference::features::schema::SchemaError;
use gondola_inference::features::workflow::WorkflowError;
use gondola_inference::features::{EncodedRow, EncodedTable, Layout, Schema, Workflow};
use gondola_inference::scoring::forest::Remark;
use gondola_inference::scoring::{self, CandidateBatch, LoadError, ScoreError, Scorer};

use expect::{Agreement, ExpectError};

/// How many made-up items the scorer has to score.
const ITEMS: usize = 64;

/// Why a scorer does not fit.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The folder is no features bundle.
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
    /// It gives other scores than its library.
    #[error(transparent)]
    Expect(#[from] ExpectError),
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
    /// How it compares with rows whose predictions are known.
    pub agreement: Option<Agreement>,
}

/// Rows with the predictions of a scorer's own library.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The file: see [`expect`].
    pub file: &'a Path,
    /// How far apart score and prediction may be, as a part of predictions above 1.
    pub tolerance: f64,
}

/// The inputs that a model must have to fit the workflow of a features bundle's folder.
pub fn inputs(features: &Path) -> Result<Inputs, CheckError> {
    Schema::load(features)?;
    Ok(Inputs::of(&Workflow::load(features)?))
}

/// Checks a scorer bundle's folder against a features bundle's folder, and against rows whose predictions are known.
pub async fn check(
    scorer: &Path,
    features: &Path,
    expected: Option<Expected<'_>>,
) -> Result<Report, CheckError> {
    Schema::load(features)?;
    let workflow = Workflow::load(features)?;
    let layout = workflow.layout();
    let loaded = scoring::load(scorer, &layout)?;
    let scorer = loaded.scorer.as_ref();
    let inputs = Inputs::of(&workflow);
    let scores = MadeUp::rows(&workflow).score(scorer)?;
    let agreement = match expected {
        Some(Expected { file, tolerance }) => {
            Some(expect::compare(scorer, &layout, &inputs, file, tolerance).await?)
        }
        None => None,
    };
    Ok(Report {
        inputs,
        scores,
        remarks: loaded.remarks,
        agreement,
    })
}

impl Inputs {
    fn of(workflow: &Workflow) -> Self {
        let (layout, sizes) = (workflow.layout(), workflow.cardinalities());
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
    fn rows(workflow: &Workflow) -> Self {
        let (layout, sizes) = (workflow.layout(), workflow.cardinalities());
        let Layout {
            user_numeric,
            item_numeric,
            pair,
            ..
        } = &layout;
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
        if let Some(agreement) = &self.agreement {
            writeln!(f, "{agreement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gondola_inference::features::EntityWorkflow;
    use gondola_inference::features::workflow::{NumericColumn, Operation};

    use super::*;

    const INPUTS: &str = r#"["user.age", "item.price", "pair.purchases"]"#;

    /// A features bundle of three numeric inputs.
    fn features(folder: &Path) {
        let numeric = |column: &str| NumericColumn {
            column: column.to_owned(),
            operations: vec![Operation::Fill(0.0)],
        };
        let entity = |column: &str| EntityWorkflow {
            numeric: vec![numeric(column)],
            ..EntityWorkflow::default()
        };
        let workflow = Workflow {
            user: entity("age"),
            item: entity("price"),
            pair: vec![numeric("purchases")],
        };
        workflow.save(folder).unwrap();
        Schema::new("2026-01-01", "price").save(folder).unwrap();
    }

    /// A scorer bundle with a LightGBM tree over `features` inputs: a price up to 0 gets 0.25, above it 0.75.
    fn scorer(folder: &Path, inputs: &str, features: usize) {
        let json = format!(r#"{{"family": "forest", "inputs": {inputs}}}"#);
        fs::write(folder.join("scorer.json"), json).unwrap();
        let tree = format!(
            "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx={}\n\nTree=0\nnum_leaves=2\nnum_cat=0\n\
             split_feature=1\nthreshold=0\ndecision_type=0\nleft_child=-1\nright_child=-2\nleaf_value=0.25 0.75\n\n\
             end of trees\n",
            features - 1
        );
        fs::write(folder.join("model.txt"), tree).unwrap();
    }

    /// Checks such a scorer, and compares it with a file of that name and content.
    async fn checked(inputs: &str, count: usize, expected: Option<(&str, &str)>) -> Result<Report, String> {
        let (of_features, of_scorer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        features(of_features.path());
        scorer(of_scorer.path(), inputs, count);
        let file = expected.map(|(name, content)| {
            let file = of_scorer.path().join(name);
            fs::write(&file, content).unwrap();
            file
        });
        let expected = file.as_deref().map(|file| Expected {
            file,
            tolerance: 1e-5,
        });
        let report = check(of_scorer.path(), of_features.path(), expected).await;
        report.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    async fn check_refused(inputs: &str, count: usize, part: &str) {
        let message = checked(inputs, count, None).await.unwrap_err();
        assert!(message.contains(part), "{message}");
    }

    #[tokio::test]
    async fn a_scorer_that_fits_scores_made_up_rows() {
        let (of_features, of_scorer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        features(of_features.path());
        scorer(of_scorer.path(), INPUTS, 3);
        let report = check(of_scorer.path(), of_features.path(), None).await.unwrap();
        assert_eq!(report.inputs, inputs(of_features.path()).unwrap());
        assert_eq!(report.inputs.0[1].name, "item.price");
        let text = report.to_string();
        let end = "the scorer fits: 64 made-up rows got scores from 0.25 to 0.75\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[tokio::test]
    async fn inputs_of_other_names_order_or_number_are_refused() {
        check_refused(
            r#"["item.price", "user.age", "pair.purchases"]"#,
            3,
            "input 0 of the scorer",
        )
        .await;
        check_refused(r#"["user.age", "item.price"]"#, 3, "input 2 of the scorer").await;
        check_refused(INPUTS, 4, "the forest reads 4 inputs, but the workflow gives 3").await;
    }

    #[tokio::test]
    async fn a_folder_without_a_workflow_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        let error = check(empty.path(), empty.path(), None).await.unwrap_err();
        assert!(error.to_string().contains("schema.json"), "{error}");
    }

    /// Columns in an order of their own, one that nobody reads, and an empty cell.
    const EXPECTED: &str =
        "prediction,item.price,user.age,pair.purchases,day\n0.25,-1,30,0,2026-01-02\n0.75,2.5,,1,\n";

    #[tokio::test]
    async fn scores_are_compared_with_those_of_the_library() {
        let report = checked(INPUTS, 3, Some(("rows.csv", EXPECTED))).await.unwrap();
        let text = report.to_string();
        let end = "2 rows get the scores that were expected, within 0.0e0\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[tokio::test]
    async fn rows_of_a_parquet_file_are_compared_too() {
        use arrow::array::{Float32Array, Int64Array, RecordBatch};
        use std::sync::Arc;
        let (of_features, of_scorer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        features(of_features.path());
        scorer(of_scorer.path(), INPUTS, 3);
        let batch = RecordBatch::try_from_iter([
            ("user.age", Arc::new(Int64Array::from(vec![30, 40])) as _),
            ("item.price", Arc::new(Float32Array::from(vec![-1.0, 2.5])) as _),
            (
                "pair.purchases",
                Arc::new(Int64Array::from(vec![None, Some(1)])) as _,
            ),
            ("prediction", Arc::new(Float32Array::from(vec![0.25, 0.75])) as _),
        ])
        .unwrap();
        let path = of_scorer.path().join("rows.parquet");
        let file = fs::File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let expected = Expected {
            file: &path,
            tolerance: 1e-5,
        };
        let report = check(of_scorer.path(), of_features.path(), Some(expected))
            .await
            .unwrap();
        assert_eq!(report.agreement.map(|agreement| agreement.rows), Some(2));
    }

    #[tokio::test]
    async fn other_scores_than_the_library_s_are_refused_with_the_row_that_differs_most() {
        let other = EXPECTED.replace("0.75,", "0.5,");
        let message = checked(INPUTS, 3, Some(("rows.csv", &other))).await.unwrap_err();
        assert!(message.starts_with("1 of 2 rows of"), "{message}");
        assert!(
            message.contains("row 1 the most: 0.75, but prediction is 0.5; compare what the score is of"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn rows_that_can_t_be_compared_are_refused_by_file_column_and_row() {
        for (content, part) in [
            (
                "item.price,user.age,prediction\n1,2,0.5\n",
                "has no column \"pair.purchases\"",
            ),
            (
                "item.price,user.age,pair.purchases\n1,2,3\n",
                "has no column \"prediction\"",
            ),
            (
                "item.price,user.age,pair.purchases,prediction\n1,2,3,\n",
                "row 0 of",
            ),
            (
                "item.price,user.age,pair.purchases,prediction\ncheap,2,3,0.5\n",
                "column \"item.price\" of",
            ),
            ("item.price,user.age,pair.purchases,prediction\n", "has no rows"),
        ] {
            let message = checked(INPUTS, 3, Some(("rows.csv", content))).await.unwrap_err();
            assert!(
                message.contains(part) && message.contains("rows.csv"),
                "{message}"
            );
        }
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
