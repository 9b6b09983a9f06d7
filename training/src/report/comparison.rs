//! Tables of the data, and tables that compare scorers: on labeled pairs, by their lists, and by what they
//! cost.

use super::Summary;
use super::table::Table;
use crate::evaluate::bootstrap::Interval;
use crate::evaluate::retrieval::RetrievalQuality;

/// Facts about the data.
pub(super) fn facts(summary: &Summary) -> Table {
    let facts = summary.facts.iter();
    Table {
        head: vec!["what", "how much"],
        rows: facts
            .map(|fact| vec![fact.what.clone(), fact.value.clone()])
            .collect(),
    }
}

pub(super) fn pairs(summary: &Summary) -> Table {
    let rows = summary.scorers.iter().map(|scorer| {
        let (m, at) = (&scorer.metrics, &scorer.intervals);
        vec![
            scorer.name.clone(),
            within(m.auc, at.auc),
            within(m.precision, at.precision),
            within(m.recall, at.recall),
            number(m.log_loss),
            number(m.calibration.error),
            number(m.calibration.ratio),
        ]
    });
    Table {
        head: vec![
            "scorer, on labeled pairs",
            "AUC",
            "precision at 0.5",
            "recall at 0.5",
            "log loss",
            "calibration error",
            "mean / rate",
        ],
        rows: rows.collect(),
    }
}

/// What sources find of what was bought.
pub(super) fn retrieval(summary: &Summary) -> Table {
    let row = |source: &RetrievalQuality| {
        vec![
            source.name.clone(),
            number(source.recall),
            number(source.recall_of_new),
        ]
    };
    Table {
        head: vec![
            "200 candidates from",
            "Recall@200",
            "of what was new to the buyer",
        ],
        rows: summary.retrieval.iter().map(row).collect(),
    }
}

/// Lists of the baselines and of the scorers' pipelines.
pub(super) fn lists(summary: &Summary) -> Table {
    let baselines = summary.baselines.iter().map(|quality| {
        let m = &quality.metrics;
        let numbers = [m.ndcg, m.map, m.recall].map(number);
        [
            vec![quality.name.clone()],
            numbers.to_vec(),
            vec![m.users.to_string()],
        ]
        .concat()
    });
    let variants = summary.variants.iter().map(|variant| {
        let (m, at) = (&variant.quality.metrics, &variant.intervals);
        vec![
            variant.quality.name.clone(),
            within(m.ndcg, at.ndcg),
            within(m.map, at.map),
            within(m.recall, at.recall),
            m.users.to_string(),
        ]
    });
    Table {
        head: vec!["who made the lists", "nDCG@12", "MAP@12", "Recall@12", "users"],
        rows: baselines.chain(variants).collect(),
    }
}

pub(super) fn costs(summary: &Summary) -> Table {
    let rows = summary.scorers.iter().map(|scorer| {
        vec![
            scorer.name.clone(),
            format!("{:.1}", scorer.seconds),
            scorer.rounds.to_string(),
            format!("{:.2}", scorer.bytes as f64 / f64::from(1 << 20)),
            format!("{:.0}", scorer.microseconds),
        ]
    });
    Table {
        head: vec![
            "scorer",
            "seconds to train",
            "passes or trees",
            "MiB",
            "µs for 200 candidates",
        ],
        rows: rows.collect(),
    }
}

/// A metric, and its 95 % bootstrap interval over users.
fn within(value: f64, Interval { low, high }: Interval) -> String {
    format!("{value:.4} ({low:.4} to {high:.4})")
}

fn number(value: f64) -> String {
    format!("{value:.4}")
}
