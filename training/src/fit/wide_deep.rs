//! The Wide & Deep model: trained on labeled pairs by [`descent`](super::descent).

use gondola_models::features::Layout;
use gondola_models::scoring::Family;
use gondola_models::scoring::neural::InputShape;
use gondola_models::scoring::wide_deep::crosses::Crosses;
use gondola_models::scoring::wide_deep::{WideDeep, WideDeepConfig};

use super::{FitError, Model, Task, descent};
use crate::dataset::training::Scorer;

/// Trains a Wide & Deep model.
pub(super) fn fit(task: Task<'_>) -> Result<Model, FitError> {
    let settings = &task.training.wide_deep;
    let config = WideDeepConfig {
        embedding_dim: settings.embedding_dim,
        hidden: settings.hidden.clone(),
        crosses: Crosses {
            pairs: crosses(task)?,
            buckets: settings.cross_buckets,
        },
        shape: InputShape::of(task.layout, task.cardinalities),
    };
    let network = |vb: candle_nn::VarBuilder<'_>| WideDeep::new(&config, vb);
    let trained = descent::train(Scorer::WideDeep, &settings.descent, task, network)?;
    Ok(trained.model(Family::WideDeep(config)))
}

/// The declared crosses, or those of what a user buys most often with what the item is.
fn crosses(task: Task<'_>) -> Result<Vec<(usize, usize)>, FitError> {
    let layout = task.layout;
    match &task.training.wide_deep.crosses {
        Some(declared) => declared.iter().map(|pair| positions(pair, layout)).collect(),
        None => Ok(usual_crosses(layout)),
    }
}

fn usual_crosses(layout: &Layout) -> Vec<(usize, usize)> {
    let items = layout.item_categorical.iter();
    let pairs = items.map(|item| (format!("popular_{item}"), item.clone()));
    pairs.filter_map(|pair| positions(&pair, layout).ok()).collect()
}

fn positions((user, item): &(String, String), layout: &Layout) -> Result<(usize, usize), FitError> {
    let position = |columns: &[String], name: &str| columns.iter().position(|column| column == name);
    let found = position(&layout.user_categorical, user).zip(position(&layout.item_categorical, item));
    found.ok_or_else(|| FitError::Cross {
        user: user.clone(),
        item: item.clone(),
        users: layout.user_categorical.clone(),
        items: layout.item_categorical.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Layout {
            user_categorical: names(&["club", "popular_color", "popular_shape"]),
            item_categorical: names(&["shape", "price_band", "color"]),
            ..Layout::default()
        }
    }

    #[test]
    fn what_a_user_buys_most_often_is_crossed_with_what_the_item_is() {
        assert_eq!(usual_crosses(&layout()), [(2, 0), (1, 2)]);
    }

    #[test]
    fn a_cross_of_a_column_that_is_not_there_names_those_that_are() {
        let error = positions(&("club".into(), "size".into()), &layout()).unwrap_err();
        assert!(
            error.to_string().contains("one of the item's [\"shape\""),
            "{error}"
        );
    }
}
