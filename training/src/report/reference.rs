//! Figures that the reference published for six of the families, on other data than ours.

use super::table::Table;

/// Caveats that belong to the figures.
pub(super) const NOTE: &str = "What the reference system published for the same families, on the H&M data set and its own negatives. \
    Data and labels differ from those above, so only the order of magnitude compares, not the figures.";

/// Family, AUC, precision, recall.
const PUBLISHED: [(&str, [f64; 3]); 6] = [
    ("dlrm", [0.8794, 0.8236, 0.7100]),
    ("wide-deep", [0.8485, 0.8104, 0.6416]),
    ("dcn", [0.8286, 0.7569, 0.6814]),
    ("mlp", [0.8195, 0.7072, 0.7543]),
    ("forest", [0.8050, 0.8326, 0.7488]),
    ("boosting", [0.7981, 0.8226, 0.7440]),
];

pub(super) fn table() -> Table {
    let rows = PUBLISHED.iter().map(|(family, figures)| {
        let figures = figures.iter().map(|figure| format!("{figure:.4}"));
        std::iter::once((*family).to_owned()).chain(figures).collect()
    });
    Table {
        head: vec!["published for H&M", "AUC", "precision", "recall"],
        rows: rows.collect(),
    }
}
