//! The most bought items of a window: the list that any model has to beat.

use std::cmp::Reverse;

use gondola_models::features::History;
use gondola_models::retrieval::trained::Ranking;

use crate::purchases::Purchases;
use crate::settings::Popularity;

/// The items in the order of their buyers in the window. Only a user's last purchase of an item has a day; so many buyers bought it
/// within the window, whatever they did before.
pub(crate) fn in_order(
    settings: &Popularity,
    history: &History,
    users: usize,
    purchases: Purchases,
) -> Purchases {
    let Some(days) = settings.days else {
        return purchases;
    };
    let items = purchases.rows().iter().max().map_or(0, |last| *last as usize + 1);
    let mut buyers = vec![0usize; items];
    for purchase in (0..users).flat_map(|user| history.of(user)) {
        if purchase.days_since_last <= days as f32
            && let Some(count) = buyers.get_mut(purchase.item as usize)
        {
            *count += 1;
        }
    }
    let mut rows = purchases.into_rows();
    // Stable: items that are equal in the window keep the order of all days.
    rows.sort_by_key(|row| Reverse(buyers[*row as usize]));
    Purchases::of_rows(history, 0, items, rows)
}

pub(crate) fn fit(in_order: &Purchases) -> Ranking {
    Ranking::of_all(in_order.items())
}
