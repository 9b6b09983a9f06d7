//! When each kind was listed last: a watch that fails for long leaves the caches silently out of date.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When each kind was last listed completely.
#[derive(Clone, Debug, Default)]
pub struct Lists(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Lists {
    /// Records that a kind was listed now. Its age counts from the first list on.
    pub fn listed(&self, kind: &str) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.insert(kind.to_owned(), Instant::now());
    }

    /// The kind whose last list is the oldest, and how old that is.
    pub fn oldest(&self) -> Option<(String, Duration)> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = lists.iter().min_by_key(|(_, listed)| **listed)?;
        Some((oldest.0.clone(), oldest.1.elapsed()))
    }
}
