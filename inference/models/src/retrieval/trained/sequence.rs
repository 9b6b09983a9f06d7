//! A sequence tower: what a user bought, in its order, says what comes next.
//!
//! SASRec (Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018) in blocks that normalize first:
//!
//! ```text
//! x = items[bought] * sqrt(width) + positions                [purchases, width], the latest at the last position
//! x = x + attention(norm(x)); x = x + layers(norm(x))        in each block; nobody looks ahead
//! score = norm(x of the latest) . items + prior              [items]
//! ```
//!
//! [`SequenceNetwork`] is the candle network that trains, [`Sequence`] the same weights in dense layers: of the last block only the latest
//! purchase is computed, since it alone is asked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::block::{Block, Norm, Working};
use super::Bought;
use crate::dense::weights::List;
use crate::dense::{Weights, WeightsError, inner_products};
pub use network::SequenceNetwork;

mod block;
mod network;

/// The shape of a sequence tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceShape {
    /// Width of the places; a multiple of `heads`.
    pub width: usize,
    /// Heads of the attention, each with its share of the width.
    pub heads: usize,
    /// Blocks, one after the other.
    pub blocks: usize,
    /// Width of the hidden layer of a block.
    pub hidden: usize,
    /// Of so many purchases, the latest, the order counts; older ones are not looked at.
    pub length: usize,
}

/// The place of every item, `[items, width]`.
pub const PLACES: &str = "items";
/// What is added to every item's score, `[items]`.
pub const PRIOR: &str = "prior";
/// What is added by the position of a purchase, `[length, width]`.
pub const POSITIONS: &str = "positions";

/// A tensor of a model: its name and its shape.
pub type Named = (String, Vec<usize>);

impl SequenceShape {
    /// Whether heads share the width evenly, and nothing is empty.
    pub fn is_sound(&self) -> bool {
        let Self {
            width,
            heads,
            blocks,
            hidden,
            length,
        } = *self;
        ![width, heads, blocks, hidden, length].contains(&0) && width.is_multiple_of(heads)
    }

    /// Every tensor of a model of so many items.
    pub fn tensors(&self, items: usize) -> Vec<Named> {
        let whole = [
            (PLACES.to_owned(), vec![items, self.width]),
            (PRIOR.to_owned(), vec![items]),
            (POSITIONS.to_owned(), vec![self.length, self.width]),
        ];
        let blocks = (0..self.blocks).flat_map(|number| self.block(number));
        let last = linear("norm", vec![self.width]);
        whole.into_iter().chain(blocks).chain(last).collect()
    }

    fn block(&self, number: usize) -> impl Iterator<Item = Named> {
        let Self { width, hidden, .. } = *self;
        let layers = [
            ("attention.norm", vec![width]),
            ("attention.input", vec![3 * width, width]),
            ("attention.output", vec![width, width]),
            ("layers.norm", vec![width]),
            ("layers.0", vec![hidden, width]),
            ("layers.1", vec![width, hidden]),
        ];
        let named = layers.map(|(name, shape)| linear(&format!("block.{number}.{name}"), shape));
        named.into_iter().flatten()
    }
}

/// The weight of this shape and the bias of a layer.
fn linear(name: &str, shape: Vec<usize>) -> [Named; 2] {
    let bias = vec![shape[0]];
    [(format!("{name}.weight"), shape), (format!("{name}.bias"), bias)]
}

/// A sequence tower that answers.
#[derive(Debug)]
pub struct Sequence {
    shape: SequenceShape,
    /// `[items, width]`, row-major.
    places: Vec<f32>,
    /// `[items]`.
    prior: Vec<f32>,
    /// `[length, width]`, row-major.
    positions: Vec<f32>,
    blocks: Vec<Block>,
    norm: Norm,
    /// The tensors of blocks and of the last norm as they were trained, by name, for whoever writes them.
    layers: HashMap<String, Vec<f32>>,
}

thread_local! {
    static WORKING: RefCell<Working> = RefCell::default();
}

impl Sequence {
    /// Takes every tensor of [`SequenceShape::tensors`] by its name, row-major. Panics where one is missing or of another shape: those
    /// that were read are checked as they are read.
    pub fn new(shape: SequenceShape, mut tensors: HashMap<String, Vec<f32>>) -> Self {
        let mut take = |name: &str| tensors.remove(name).expect("every tensor is there");
        let (places, prior, positions) = (take(PLACES), take(PRIOR), take(POSITIONS));
        let blocks = 0..shape.blocks;
        Self {
            shape,
            blocks: blocks
                .map(|number| Block::new(&tensors, number, shape.heads))
                .collect(),
            norm: Norm::new(&tensors, "norm"),
            layers: tensors,
            places,
            prior,
            positions,
        }
    }

    /// How many items it knows.
    pub fn items(&self) -> usize {
        self.prior.len()
    }

    /// Its shape.
    pub fn shape(&self) -> SequenceShape {
        self.shape
    }

    /// The place of what comes next for one who bought these, `[width]`; none for one who bought nothing.
    pub fn place(&self, bought: &[Bought]) -> Option<Vec<f32>> {
        let latest = latest(bought, self.shape.length);
        if latest.is_empty() {
            return None;
        }
        WORKING.with_borrow_mut(|working| {
            self.begin(&latest, &mut working.x);
            for (number, block) in (1..).zip(&self.blocks) {
                let needed = if number == self.blocks.len() {
                    1
                } else {
                    latest.len()
                };
                block.run(working, needed);
            }
            let mut place = vec![0.0; self.shape.width];
            self.norm.rows(&working.x, &mut place);
            Some(place)
        })
    }

    /// The first block's input: the places of these items, and of their positions from the end.
    fn begin(&self, items: &[u32], x: &mut Vec<f32>) {
        let width = self.shape.width;
        let scale = (width as f32).sqrt();
        let first = self.shape.length - items.len();
        x.clear();
        for (position, item) in (first..).zip(items) {
            let place = &self.places[*item as usize * width..][..width];
            let position = &self.positions[position * width..][..width];
            x.extend(
                place
                    .iter()
                    .zip(position)
                    .map(|(place, position)| place * scale + position),
            );
        }
    }

    pub(super) fn score(&self, bought: &[Bought], scores: &mut [f32]) {
        let Some(place) = self.place(bought) else {
            return;
        };
        inner_products(&self.places, &place, scores);
        for (score, prior) in scores.iter_mut().zip(&self.prior) {
            *score += prior;
        }
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), WeightsError> {
        let named = self.shape.tensors(self.items());
        let tensors: Vec<(&str, List<'_>)> = named
            .iter()
            .map(|(name, shape)| {
                let values = match name.as_str() {
                    PLACES => &self.places,
                    PRIOR => &self.prior,
                    POSITIONS => &self.positions,
                    layer => &self.layers[layer],
                };
                (name.as_str(), List::Shaped(values, shape))
            })
            .collect();
        Weights::write(path, &tensors)
    }

    pub(super) fn load(weights: &Weights, items: usize, shape: SequenceShape) -> Result<Self, WeightsError> {
        if !shape.is_sound() {
            let problem =
                format!("can't be of {shape:?}: nothing may be 0, and the width a multiple of heads");
            return Err(weights.wrong(PLACES, problem));
        }
        let read = |(name, shape): Named| {
            let values = weights.tensor(&name, &shape)?;
            Ok((name, values))
        };
        let tensors: Result<_, WeightsError> = shape.tensors(items).into_iter().map(read).collect();
        Ok(Self::new(shape, tensors?))
    }
}

/// The latest of what was bought, in the order in which it was.
fn latest(bought: &[Bought], length: usize) -> Vec<u32> {
    let mut in_order: Vec<&Bought> = bought.iter().collect();
    in_order.sort_unstable_by(|a, b| {
        let by_day = b.days_since_last.total_cmp(&a.days_since_last);
        by_day.then_with(|| a.item.cmp(&b.item))
    });
    let older = in_order.len().saturating_sub(length);
    in_order[older..].iter().map(|bought| bought.item).collect()
}

#[cfg(test)]
mod tests;
