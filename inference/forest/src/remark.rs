//! Remarks on a model's file, for people who check it before publishing.

use std::fmt;

/// What a file says of its predictions that may surprise, and what it does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The prediction is the probability of one of two classes, which the file names.
    Class {
        /// The class.
        class: String,
        /// The other.
        other: String,
    },
    /// The file does not say which value was missing in training.
    Missing {
        /// The library.
        library: &'static str,
    },
    /// Training stopped early, and the file has later trees as well.
    BestIteration {
        /// The best round, from 0.
        best: usize,
        /// Rounds in the file.
        rounds: usize,
    },
    /// The file is older than the record of a data frame's categories.
    Categories,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class { class, other } => write!(
                f,
                "a score is the probability of the class {class}, the second of the model's two (the other is {other}); \
                 make sure that {class} is what users should do"
            ),
            Self::Missing { library } => write!(
                f,
                "NaN is missing; the file does not say whether {library} was given another value (missing=...), which \
                 would be read as a number here"
            ),
            Self::BestIteration { best, rounds } => write!(
                f,
                "all {rounds} rounds of trees are used, but training names round {best} (from 0) the best, and XGBoost's \
                 scikit-learn interface stops there; save booster[:{}] to do so too",
                best + 1
            ),
            Self::Categories => f.write_str(
                "the model splits by category, and the file does not say whether its categories are positions in a data frame's list; train on the workflow's indexes as integers",
            ),
        }
    }
}
