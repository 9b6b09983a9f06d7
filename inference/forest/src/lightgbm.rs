//! LightGBM's text model format, versions 3 and 4.
//!
//! A header of `key=value` lines, then one block of `key=value` lines for each `Tree=N`, then `end of trees`; of what
//! follows (importances, parameters) only the categories are read. In a block, `split_feature`, `threshold`, `decision_type`,
//! `left_child` and `right_child` have one value per inner node; a child below 0 is the leaf `-child - 1`. Bit 0 of a
//! decision type says that the split is by category, bit 1 that missing values go left, bits 2 and 3 what is missing
//! (0 nothing, 1 zero, 2 NaN). A split by category finds its set of categories, a bit each, through `cat_boundaries`.
//!
//! The file is checked as it is read: what comes out is a tree (every inner node and leaf has exactly one parent but the
//! root), and its indexes hold. Sizes that the file claims are compared with the values that are there before anything
//! is reserved for them. Linear trees and several classes are refused by name.
//!
//! Behind the trees stand the categories of a data frame, if the model was trained on one: see [`frame`].

mod frame;

use std::collections::BTreeMap;

use super::model::{
    CategorySets, Combine, Entry, MAX_LEAVES, Missing, Model, Objective, Split, Tree, TreeError,
};
use frame::Frame;

/// Why a text is no LightGBM model that we can read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum LightGbmError {
    /// The first line is not `tree`.
    #[error("not a LightGBM text model: its first line is not `tree`; save it with `save_model`")]
    NotAModel,
    /// The file ends too early.
    #[error(
        "the LightGBM model ends before `end of trees`, after {trees} trees; it was cut off, fetch it again"
    )]
    Truncated {
        /// Trees that begin before the end.
        trees: usize,
    },
    /// The header is wrong.
    #[error("the LightGBM model's header has {key}={value}, but {wanted}")]
    Header {
        /// Which line.
        key: &'static str,
        /// What it says.
        value: String,
        /// What would do.
        wanted: &'static str,
    },
    /// A header line is missing.
    #[error("the LightGBM model's header has no {key}")]
    HeaderLacks {
        /// Which line.
        key: &'static str,
    },
    /// Not as many names as features.
    #[error("the LightGBM model names {names} features, but max_feature_idx makes {features}")]
    FeatureNames {
        /// Number of names.
        names: usize,
        /// Number of features.
        features: usize,
    },
    /// Not as many trees as the header says.
    #[error("the LightGBM model has {found} trees, but tree_sizes lists {listed}")]
    TreeCount {
        /// Trees in the file.
        found: usize,
        /// Trees in the header.
        listed: usize,
    },
    /// A line of a tree is missing, or is there twice.
    #[error("tree {tree} has {count} lines {key}=, it must have one")]
    TreeLine {
        /// Number of the tree, from 0.
        tree: usize,
        /// Which line.
        key: &'static str,
        /// How many there are.
        count: usize,
    },
    /// A line has too few or too many values.
    #[error("tree {tree} has {found} values in {key}, it must have {wanted}")]
    TreeLength {
        /// Number of the tree, from 0.
        tree: usize,
        /// Which line.
        key: &'static str,
        /// Values that are there; counting stops at one too many.
        found: usize,
        /// Values that follow from `num_leaves` or `num_cat`.
        wanted: usize,
    },
    /// A value of a tree makes no sense.
    #[error("tree {tree}, {key}[{position}] is {value}, but {wanted}")]
    TreeValue {
        /// Number of the tree, from 0.
        tree: usize,
        /// Which line.
        key: &'static str,
        /// Which node or leaf, or which value of the line.
        position: usize,
        /// What it says.
        value: String,
        /// What would do.
        wanted: &'static str,
    },
    /// Nodes and leaves make no tree; leaves are numbered on after the inner nodes.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The tree is linear.
    #[error("tree {tree} is linear (is_linear=1), which is not supported; train without linear_tree")]
    Linear {
        /// Number of the tree, from 0.
        tree: usize,
    },
    /// The categories of the data frame can't be read.
    #[error("the LightGBM model's line pandas_categorical cannot be read ({cause}); save the model again")]
    Frame {
        /// What is wrong with it.
        cause: String,
    },
    /// The data frame's categories belong to columns that the file does not name.
    #[error(
        "the LightGBM model was trained on a data frame with {lists} category columns, but splits {columns} columns by category, and the file does not say which have whose categories; train on the workflow's indexes as integers, with categorical_feature"
    )]
    FrameColumns {
        /// Category columns of the data frame.
        lists: usize,
        /// Columns that the model splits by category.
        columns: usize,
    },
    /// A category of the data frame is not an index.
    #[error(
        "the LightGBM model was trained on a data frame in which column {column} has the category {category}, but the workflow gives indexes, whole numbers from 0 to 16777216; train on the workflow's indexes"
    )]
    FrameCategory {
        /// The column, from 0.
        column: usize,
        /// Its category, as JSON.
        category: String,
    },
    /// A tree knows more categories than the data frame had.
    #[error(
        "tree {tree} splits column {column} by the category with the code {code}, but the data frame's column had {categories} categories; train on the workflow's indexes as integers, with categorical_feature"
    )]
    FrameCode {
        /// Number of the tree, from 0.
        tree: usize,
        /// The column, from 0.
        column: usize,
        /// The code.
        code: usize,
        /// How many categories the column had.
        categories: usize,
    },
}

use LightGbmError as Error;

/// The name under which a model file knows an input: LightGBM puts `_` for spaces and refuses the other characters that
/// are replaced here, so a trainer must name its columns so.
pub fn lightgbm_name(input: &str) -> String {
    let forbidden = |c: char| c.is_whitespace() || matches!(c, ',' | ':' | '[' | ']' | '{' | '}' | '"');
    input.replace(forbidden, "_")
}

/// Reads a model.
pub(crate) fn parse(text: &str) -> Result<Model, LightGbmError> {
    let mut lines = text.lines().map(str::trim_end);
    if lines.next() != Some("tree") {
        return Err(Error::NotAModel);
    }
    let mut head = Lines::default();
    let mut blocks: Vec<Lines<'_>> = Vec::new();
    let mut ended = false;
    for line in lines.by_ref() {
        if line == "end of trees" {
            ended = true;
            break;
        }
        if line.starts_with("Tree=") {
            blocks.push(Lines::default());
            continue;
        }
        if let Some((key, value)) = line.split_once('=').or((!line.is_empty()).then_some((line, ""))) {
            blocks.last_mut().unwrap_or(&mut head).push(key, value);
        }
    }
    if !ended {
        return Err(Error::Truncated { trees: blocks.len() });
    }
    let header = Header::read(&head)?;
    let frame = Frame::read(&head, header.features, lines)?;
    if let Some(listed) = header.listed_trees
        && listed != blocks.len()
    {
        return Err(Error::TreeCount {
            found: blocks.len(),
            listed,
        });
    }
    let mut sets = CategorySets::default();
    let mut trees = Vec::with_capacity(blocks.len());
    for (number, lines) in blocks.iter().enumerate() {
        let block = Block {
            number,
            lines,
            frame: &frame,
        };
        trees.push(block.tree(header.features, &mut sets)?);
    }
    Ok(Model {
        feature_names: header.feature_names,
        features: header.features,
        reading: frame.reading(),
        combine: Combine::Sum,
        start: 0.0,
        divisor: if header.average {
            trees.len().max(1) as f64
        } else {
            1.0
        },
        objective: header.objective,
        trees,
        remarks: Vec::new(),
    })
}

/// Lines of one block by key, with how often each key came.
#[derive(Default)]
struct Lines<'a>(BTreeMap<&'a str, (&'a str, usize)>);

impl<'a> Lines<'a> {
    fn push(&mut self, key: &'a str, value: &'a str) {
        self.0.entry(key).or_insert((value, 0)).1 += 1;
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(|(value, _)| *value)
    }

    fn count(&self, key: &str) -> usize {
        self.0.get(key).map_or(0, |(_, count)| *count)
    }
}

struct Header {
    feature_names: Option<Vec<String>>,
    features: usize,
    average: bool,
    objective: Objective,
    listed_trees: Option<usize>,
}

impl Header {
    fn read(lines: &Lines<'_>) -> Result<Self, Error> {
        let wrong = |key, value: &str, wanted| Error::Header {
            key,
            value: excerpt(value),
            wanted,
        };
        let needed = |key| lines.get(key).ok_or(Error::HeaderLacks { key });

        let version = needed("version")?;
        if !matches!(version, "v3" | "v4") {
            return Err(wrong(
                "version",
                version,
                "only v3 and v4 are supported; save it with LightGBM 3 or 4",
            ));
        }
        let classes = needed("num_class")?;
        if classes != "1" {
            let wanted = "a score is one number; train with two classes (objective=binary)";
            return Err(wrong("num_class", classes, wanted));
        }
        let per_iteration = needed("num_tree_per_iteration")?;
        if per_iteration != "1" {
            let wanted = "a score is one number; train with one tree per iteration";
            return Err(wrong("num_tree_per_iteration", per_iteration, wanted));
        }
        let last = needed("max_feature_idx")?;
        let features = last
            .parse::<u32>()
            .ok()
            .and_then(|last| (last < i32::MAX as u32).then_some(last as usize + 1))
            .ok_or_else(|| {
                wrong(
                    "max_feature_idx",
                    last,
                    "it must be a number from 0 to 2147483646",
                )
            })?;

        Ok(Self {
            feature_names: feature_names(lines.get("feature_names"), features)?,
            features,
            average: lines.get("average_output").is_some(),
            objective: objective(lines.get("objective").unwrap_or("none"))?,
            listed_trees: lines
                .get("tree_sizes")
                .map(|sizes| sizes.split_whitespace().count()),
        })
    }
}

/// The names, if they are not the ones that LightGBM makes up where it was given none.
fn feature_names(line: Option<&str>, features: usize) -> Result<Option<Vec<String>>, Error> {
    let Some(line) = line else { return Ok(None) };
    let names: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if names.len() != features {
        return Err(Error::FeatureNames {
            names: names.len(),
            features,
        });
    }
    let made_up = names
        .iter()
        .enumerate()
        .all(|(i, name)| *name == format!("Column_{i}"));
    Ok((!made_up).then_some(names))
}

fn objective(line: &str) -> Result<Objective, Error> {
    let wrong = |wanted| Error::Header {
        key: "objective",
        value: excerpt(line),
        wanted,
    };
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or("none");
    match name {
        "binary" => {
            let slope = words
                .find_map(|word| word.strip_prefix("sigmoid:"))
                .map_or(Some(1.0), |slope| slope.parse::<f64>().ok())
                .filter(|slope| slope.is_finite() && *slope > 0.0)
                .ok_or_else(|| wrong("the sigmoid's slope must be a number above 0"))?;
            Ok(Objective::Sigmoid { slope })
        }
        "cross_entropy" => Ok(Objective::Sigmoid { slope: 1.0 }),
        "multiclass" | "multiclassova" => Err(wrong(
            "a score is one number; train with two classes (objective=binary)",
        )),
        "none" | "custom" | "lambdarank" | "rank_xendcg" => Ok(Objective::Identity),
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => {
            match words.any(|word| word == "sqrt") {
                true => Err(wrong("reg_sqrt is not supported; train without it")),
                false => Ok(Objective::Identity),
            }
        }
        _ => Err(wrong(
            "only binary, cross_entropy, regression, ranking and none are supported",
        )),
    }
}

/// The lines of one tree.
struct Block<'a> {
    number: usize,
    lines: &'a Lines<'a>,
    frame: &'a Frame,
}

impl<'a> Block<'a> {
    fn tree(&self, features: usize, sets: &mut CategorySets) -> Result<Tree, Error> {
        let tree = self.number;
        if self.lines.get("is_linear").is_some_and(|flag| flag != "0") {
            return Err(Error::Linear { tree });
        }
        let count: usize = self.single("num_leaves", "it must be a number from 1 to 131072")?;
        if !(1..=MAX_LEAVES).contains(&count) {
            return Err(self.value("num_leaves", 0, count, "it must be from 1 to 131072"));
        }
        let leaves: Vec<f64> = self.list("leaf_value", count, "it must be a number")?;
        if let Some(leaf) = leaves.iter().position(|value| !value.is_finite()) {
            return Err(self.value("leaf_value", leaf, leaves[leaf], "it must be finite"));
        }
        let mut entries = match count {
            1 => Vec::new(),
            _ => self.nodes(count, sets)?,
        };
        entries.extend(leaves.into_iter().map(Entry::Leaf));
        Ok(Tree::grow_whole(tree, entries, features)?)
    }

    fn nodes(&self, leaves: usize, sets: &mut CategorySets) -> Result<Vec<Entry>, Error> {
        let inner = leaves - 1;
        let feature: Vec<usize> = self.list("split_feature", inner, "it must be a feature's number")?;
        let threshold: Vec<f64> = self.list("threshold", inner, "it must be a number")?;
        let decision: Vec<u8> = self.list("decision_type", inner, "it must be a number from 0 to 11")?;
        let left: Vec<i64> = self.list("left_child", inner, "it must be a node's number")?;
        let right: Vec<i64> = self.list("right_child", inner, "it must be a node's number")?;
        let mut codes = self.sets()?;

        let mut nodes = Vec::with_capacity(inner + leaves);
        for node in 0..inner {
            let split = self.split(node, decision[node], threshold[node], &mut codes)?;
            nodes.push(Entry::Inner {
                feature: feature[node],
                split: self.by_value(feature[node], split, sets)?,
                left: self.child(node, "left_child", left[node], inner)?,
                right: self.child(node, "right_child", right[node], inner)?,
            });
        }
        Ok(nodes)
    }

    /// Takes the node's category set out of `sets`: LightGBM writes one for each such node.
    fn split(
        &self,
        node: usize,
        decision: u8,
        threshold: f64,
        sets: &mut [Option<Vec<u32>>],
    ) -> Result<Split, Error> {
        if decision & 1 == 1 {
            let number = (threshold >= 0.0 && threshold.fract() == 0.0).then_some(threshold as usize);
            let Some(set) = number.and_then(|number| sets.get_mut(number)?.take()) else {
                let wanted = "it must be the number of a category set of its own";
                return Err(self.value("threshold", node, threshold, wanted));
            };
            return Ok(Split::Category {
                set,
                missing_left: false,
            });
        }
        if threshold.is_nan() {
            return Err(self.value("threshold", node, threshold, "it must not be NaN"));
        }
        let missing = match decision >> 2 {
            0 => Missing::None,
            1 => Missing::Zero,
            2 => Missing::NaN,
            _ => return Err(self.value("decision_type", node, decision, "it must be from 0 to 11")),
        };
        Ok(Split::Number {
            threshold,
            missing,
            missing_left: decision & 2 == 2,
        })
    }

    /// The split with the values that its codes stand for.
    fn by_value(&self, feature: usize, split: Split, sets: &mut CategorySets) -> Result<Split, Error> {
        match split {
            Split::Category { set, missing_left } => Ok(Split::Category {
                set: self.frame.values(self.number, feature, set, sets)?,
                missing_left,
            }),
            Split::Number { .. } => Ok(split),
        }
    }

    /// The number of the child's entry: `inner` nodes come first, and one leaf more than that follows.
    fn child(&self, node: usize, side: &'static str, child: i64, inner: usize) -> Result<usize, Error> {
        let (number, count) = match child {
            0.. => (child as usize, inner),
            _ => (!child as usize, inner + 1),
        };
        match number < count {
            true if child < 0 => Ok(inner + number),
            true => Ok(number),
            false => Err(self.value(side, node, child, "the tree has no such node or leaf")),
        }
    }

    /// The category sets of the tree, in order.
    fn sets(&self) -> Result<Vec<Option<Vec<u32>>>, Error> {
        let count: usize = self.single("num_cat", "it must be a number")?;
        if count == 0 {
            return Ok(Vec::new());
        }
        if count > MAX_LEAVES {
            return Err(self.value("num_cat", 0, count, "it must be below num_leaves"));
        }
        let bounds: Vec<usize> = self.list("cat_boundaries", count + 1, "it must be a number")?;
        let words = self.line("cat_threshold")?.split_whitespace().count();
        for (position, pair) in bounds.windows(2).enumerate() {
            if pair[0] > pair[1] || pair[1] > words {
                let wanted = "boundaries must grow and stay within cat_threshold";
                return Err(self.value("cat_boundaries", position + 1, pair[1], wanted));
            }
        }
        let words: Vec<u32> = self.list("cat_threshold", words, "it must be a number below 4294967296")?;
        Ok(bounds
            .windows(2)
            .map(|pair| Some(words[pair[0]..pair[1]].to_vec()))
            .collect())
    }

    fn line(&self, key: &'static str) -> Result<&'a str, Error> {
        match (self.lines.count(key), self.lines.get(key)) {
            (1, Some(line)) => Ok(line),
            (count, _) => Err(Error::TreeLine {
                tree: self.number,
                key,
                count,
            }),
        }
    }

    fn single<T: std::str::FromStr>(&self, key: &'static str, wanted: &'static str) -> Result<T, Error> {
        let text = self.line(key)?;
        text.trim()
            .parse()
            .map_err(|_| self.value(key, 0, excerpt(text), wanted))
    }

    /// The values of a line, which must be `wanted_count`; nothing is reserved beyond what is there.
    fn list<T: std::str::FromStr>(
        &self,
        key: &'static str,
        wanted_count: usize,
        wanted: &'static str,
    ) -> Result<Vec<T>, Error> {
        let line = self.line(key)?;
        let found = line
            .split_ascii_whitespace()
            .take(wanted_count.saturating_add(1))
            .count();
        if found != wanted_count {
            return Err(Error::TreeLength {
                tree: self.number,
                key,
                found,
                wanted: wanted_count,
            });
        }
        let mut values = Vec::with_capacity(found);
        for (position, text) in line.split_ascii_whitespace().enumerate() {
            values.push(
                text.parse()
                    .map_err(|_| self.value(key, position, excerpt(text), wanted))?,
            );
        }
        Ok(values)
    }

    fn value(&self, key: &'static str, position: usize, value: impl ToString, wanted: &'static str) -> Error {
        Error::TreeValue {
            tree: self.number,
            key,
            position,
            value: value.to_string(),
            wanted,
        }
    }
}

/// The beginning of a text that may be long, for a message.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}
