//! When each kind was listed last: a watch that fails for long leaves the caches old without a word.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When each kind was listed whole, as far as it was.
#[derive(Clone, Debug, Default)]
pub struct Lists(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Lists {
    /// A kind was listed now. From its first list on it is watched over.
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
