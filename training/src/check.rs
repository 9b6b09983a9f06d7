//! Whether a scorer, one of a user's own for example, fits a workflow and gives what its own library gives.
//!
//! Whether it fits, [`gondola_models::scoring::check`] says. Whoever has rows with their library's
//! predictions has the scorer compared with them ([`expect`]).

pub mod expect;

use std::fmt;
use std::path::Path;

use gondola_models::features::Workflow;
use gondola_models::scoring;
use gondola_models::scoring::check::{self, CheckError};
use gondola_models::scoring::stacked::layout_with;

use expect::{Agreement, ExpectError};

/// Why a scorer can't be believed.
#[derive(Debug, thiserror::Error)]
pub enum BeliefError {
    /// It does not fit the workflow.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// It gives other scores than its library.
    #[error(transparent)]
    Expect(#[from] ExpectError),
}

/// Rows with the predictions of a scorer's own library.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The file: see [`expect`].
    pub file: &'a Path,
    /// How far apart score and prediction may be, as a part of predictions above 1.
    pub tolerance: f64,
}

/// A scorer that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How it fits.
    pub fit: check::Report,
    /// How it compares with rows whose predictions are known.
    pub agreement: Option<Agreement>,
}

/// Checks a scorer bundle's folder against a features bundle's folder, and against rows whose predictions are
/// known.
pub async fn check(
    scorer: &Path,
    features: &Path,
    expected: Option<Expected<'_>>,
) -> Result<Report, BeliefError> {
    let fit = check::check(scorer, features)?;
    let agreement = match expected {
        Some(Expected { file, tolerance }) => {
            let layout = Workflow::load(features).map_err(CheckError::from)?.layout();
            let loaded = scoring::load(scorer, &layout).map_err(CheckError::from)?;
            let layout = layout_with(&layout, &loaded.sources);
            let scorer = loaded.scorer.as_ref();
            Some(expect::compare(scorer, &layout, &fit.inputs, file, tolerance).await?)
        }
        None => None,
    };
    Ok(Report { fit, agreement })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fit)?;
        if let Some(agreement) = &self.agreement {
            writeln!(f, "{agreement}")?;
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
        "/../inference/models/tests/fixtures/three-inputs/features"
    );
    const SCORER: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../inference/models/tests/fixtures/three-inputs/scorer"
    );

    async fn compared(file: &Path) -> Result<Report, BeliefError> {
        let expected = Expected {
            file,
            tolerance: 1e-5,
        };
        check(Path::new(SCORER), Path::new(FEATURES), Some(expected)).await
    }

    /// Compares the scorer with a file `rows.csv` of that content.
    async fn compared_with_csv(content: &str) -> Result<Report, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.csv");
        fs::write(&file, content).unwrap();
        let report = compared(&file).await;
        report.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    /// Columns in an order of their own, one that nobody reads, and an empty cell.
    const EXPECTED: &str =
        "prediction,item.price,user.age,pair.purchases,day\n0.25,-1,30,0,2026-01-02\n0.75,2.5,,1,\n";

    #[tokio::test]
    async fn scores_are_compared_with_those_of_the_library() {
        let report = compared_with_csv(EXPECTED).await.unwrap();
        let text = report.to_string();
        let end = "2 rows get the scores that were expected, within 0.0e0\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[tokio::test]
    async fn rows_of_a_parquet_file_are_compared_too() {
        use arrow::array::{Float32Array, Int64Array, RecordBatch};
        use std::sync::Arc;
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let file = fs::File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let report = compared(&path).await.unwrap();
        assert_eq!(report.agreement.map(|agreement| agreement.rows), Some(2));
    }

    #[tokio::test]
    async fn other_scores_than_the_library_s_are_refused_with_the_row_that_differs_most() {
        let other = EXPECTED.replace("0.75,", "0.5,");
        let message = compared_with_csv(&other).await.unwrap_err();
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
            let message = compared_with_csv(content).await.unwrap_err();
            assert!(
                message.contains(part) && message.contains("rows.csv"),
                "{message}"
            );
        }
    }
}
