//! Names of the fields of an entity's Redis hash: four bytes a feature, and a text for a view's event time.

use crate::murmur::murmur3;

/// The hash field that holds a feature's value: MurmurHash3 of `view:feature`, little-endian. `view` is the view's name in the
/// store, with its version where the store has versions.
pub fn feature_field(view: &str, feature: &str) -> [u8; 4] {
    murmur3(format!("{view}:{feature}").as_bytes()).to_le_bytes()
}

/// The hash field that holds the event time of a view's features, `_ts:view`.
pub fn time_field(view: &str) -> String {
    format!("_ts:{view}")
}
