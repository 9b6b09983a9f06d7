//! What is shown when no variant answers in time: popular items, fetched in advance.
//!
//! Every few seconds the router asks any variant that answers for the recommendations of an unknown user. The list
//! outlives the routers that use it, and an answer made of it says that it is one.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use gondola_protocol::{Digests, Served};
use gondola_request::{Answer, Degradation, Recommendation};

/// How often the list is fetched again.
pub const REFRESH_EVERY: Duration = Duration::from_secs(10);
/// How often it is tried while there is none.
pub const TRY_EVERY: Duration = Duration::from_secs(1);
/// Longest list that is kept, in items.
pub(super) const MAX_KEPT: usize = 500;

/// The list of the moment, if there was ever one.
#[derive(Default)]
pub struct LastResort(ArcSwapOption<Popular>);

/// Popular items, and who said so.
pub(super) struct Popular {
    pub(super) variant: Arc<str>,
    pub(super) bundles: Digests,
    pub(super) items: Vec<Recommendation>,
    /// How many a request gets that doesn't say.
    pub(super) usual: usize,
}

impl LastResort {
    /// Whether there is a list.
    pub fn is_known(&self) -> bool {
        self.0.load().is_some()
    }

    pub(super) fn set(&self, popular: Popular) {
        self.0.store(Some(Arc::new(popular)));
    }

    /// The first `k` items, as an answer; `None` where there is no list.
    pub(super) fn answer(&self, k: Option<usize>) -> Option<Served> {
        let popular = self.0.load_full()?;
        let items = popular.items.iter().take(k.unwrap_or(popular.usual));
        let answer = Answer {
            items: items.cloned().collect(),
            degraded: vec![Degradation::LastResort],
            ..Answer::default()
        };
        Some(Served {
            variant: Arc::clone(&popular.variant),
            reason: None,
            bundles: Arc::clone(&popular.bundles),
            answer,
        })
    }
}
