//! Where events lie in the store: by what they are, day and hour, and who wrote them.
//!
//! `exposures/<experiment>/<epoch>/dt=2026-11-25/hour=08/<writer>-<number>.parquet`, and `outcomes/dt=.../hour=.../...` for all
//! experiments of a pipeline, below `<namespace>/<pipeline>`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Exposures of one epoch of an experiment.
    Exposures {
        /// The experiment's name.
        experiment: String,
        /// The epoch.
        epoch: u32,
    },
    /// Outcomes, of whatever experiment.
    Outcomes,
}

impl Kind {
    /// The folder of all files of this kind, below the pipeline's.
    pub fn folder(&self) -> String {
        match self {
            Self::Exposures { experiment, epoch } => format!("exposures/{experiment}/{epoch}"),
            Self::Outcomes => "outcomes".to_owned(),
        }
    }

    /// The folder of one day.
    pub fn day(&self, day: Date) -> String {
        format!("{}/dt={day}", self.folder())
    }

    /// A file.
    pub fn file(&self, first: Timestamp, writer: &str, number: u64) -> String {
        let first = first.to_zoned(TimeZone::UTC);
        let (day, hour) = (self.day(first.date()), first.hour());
        format!("{day}/hour={hour:02}/{writer}-{number:08}.parquet")
    }
}

/// Who wrote a file, and which of theirs it is; `None` where a name is none of ours.
pub fn writer_of(name: &str) -> Option<(&str, u64)> {
    let (writer, number) = name.strip_suffix(".parquet")?.rsplit_once('-')?;
    Some((writer, number.parse().ok()?))
}

/// The day of a moment, in UTC.
pub(crate) fn day_of(moment: Timestamp) -> Date {
    moment.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_where_its_first_event_happened() {
        let kind = Kind::Exposures {
            experiment: "dlrm-vs-rf".into(),
            epoch: 2,
        };
        let file = kind.file(Timestamp::constant(1_793_577_600 + 8 * 3600, 0), "router-a-1f", 7);
        assert_eq!(
            file,
            "exposures/dlrm-vs-rf/2/dt=2026-11-02/hour=08/router-a-1f-00000007.parquet"
        );
        let name = file.rsplit('/').next().unwrap();
        assert_eq!(writer_of(name), Some(("router-a-1f", 7)));
        assert_eq!(writer_of("_SUCCESS"), None);
        assert!(
            Kind::Outcomes
                .file(Timestamp::UNIX_EPOCH, "w", 1)
                .starts_with("outcomes/dt=1970-01-01/hour=00/")
        );
    }
}
