//! The first layers of a DLRM, taken apart by who brings their inputs.

use std::ops::Range;

use super::DlrmConfig;
use super::arrangement::Interaction;
use crate::dense::{Activation, Linear, Matrix, inner_products};

/// The first bottom layer, a matrix for each group of its inputs.
pub(super) struct FirstBottom {
    pub(super) user: Matrix,
    /// The item's numeric columns, then the pair features.
    pub(super) item_and_pair: Matrix,
    pub(super) bias: Vec<f32>,
}

/// The first top layer, a matrix for each group of its inputs.
pub(super) struct FirstTop {
    pub(super) user_user: Matrix,
    /// For the user's numbers, where the top reads them.
    pub(super) user_numbers: Matrix,
    pub(super) item_item: Matrix,
    /// For the item's numbers, where the top reads them.
    pub(super) item_numbers: Matrix,
    /// What each candidate brings: see [`Candidate`].
    pub(super) candidate: Matrix,
    pub(super) bias: Vec<f32>,
    pub(super) follows: Activation,
}

/// Where a candidate's inputs of the first top layer are in its row: the bottom's output, and its products with the user's
/// and the item's embeddings and with itself (there are no products where vectors stand side by side), and the pair's features
/// where the top reads them.
pub(super) struct Candidate {
    pub(super) bottom: Range<usize>,
    pub(super) with_user: Range<usize>,
    pub(super) with_item: Range<usize>,
    pub(super) itself: Range<usize>,
    pub(super) pair: Range<usize>,
}

impl Candidate {
    pub(super) fn of(config: &DlrmConfig) -> Self {
        let [users, items, own] = products_with_bottom(config);
        let bottom = 0..config.embedding_dim;
        let with_user = bottom.end..bottom.end + users;
        let with_item = with_user.end..with_user.end + items;
        let itself = with_item.end..with_item.end + own;
        let [_, _, pair] = config.numbers_of_top();
        Self {
            pair: itself.end..itself.end + pair,
            bottom,
            with_user,
            with_item,
            itself,
        }
    }
}

impl FirstBottom {
    pub(super) fn split(layer: &Linear, config: &DlrmConfig) -> Self {
        let user = config.shape.user_numeric;
        Self {
            user: layer.weights().of_inputs(0..user),
            item_and_pair: layer.weights().of_inputs(user..layer.input()),
            bias: layer.bias().to_vec(),
        }
    }
}

/// With how many of the user's embeddings, the item's embeddings and itself the bottom's output is multiplied.
fn products_with_bottom(config: &DlrmConfig) -> [usize; 3] {
    let users = config.shape.user_categorical.len();
    let items = config.shape.item_categorical.len();
    match config.interaction {
        Interaction::Dot => [users, items, 0],
        Interaction::DotWithItself => [users, items, 1],
        Interaction::Cat => [0, 0, 0],
    }
}

impl FirstTop {
    pub(super) fn split(layer: &Linear, config: &DlrmConfig) -> Self {
        let users = config.shape.user_categorical.len();
        let (first_user, first_item) = (1, 1 + users);
        // In the order of `Candidate`.
        let [with_users, with_items, own] = products_with_bottom(config);
        let bottom = 0..config.embedding_dim;
        let with_user = (0..with_users).map(|user| config.product(first_user + user, 0));
        let with_item = (0..with_items).map(|item| config.product(first_item + item, 0));
        let itself = (0..own).map(|_| config.product(0, 0));
        let [user, item, pair] = config.numbers_of_top();
        let user_numbers = config.met()..config.met() + user;
        let item_numbers = user_numbers.end..user_numbers.end + item;
        let pair = item_numbers.end..item_numbers.end + pair;
        let products = with_user.chain(with_item).chain(itself);
        let candidate = bottom.chain(products).chain(pair);
        Self {
            user_numbers: layer.weights().of_inputs(user_numbers),
            item_numbers: layer.weights().of_inputs(item_numbers),
            user_user: layer.weights().of_inputs(met(config, first_user..first_item)),
            item_item: layer
                .weights()
                .of_inputs(met(config, first_item..config.vectors())),
            candidate: layer.weights().of_inputs(candidate),
            bias: layer.bias().to_vec(),
            follows: if config.top.is_empty() {
                Activation::None
            } else {
                Activation::Relu
            },
        }
    }

    /// The weights for the products of the embeddings of some item columns with the user's, `[columns * user columns, width]`.
    pub(super) fn of_columns(layer: &Linear, config: &DlrmConfig, columns: &[usize]) -> Matrix {
        let users = config.shape.user_categorical.len();
        let of_column = |column: &usize| {
            let item = 1 + users + column;
            let met = (1..1 + users).filter(move |user| config.interaction.has(item, *user));
            met.map(move |user| config.product(item, user))
        };
        layer.weights().of_inputs(columns.iter().flat_map(of_column))
    }
}

/// Where the first top layer reads what [`push_met`] makes of some of the vectors.
pub(super) fn met(config: &DlrmConfig, vectors: Range<usize>) -> Vec<usize> {
    if config.interaction == Interaction::Cat {
        let dim = config.embedding_dim;
        return (vectors.start * dim..vectors.end * dim).collect();
    }
    let first = vectors.start;
    let pairs = vectors.flat_map(|row| (first..=row).map(move |column| (row, column)));
    pairs
        .filter(|(row, column)| config.interaction.has(*row, *column))
        .map(|(row, column)| config.product(row, column))
        .collect()
}

/// Adds what vectors bring that nothing else meets: their products with one another, or themselves.
pub(super) fn push_met(interaction: Interaction, vectors: &[f32], dim: usize, met: &mut Vec<f32>) {
    let own = match interaction {
        Interaction::Cat => return met.extend_from_slice(vectors),
        Interaction::Dot => 0,
        Interaction::DotWithItself => 1,
    };
    for (position, vector) in vectors.chunks_exact(dim).enumerate() {
        let start = met.len();
        met.resize(start + position + own, 0.0);
        inner_products(vectors, vector, &mut met[start..]);
    }
}
