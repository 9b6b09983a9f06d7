//! Trees in LightGBM's text format that split where values are: a random forest, and gradient boosting.

use std::fmt::{Display, Write};
use std::fs;
use std::path::Path;

use gondola_models::features::Workflow;
use gondola_models::scoring::forest::lightgbm_name;
use gondola_models::scoring::{Family, ScorerConfig};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::draw;

const TREES: usize = 100;
/// How often a node below the sixth level splits: makes about 870 leaves a tree.
const SPLITS: f64 = 0.86;

/// What tells one kind of trees from another.
pub(super) struct Kind {
    /// The lines of the header that say what is made of the leaves.
    result: &'static str,
    /// Levels of inner nodes.
    depth: usize,
    purpose: u64,
}

/// About 870 leaves a tree.
pub(super) const FOREST: Kind = Kind {
    result: "objective=none\naverage_output",
    depth: 12,
    purpose: 6,
};

/// 64 leaves a tree.
pub(super) const BOOSTING: Kind = Kind {
    result: "objective=binary sigmoid:1",
    depth: 6,
    purpose: 10,
};

/// What a threshold is drawn from.
#[derive(Clone, Copy)]
enum Input {
    /// An index into a vocabulary of this size.
    Category(usize),
    Number,
}

#[derive(Default)]
struct Tree {
    feature: Vec<usize>,
    threshold: Vec<f32>,
    left: Vec<i64>,
    right: Vec<i64>,
    leaves: Vec<f32>,
}

/// Writes the scorer bundle.
pub(super) fn write(folder: &Path, workflow: &Workflow, kind: &Kind) -> anyhow::Result<()> {
    let inputs = workflow.layout().inputs();
    let mut rng = draw::rng(kind.purpose);
    let kinds = kinds(workflow);
    let trees: Vec<String> = (0..TREES)
        .map(|number| {
            let mut tree = Tree::default();
            tree.grow(0, kind.depth, &kinds, &mut rng);
            tree.to_text(number)
        })
        .collect();
    let names: Vec<String> = inputs.iter().map(|input| lightgbm_name(input)).collect();
    let infos = vec!["[-inf:inf]"; inputs.len()].join(" ");
    let sizes: Vec<String> = trees.iter().map(|tree| (tree.len() + 1).to_string()).collect();
    let header = format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx={}\n{}\n\
         feature_names={}\nfeature_infos={infos}\ntree_sizes={}\n\n",
        inputs.len() - 1,
        kind.result,
        names.join(" "),
        sizes.join(" ")
    );
    fs::write(
        folder.join("model.txt"),
        format!("{header}{}\nend of trees\n", trees.join("\n")),
    )?;
    let scorer = ScorerConfig {
        sampled_by: None,
        sources: Vec::new(),
        inputs,
        family: Family::Forest,
    };
    fs::write(folder.join("scorer.json"), serde_json::to_vec_pretty(&scorer)?)?;
    Ok(())
}

/// In the order of the layout's inputs.
fn kinds(workflow: &Workflow) -> Vec<Input> {
    let (layout, cardinalities) = (workflow.layout(), workflow.cardinalities());
    let categories = |sizes: Vec<usize>| sizes.into_iter().map(Input::Category);
    let numbers = |names: &[String]| vec![Input::Number; names.len()];
    categories(cardinalities.user)
        .chain(numbers(&layout.user_numeric))
        .chain(categories(cardinalities.item))
        .chain(numbers(&layout.item_numeric))
        .chain(numbers(&layout.pair))
        .collect()
}

impl Tree {
    /// Adds a node and what is below it. Gives its number as LightGBM writes it: leaf `n` is `-n - 1`.
    fn grow(&mut self, depth: usize, deepest: usize, kinds: &[Input], rng: &mut ChaCha8Rng) -> i64 {
        if depth == deepest || (depth > 6 && !rng.random_bool(SPLITS)) {
            self.leaves.push(rng.random());
            return -(self.leaves.len() as i64);
        }
        let node = self.feature.len();
        let feature = rng.random_range(0..kinds.len());
        self.feature.push(feature);
        self.threshold.push(match kinds[feature] {
            Input::Category(cardinality) => draw::category(rng, cardinality - 2) as f32 + 2.5,
            Input::Number => ((draw::amount(rng) - 40.0) / 28.28) as f32,
        });
        self.left.push(0);
        self.right.push(0);
        self.left[node] = self.grow(depth + 1, deepest, kinds, rng);
        self.right[node] = self.grow(depth + 1, deepest, kinds, rng);
        node as i64
    }

    fn to_text(&self, number: usize) -> String {
        let mut text = format!("Tree={number}\nnum_leaves={}\nnum_cat=0\n", self.leaves.len());
        let nodes = self.feature.len();
        line(&mut text, "split_feature", &self.feature);
        line(&mut text, "split_gain", &vec![0; nodes]);
        line(&mut text, "threshold", &self.threshold);
        line(&mut text, "decision_type", &vec![2; nodes]);
        line(&mut text, "left_child", &self.left);
        line(&mut text, "right_child", &self.right);
        line(&mut text, "leaf_value", &self.leaves);
        line(&mut text, "leaf_count", &vec![1; self.leaves.len()]);
        text.push_str("is_linear=0\nshrinkage=1\n\n");
        text
    }
}

fn line(text: &mut String, key: &str, values: &[impl Display]) {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    writeln!(text, "{key}={}", values.join(" ")).expect("a string takes any text");
}
