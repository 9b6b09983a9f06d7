//! Examples: pairs of rows as the numbers that models train on.

use std::collections::HashMap;
use std::ops::Range;

use gondola_models::features::{EncodedTable, PairFeatures, Workflow};
use gondola_models::pipeline::stacking::Stacking;

use super::encoded::{Encoded, EncodedRows};
use crate::features::Snapshot;
use crate::labels::LabeledPairs;
use crate::rows::{ExampleRow, Pair, Row, SnapshotRow};

/// What scorers train on: the labeled pairs of one or more cut-offs, with only those rows that they name.
pub(crate) struct Examples {
    /// The rows of users and items, each as of the cut-off of the pairs that name it.
    pub(crate) encoded: Encoded<ExampleRow>,
    /// The labeled pairs, by these rows.
    pub(crate) labeled: LabeledPairs<ExampleRow>,
    /// Their encoded pair features, row-major.
    pub(crate) features: Vec<f32>,
    /// How many pairs each window has, in the order in which they were added.
    windows: Vec<usize>,
}

impl Examples {
    /// No examples yet, for rows that the workflow makes.
    pub(crate) fn new(workflow: &Workflow) -> Self {
        let layout = workflow.layout();
        Self {
            encoded: Encoded {
                users: empty(layout.user_categorical.len(), layout.user_numeric.len()),
                items: empty(layout.item_categorical.len(), layout.item_numeric.len()),
            },
            labeled: LabeledPairs::default(),
            features: Vec::new(),
            windows: Vec::new(),
        }
    }

    /// Positions of the validation window's pairs, which was added first, and of all others; `None` where
    /// there is one window only.
    pub(crate) fn split(&self) -> Option<(Range<usize>, Range<usize>)> {
        match self.windows[..] {
            [] | [_] => None,
            [first, ..] => Some((0..first, first..self.labeled.pairs.len())),
        }
    }

    /// Positions of all pairs.
    pub(crate) fn all(&self) -> Range<usize> {
        0..self.labeled.pairs.len()
    }

    /// Adds the labeled pairs of a window and of the snapshot before it, with what sources said then.
    pub(crate) fn add(
        &mut self,
        workflow: &Workflow,
        features: PairInputs<'_>,
        snapshot: &Snapshot,
        labeled: &LabeledPairs<SnapshotRow>,
    ) {
        let encoded = Encoded::of(workflow, snapshot);
        let pair_features = features.encoded(&labeled.pairs, snapshot, &encoded.items);
        self.features.extend(pair_features);
        let mut users = Copied::new(&encoded.users, &mut self.encoded.users);
        let mut items = Copied::new(&encoded.items, &mut self.encoded.items);
        let pairs = labeled.pairs.iter().map(|pair| Pair {
            user: users.row(pair.user),
            item: items.row(pair.item),
        });
        self.labeled.pairs.extend(pairs);
        self.labeled.labels.extend_from_slice(&labeled.labels);
        self.labeled.chances.extend_from_slice(&labeled.chances);
        self.windows.push(labeled.pairs.len());
    }
}

fn empty<R: Row>(categorical: usize, numeric: usize) -> EncodedRows<R> {
    EncodedRows::new(EncodedTable::new(categorical, numeric))
}

/// Rows of a snapshot as rows of examples, each copied when it is met first.
struct Copied<'a> {
    from: &'a EncodedRows<SnapshotRow>,
    to: &'a mut EncodedRows<ExampleRow>,
    known: HashMap<SnapshotRow, ExampleRow>,
}

impl<'a> Copied<'a> {
    fn new(from: &'a EncodedRows<SnapshotRow>, to: &'a mut EncodedRows<ExampleRow>) -> Self {
        let known = HashMap::new();
        Self { from, to, known }
    }

    fn row(&mut self, row: SnapshotRow) -> ExampleRow {
        let Self { from, to, known } = self;
        *known.entry(row).or_insert_with(|| to.push(&from.row(row)))
    }
}

/// The raw pair features of many pairs, one list a column: what the workflow is fitted on.
pub(crate) fn raw_pairs(
    features: &PairFeatures,
    pairs: &[Pair<SnapshotRow>],
    snapshot: &Snapshot,
    items: &EncodedRows<SnapshotRow>,
) -> Vec<Vec<Option<f64>>> {
    let mut columns = vec![Vec::with_capacity(pairs.len()); features.width()];
    for pair in pairs {
        let history = snapshot.history.of(pair.user.position());
        for (column, values) in
            columns
                .iter_mut()
                .zip(features.values(history, &[pair.item.0], items.table()))
        {
            column.extend(values);
        }
    }
    columns
}

/// What scorers read of a pair: features of the workflow, and what sources say that knew as much as the snapshot.
#[derive(Clone, Copy)]
pub(crate) struct PairInputs<'a> {
    pub(crate) features: &'a PairFeatures,
    pub(crate) stacking: &'a Stacking,
}

impl PairInputs<'_> {
    /// The inputs of many pairs, `[pairs, width]`, row-major. A user's pairs are encoded together, as those of a request are.
    pub(crate) fn encoded(
        self,
        pairs: &[Pair<SnapshotRow>],
        snapshot: &Snapshot,
        items: &EncodedRows<SnapshotRow>,
    ) -> Vec<f32> {
        let Self { features, stacking } = self;
        let width = features.width() + stacking.width();
        let mut encoded = vec![0.0; pairs.len() * width];
        let mut rows = Vec::new();
        for UsersPairs { user, at, items: own } in by_user(pairs) {
            let history = snapshot.history.of(user.position());
            rows.clear();
            let categories = |row| items.categorical(SnapshotRow(row));
            features.encode(history, &own, categories, &mut rows);
            stacking.append(history, &own, features.width(), &mut rows);
            for (row, position) in at.into_iter().enumerate() {
                encoded[position * width..][..width].copy_from_slice(&rows[row * width..][..width]);
            }
        }
        encoded
    }
}

/// The pairs of one user.
pub(crate) struct UsersPairs {
    pub(crate) user: SnapshotRow,
    /// Their positions among all pairs.
    pub(crate) at: Vec<usize>,
    /// Their items, in the same order.
    pub(crate) items: Vec<u32>,
}

/// Pairs by their users.
pub(crate) fn by_user(pairs: &[Pair<SnapshotRow>]) -> Vec<UsersPairs> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|at| pairs[*at].user);
    let groups = order.chunk_by(|one, other| pairs[*one].user == pairs[*other].user);
    groups
        .map(|group| UsersPairs {
            user: pairs[group[0]].user,
            at: group.to_vec(),
            items: group.iter().map(|at| pairs[*at].item.0).collect(),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod samples {
    use gondola_models::features::{Cardinalities, EncodedRow, Layout};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Categories of users and items.
    const CATEGORIES: u32 = 6;
    const WINDOWS: usize = 3;
    const PAIRS: usize = 1500;

    /// A shop in which users buy items of their own category, mostly.
    pub(in crate::fit) fn shop() -> (Layout, Cardinalities, Examples) {
        let layout = Layout {
            user_categorical: vec!["popular_kind".to_owned()],
            user_numeric: vec!["purchases".to_owned()],
            item_categorical: vec!["kind".to_owned()],
            item_numeric: vec!["price".to_owned()],
            pair: vec!["purchases".to_owned()],
        };
        let sizes = vec![CATEGORIES as usize];
        let cardinalities = Cardinalities {
            user: sizes.clone(),
            item: sizes,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut examples = Examples {
            encoded: Encoded {
                users: rows(&mut rng),
                items: rows(&mut rng),
            },
            labeled: LabeledPairs::default(),
            features: Vec::new(),
            windows: vec![PAIRS; WINDOWS],
        };
        for _ in 0..WINDOWS * PAIRS {
            examples.push(rng.random_range(0..60), rng.random_range(0..60), rng.random());
        }
        (layout, cardinalities, examples)
    }

    fn rows(rng: &mut ChaCha8Rng) -> EncodedRows<ExampleRow> {
        let mut table = EncodedTable::new(1, 1);
        for row in 0..60 {
            table.push(&EncodedRow {
                categorical: vec![row % CATEGORIES],
                numeric: vec![rng.random_range(-1.0..1.0)],
            });
        }
        EncodedRows::new(table)
    }

    impl Examples {
        fn push(&mut self, user: u32, item: u32, luck: f32) {
            let wanted = user % CATEGORIES == item % CATEGORIES;
            let chance = if wanted { 0.9 } else { 0.15 };
            self.labeled.pairs.push(Pair {
                user: ExampleRow(user),
                item: ExampleRow(item),
            });
            self.labeled.labels.push(f32::from(u8::from(luck < chance)));
            self.labeled.chances.push(0.01);
            self.features.push(0.5);
        }
    }
}

#[cfg(test)]
mod tests {
    use gondola_models::features::EncodedRow;

    use super::*;

    #[test]
    fn a_row_is_copied_once_and_then_found_again() {
        let row = |value| EncodedRow {
            categorical: vec![],
            numeric: vec![value],
        };
        let (mut from, mut to) = (empty(0, 1), empty(0, 1));
        for value in [1.0, 2.0, 3.0] {
            from.push(&row(value));
        }
        let mut copied = Copied::new(&from, &mut to);
        let places = [2, 0, 2].map(|place| copied.row(SnapshotRow(place)));
        assert_eq!(places, [0, 1, 0].map(ExampleRow));
        assert_eq!(
            (to.row(ExampleRow(0)), to.row(ExampleRow(1)), to.table().rows()),
            (row(3.0), row(1.0), 2)
        );
    }
}
