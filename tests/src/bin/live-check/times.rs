//! How long things took.

use std::fmt;
use std::time::Duration;

/// Some durations, the shortest first.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort();
        Self(sorted)
    }
}

impl Times {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What this share of them does not exceed; nothing where there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let place = (self.0.len() as f64 * share).ceil() as usize;
        let place = place.clamp(1, self.0.len().max(1)) - 1;
        self.0.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    pub(crate) fn longest(&self) -> Duration {
        self.quantile(1.0)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99, longest) = (self.p50(), self.p99(), self.longest());
        write!(f, "p50 {}, p99 {}, longest {}", ms(p50), ms(p99), ms(longest))
    }
}

/// As milliseconds, with as many digits as say something.
pub(crate) fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        ..1.0 => format!("{ms:.3} ms"),
        ..10.0 => format!("{ms:.2} ms"),
        ..100.0 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundredth_may_exceed_the_p99() {
        let times: Times = (1..=200).rev().map(Duration::from_millis).collect();
        let whole = |duration: Duration| duration.as_millis();
        assert_eq!(whole(times.p50()), 100);
        assert_eq!(whole(times.p99()), 198);
        assert_eq!(whole(times.longest()), 200);
        assert_eq!(Times::default().p99(), Duration::ZERO);
    }
}
