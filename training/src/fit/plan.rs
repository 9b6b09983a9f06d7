//! What the workflow does to each column, from the data set's configuration.

use gondola_models::features::{CategoricalPlan, EntityPlan, Fill, NumericPlan, Scale, WorkflowPlan, pairs};

use crate::dataset::{DatasetConfig, names};
use crate::features::{POPULARITY, REPEAT_RATE, USUAL_REPEAT_RATE};

/// Days that mean "never": longer than any window that we look at.
const NEVER_DAYS: f64 = 730.0;

pub(crate) fn workflow(config: &DatasetConfig) -> WorkflowPlan {
    WorkflowPlan {
        user: users(config),
        item: items(config),
        pair: pair(config),
    }
}

fn users(config: &DatasetConfig) -> EntityPlan {
    let known = config.users.as_ref();
    let home_store = config.transactions.store.iter().map(|_| "home_store".to_owned());
    let attributes = config.features.user_attributes.iter();
    let attributes = attributes.flat_map(|name| [names::popular(name), names::last(name)]);
    let categorical = known
        .into_iter()
        .flat_map(|users| users.categorical.iter().cloned());
    let numeric = ["frequency_days", "purchases", "monetary"].map(NumericPlan::amount);
    let known_numeric = known
        .into_iter()
        .flat_map(|users| users.numeric.iter().map(|column| quantity(column)));
    EntityPlan {
        categorical: categories(config, "user", home_store.chain(attributes).chain(categorical)),
        numeric: [days("recency_days")]
            .into_iter()
            .chain(numeric)
            .chain(known_numeric)
            .collect(),
    }
}

fn items(config: &DatasetConfig) -> EntityPlan {
    let counts = config.features.windows_days.iter();
    let counts = counts.map(|days| NumericPlan::amount(&names::sold_within(*days)));
    let price = NumericPlan {
        fill: Fill::Median,
        ..NumericPlan::amount("mean_price")
    };
    let repeats = NumericPlan {
        fill: Fill::Constant(USUAL_REPEAT_RATE),
        log: false,
        ..NumericPlan::amount(REPEAT_RATE)
    };
    let rest = [
        NumericPlan::amount(POPULARITY),
        price,
        days("days_since_sold"),
        repeats,
    ];
    let known = config.items.numeric.iter().map(|column| quantity(column));
    EntityPlan {
        categorical: categories(config, "item", config.items.categorical.iter().cloned()),
        numeric: counts.chain(rest).chain(known).collect(),
    }
}

fn pair(config: &DatasetConfig) -> Vec<NumericPlan> {
    let affinities = config.features.affinities.iter();
    let affinities = affinities.map(|column| NumericPlan::amount(&format!("{}{column}", pairs::AFFINITY)));
    let bought = ["purchases", "recent_purchases"].map(NumericPlan::amount);
    let all = bought
        .into_iter()
        .chain([days("days_since_last")])
        .chain(affinities);
    all.map(|column| NumericPlan {
        scale: Scale::KeepZero,
        ..column
    })
    .collect()
}

fn categories(
    config: &DatasetConfig,
    entity: &str,
    columns: impl Iterator<Item = String>,
) -> Vec<CategoricalPlan> {
    let plan = |column: String| CategoricalPlan {
        frequency_threshold: config.frequency_threshold(&format!("{entity}.{column}")),
        column,
    };
    columns.map(plan).collect()
}

fn days(column: &str) -> NumericPlan {
    NumericPlan {
        fill: Fill::Constant(NEVER_DAYS),
        ..NumericPlan::amount(column)
    }
}

fn quantity(column: &str) -> NumericPlan {
    NumericPlan {
        fill: Fill::Mean,
        log: false,
        ..NumericPlan::amount(column)
    }
}
