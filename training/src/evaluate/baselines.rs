//! Baselines that need no model: what any recommender has to beat.

use gondola_models::features::{Cells, RawTable};
use gondola_models::retrieval::sources::most_often_bought;
use gondola_models::retrieval::trained::TrainedSource;

use crate::features::Snapshot;

/// Days that the most popular items are counted over.
pub const POPULAR_DAYS: u32 = 7;

/// A list that needs no scorer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimpleList {
    /// What is most popular.
    Popular,
    /// What the user bought most often.
    Own,
    /// What the user bought most often, then what is most popular.
    OwnThenPopular,
    /// That of a trained source.
    Source {
        /// What people call it.
        title: &'static str,
        /// The name of its bundle.
        bundle: &'static str,
    },
}

impl SimpleList {
    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Popular => "most popular in 7 days",
            Self::Own => "the user's own most frequent",
            Self::OwnThenPopular => "own most frequent, then popular",
            Self::Source { title, .. } => title,
        }
    }
}

/// A trained source that is judged.
pub struct NamedSource {
    /// What people call it.
    pub title: &'static str,
    /// The name of its bundle.
    pub bundle: &'static str,
    /// The source.
    pub source: TrainedSource,
}

/// The most often sold items of the last `days` days, as rows.
pub fn most_popular(items: &RawTable, days: u32, k: usize) -> Vec<u32> {
    let column = format!("count_{days}d_purchased");
    let count = |row: &u32| items.row(*row as usize).cell(&column).as_number().unwrap_or(0.0);
    let mut rows: Vec<(f64, u32)> = (0..items.len() as u32).map(|row| (count(&row), row)).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    rows.into_iter().take(k).map(|(_, row)| row).collect()
}

/// What the user bought most often, as rows; nothing for a user without purchases.
pub fn own_most_frequent(snapshot: &Snapshot, user: Option<usize>, k: usize) -> Vec<u32> {
    let purchases = user.map_or(&[][..], |user| snapshot.history.of(user));
    most_often_bought(purchases, k).collect()
}

/// What the user bought most often, then what is most popular.
pub fn mixed(own: &[u32], popular: &[u32], k: usize) -> Vec<u32> {
    let rest = popular.iter().filter(|item| !own.contains(item));
    own.iter().chain(rest).take(k).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_list_begins_with_the_users_own_and_names_nothing_twice() {
        assert_eq!(mixed(&[5, 1], &[1, 2, 3, 4], 4), [5, 1, 2, 3]);
        assert_eq!(mixed(&[], &[1, 2], 4), [1, 2]);
    }
}
