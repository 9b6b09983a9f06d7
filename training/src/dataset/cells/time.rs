//! Times as text and as numbers.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

use super::{Problem, is_missing};

/// Units in which programs count time since 1970: how many make a second.
const PER_SECOND: [f64; 4] = [1.0, 1e3, 1e6, 1e9];

/// Seconds since 1970 that are meant: from 1985 to 2032. Between these, no two units take a number for a
/// time, and none takes dates that are written as numbers: 20240131, 2024013118, 202401311830 and so on.
const SECONDS: std::ops::Range<f64> = 5e8..1.98e9;

/// A time that a text says, in nanoseconds since 1970.
pub(super) fn time_of_text(text: &str) -> Result<Option<i64>, Problem> {
    let text = text.trim();
    if is_missing(text) || text == "NaT" {
        return Ok(None);
    }
    if let Ok(time) = string_to_timestamp_nanos(text) {
        return Ok(Some(time));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_nan() => Ok(None),
        Ok(number) => time_of_number(number).map(Some),
        Err(_) if is_far(text) => Err(Problem::FarTime),
        Err(_) => Err(Problem::NoTime),
    }
}

/// A time counted since 1970, in the unit that puts it between 1985 and 2032; in nanoseconds.
pub(super) fn time_of_number(number: f64) -> Result<i64, Problem> {
    let seconds = PER_SECOND.map(|unit| number / unit);
    let meant = seconds.into_iter().find(|seconds| SECONDS.contains(seconds));
    meant
        .map(|seconds| (seconds * 1e9).round() as i64)
        .ok_or(Problem::NumberNoTime)
}

/// Whether a text begins with a date that nanoseconds can't hold.
fn is_far(text: &str) -> bool {
    let day = text
        .get(..10)
        .and_then(|day| day.parse::<chrono::NaiveDate>().ok());
    day.is_some_and(|day| {
        day.and_time(chrono::NaiveTime::MIN)
            .and_utc()
            .timestamp_nanos_opt()
            .is_none()
    })
}
