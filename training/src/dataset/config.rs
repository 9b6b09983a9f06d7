//! The configuration of a data set: files, the roles of their columns, windows of time, and what is trained.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{Days, NaiveDate};
use gondola_models::features::InteractionWeights;
use serde::{Deserialize, Serialize};

use super::evaluation::Evaluation;
use super::side::Side;
use super::training::Training;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not of the form of a configuration.
    #[error("{path} is not a configuration of a data set")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// A value can't be meant.
    #[error("{field} is {value}, but {wanted}")]
    Value {
        /// The name of the field.
        field: String,
        /// What it says.
        value: String,
        /// What it should say.
        wanted: String,
    },
    /// A list that has something more than once.
    #[error("{field} names {value} twice; once is enough")]
    Twice {
        /// The name of the field.
        field: String,
        /// What it has twice.
        value: String,
    },
    /// A column that is called as a feature that is computed.
    #[error(
        "{field} names the column {column:?}, as a feature is called that is computed; give it another name in {file}"
    )]
    Computed {
        /// The name of the field.
        field: String,
        /// The column.
        column: String,
        /// The file that has it.
        file: String,
    },
    /// A threshold of a column that has none.
    #[error("features.frequency_thresholds names {name:?}; use \"default\" or one of {known:?}")]
    NoCategory {
        /// The name.
        name: String,
        /// The categorical columns.
        known: Vec<String>,
    },
    /// A name that no column has.
    #[error("{field} names {name:?}, which is not a categorical item column; use one of {known:?}")]
    NoItemColumn {
        /// The name of the field.
        field: &'static str,
        /// The name.
        name: String,
        /// The categorical item columns.
        known: Vec<String>,
    },
}

/// What a shop's files mean, and what is to be made of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// A display name.
    pub name: String,
    /// Who bought what, when.
    pub transactions: Transactions,
    /// What is known of users in addition to their purchases. Default: nothing.
    pub users: Option<Entity>,
    /// The catalog.
    pub items: Entity,
    /// Which features are computed.
    pub features: Features,
    /// Which days train and which days test.
    pub windows: Windows,
    /// Hyper-parameters.
    #[serde(default)]
    pub training: Training,
    /// How the pipeline is evaluated.
    #[serde(default)]
    pub evaluation: Evaluation,
}

/// The file of transactions, and which column is what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transactions {
    /// A Parquet or CSV file, below the data folder or URL.
    pub file: String,
    /// Column of the user's id.
    pub user: String,
    /// Column of the item's id.
    pub item: String,
    /// Column of the date or time.
    pub time: String,
    /// Column of what was paid for the row.
    pub price: Option<String>,
    /// Column of the store or channel; the user's most frequent one becomes a feature.
    pub store: Option<String>,
}

/// A file of users or items, and which column is what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// A Parquet or CSV file, below the data folder or URL.
    pub file: String,
    /// Column of the id.
    pub key: String,
    /// Columns that are categories.
    #[serde(default)]
    pub categorical: Vec<String>,
    /// Columns that are quantities.
    #[serde(default)]
    pub numeric: Vec<String>,
    /// Columns whose texts describe an item, in reading order.
    #[serde(default)]
    pub text: Vec<String>,
    /// Columns of items that rules alone ask for, as stock and market: no model sees them, and they may change by the hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

impl Entity {
    /// Every column that is kept, each once.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        let read = self.categorical.iter().chain(&self.numeric).chain(&self.text);
        for column in read.chain(&self.rules) {
            if !columns.contains(&column.as_str()) {
                columns.push(column);
            }
        }
        columns
    }
}

/// Which features are computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// For each number of days, how often an item was sold in the days before the cut-off.
    #[serde(default = "default_windows")]
    pub windows_days: Vec<u32>,
    /// Days after which a purchase counts half in the time-weighted number of purchases.
    #[serde(default = "default_half_life")]
    pub half_life_days: f64,
    /// Days after which a user's purchase counts half in how often the user bought an item lately.
    #[serde(default = "default_history_half_life")]
    pub history_half_life_days: f64,
    /// How many purchases an interaction counts as that comes after the cut-off date: a view, a click, a basket.
    #[serde(default)]
    pub interactions: InteractionWeights,
    /// Item columns of which a user's most frequent and last values become features.
    #[serde(default)]
    pub user_attributes: Vec<String>,
    /// Item columns for which a pair of user and item has the number of purchases with the item's value.
    #[serde(default)]
    pub affinities: Vec<String>,
    /// Values that occur less often than this become unknown; by column, as `user.x` or `item.x`, and
    /// `default`.
    #[serde(default)]
    pub frequency_thresholds: BTreeMap<String, u64>,
}

/// Which days train and which days test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// The first day of the test window; everything before it is known when the test is answered.
    #[serde(with = "date")]
    pub test_start: NaiveDate,
    /// Days of the test window, and of each training window before it.
    #[serde(default = "default_target_days")]
    pub target_days: u32,
    /// Training windows, one before the other, the last just before the test window. Each has features of its
    /// own cut-off; more of them are more examples of people who buy again.
    #[serde(default = "default_training_windows")]
    pub training: u32,
    /// Days before the last training window whose purchases train the two towers.
    #[serde(default = "default_retrieval_days")]
    pub retrieval_days: u32,
    /// For how many days of these purchases the features of one day stand: few are nearer to what serving will know, and cost the features
    /// of more days. Left out: as many as a window has, so that the days are those of training windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval_step_days: Option<u32>,
    /// Items that were not sold within so many days before the cut-off are not retrieved.
    #[serde(default = "default_index_days")]
    pub index_days: u32,
}

/// Dates as `YYYY-MM-DD`.
mod date {
    use chrono::NaiveDate;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(date: &NaiveDate, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(date)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| D::Error::custom(format!("{text:?} is not a date; write it as YYYY-MM-DD")))
    }
}

impl Windows {
    /// The day after the test window.
    pub fn test_end(&self) -> NaiveDate {
        self.test_start + Days::new(self.target_days.into())
    }

    /// The first day of the last training window.
    pub fn train_start(&self) -> NaiveDate {
        self.test_start - Days::new(self.target_days.into())
    }

    /// The first days of the training windows before the last, the latest first.
    pub fn earlier_starts(&self) -> Vec<NaiveDate> {
        let days = u64::from(self.target_days);
        (1..u64::from(self.training))
            .map(|window| self.train_start() - Days::new(window * days))
            .collect()
    }

    /// The first day of the purchases that train the two towers.
    pub fn retrieval_start(&self) -> NaiveDate {
        self.train_start() - Days::new(self.retrieval_days.into())
    }

    /// The day after these purchases.
    pub fn retrieval_end(&self) -> NaiveDate {
        self.train_start()
    }

    /// The first day of those of these purchases on which it is found how long the towers train: as many days as a window has. None
    /// where as many would not be left before them.
    pub fn retrieval_split(&self) -> Option<NaiveDate> {
        let enough = self.retrieval_days >= 2 * self.target_days;
        enough.then(|| self.retrieval_end() - Days::new(self.target_days.into()))
    }

    /// These purchases in steps, each a first day, whose features its purchases are seen with, and the day after its last.
    pub fn retrieval_steps(&self) -> Vec<(NaiveDate, NaiveDate)> {
        let (start, end) = (self.retrieval_start(), self.retrieval_end());
        let step = Days::new(self.retrieval_step_days.unwrap_or(self.target_days).into());
        let mut days = vec![end];
        let mut day = end - step;
        while day > start {
            days.push(day);
            day = day - step;
        }
        days.push(start);
        days.extend(self.retrieval_split());
        days.sort_unstable();
        days.dedup();
        days.windows(2).map(|days| (days[0], days[1])).collect()
    }
}

fn default_windows() -> Vec<u32> {
    vec![7, 30, 90]
}

fn default_half_life() -> f64 {
    30.0
}

fn default_history_half_life() -> f64 {
    90.0
}

fn default_training_windows() -> u32 {
    1
}

fn default_target_days() -> u32 {
    20
}

fn default_retrieval_days() -> u32 {
    60
}

fn default_index_days() -> u32 {
    90
}

impl DatasetConfig {
    /// The file of users or of items, where there is one.
    pub fn entity(&self, side: Side) -> Option<&Entity> {
        match side {
            Side::Users => self.users.as_ref(),
            Side::Items => Some(&self.items),
        }
    }

    /// What it says of the data, wherever they are.
    pub fn without_files(&self) -> Self {
        let mut config = self.clone();
        let users = config.users.as_mut().map(|users| &mut users.file);
        let files = [&mut config.transactions.file, &mut config.items.file];
        files.into_iter().chain(users).for_each(String::clear);
        config
    }

    /// What it says of the data and of features, and nothing of models and their judgement.
    pub fn without_models(&self) -> Self {
        Self {
            training: Training::default(),
            evaluation: Evaluation::default(),
            ..self.clone()
        }
    }

    /// The same with the last test window that data before `until` fill.
    pub fn tested_until(&self, until: NaiveDate) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        config.windows.test_start = until - Days::new(self.windows.target_days.into());
        super::bounds::check(&config)?;
        Ok(config)
    }

    /// The threshold of a column, given as `user.x` or `item.x`.
    pub fn frequency_threshold(&self, column: &str) -> u64 {
        let thresholds = &self.features.frequency_thresholds;
        thresholds
            .get(column)
            .or_else(|| thresholds.get("default"))
            .copied()
            .unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_windows_stand_one_before_the_other_and_the_last_ends_where_the_test_begins() {
        let windows = Windows {
            test_start: "2017-12-12".parse().unwrap(),
            target_days: 20,
            training: 3,
            retrieval_days: 60,
            retrieval_step_days: None,
            index_days: 90,
        };
        let day = |day: &str| day.parse::<NaiveDate>().unwrap();
        assert_eq!(windows.train_start(), day("2017-11-22"));
        assert_eq!(windows.earlier_starts(), [day("2017-11-02"), day("2017-10-13")]);
    }

    #[track_caller]
    fn check_steps(retrieval_days: u32, retrieval_step_days: Option<u32>, starts: &[&str]) {
        let windows = Windows {
            test_start: "2017-12-12".parse().unwrap(),
            target_days: 20,
            training: 1,
            retrieval_days,
            retrieval_step_days,
            index_days: 90,
        };
        let steps = windows.retrieval_steps();
        let found: Vec<String> = steps.iter().map(|(start, _)| start.to_string()).collect();
        assert_eq!(found, starts);
        assert!(
            steps.windows(2).all(|steps| steps[0].1 == steps[1].0),
            "{steps:?}"
        );
        assert_eq!(steps.last().unwrap().1, windows.train_start());
    }

    #[test]
    fn the_towers_purchases_come_in_steps_of_which_one_begins_where_they_are_split() {
        check_steps(60, None, &["2017-09-23", "2017-10-13", "2017-11-02"]);
        check_steps(60, Some(60), &["2017-09-23", "2017-11-02"]);
        check_steps(
            45,
            Some(15),
            &["2017-10-08", "2017-10-23", "2017-11-02", "2017-11-07"],
        );
        // Too few to be split.
        check_steps(30, None, &["2017-10-23", "2017-11-02"]);
        check_steps(7, Some(3660), &["2017-11-15"]);
    }
}
