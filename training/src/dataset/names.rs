//! The names of the features that are computed of users and of items, which no column of the shop may have:
//! in one table there would be two of a name, and every model would read one for the other.

use gondola_models::features::activity::{FREQUENCY, MONETARY, PURCHASES, RECENCY};
pub use gondola_models::features::activity::{last, popular};

use super::config::DatasetConfig;

/// How much an item was sold, with old sales counted less; orders popular items.
pub const POPULARITY: &str = "time_weighted_purchases";

/// Which share of an item's latest buyers bought it more than once.
pub const REPEAT_RATE: &str = "repeat_rate";

/// The columns of a table of users in addition to the shop's own.
pub fn of_users(config: &DatasetConfig) -> Vec<String> {
    let fixed = ["user_id", RECENCY, FREQUENCY, PURCHASES, MONETARY, "home_store"];
    let attributes = config.features.user_attributes.iter();
    let attributes = attributes.flat_map(|column| [popular(column), last(column)]);
    fixed.map(str::to_owned).into_iter().chain(attributes).collect()
}

/// The columns of a table of items in addition to the shop's own.
pub fn of_items(config: &DatasetConfig) -> Vec<String> {
    let fixed = [
        "item_id",
        POPULARITY,
        "mean_price",
        "days_since_sold",
        REPEAT_RATE,
    ];
    let windows = config.features.windows_days.iter().map(|days| sold_within(*days));
    fixed.map(str::to_owned).into_iter().chain(windows).collect()
}

/// How often an item was sold within some days.
pub fn sold_within(days: u32) -> String {
    format!("count_{days}d_purchased")
}
