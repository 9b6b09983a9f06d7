//! A network's scores of all candidates of many users.
//!
//! What the items of the snapshot bring is computed once and stays on the device, a row an item; what was put since is computed
//! again whenever something is put. Pairs are scored a fixed number at a time, so that memory has a bound and an answer doesn't
//! depend on who else is asked about.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use candle_core::{Device, Result as CandleResult, Tensor, WithDType};

use super::TOGETHER;
use crate::features::EncodedRow;
use crate::items::{Items, ItemsView};
use crate::scoring::neural::InputShape;
use crate::scoring::neural::parts::{Pairs, Parts, Rows, upload};
use crate::scoring::{PartsOfShape, push_probabilities};

/// Pairs scored at a time: of a DLRM with 30 vectors of 64 values, about 60 MiB.
const AT_A_TIME: usize = 4096;

/// Items of which what they bring is computed at a time.
const ITEMS_AT_A_TIME: usize = 8192;

/// A network that scores, on a device.
pub(crate) struct PairScorer {
    device: Device,
    parts: Box<dyn Parts>,
    shape: InputShape,
    /// What each item of the snapshot brings, `[items, width]`.
    snapshot: Tensor,
    put: ArcSwapOption<Put>,
}

/// What the items that were put bring.
struct Put {
    /// When that was: see [`ItemsView::version`].
    version: u64,
    /// `[put items, width]`.
    part: Tensor,
}

/// Candidates of several users.
pub(crate) struct Candidates<'a> {
    /// Each user's row, and the number of their candidates; at most [`TOGETHER`].
    pub(crate) users: &'a [(&'a EncodedRow, usize)],
    /// The items' rows, one user's after the other's.
    pub(crate) items: &'a [u32],
    /// Encoded features of each pair: `[items.len(), pair features]`.
    pub(crate) pairs: &'a [f32],
}

/// Some of the pairs of a user and a candidate, on their way to the device.
#[derive(Default)]
struct Chunk {
    /// Which user each has.
    users: Vec<u32>,
    /// Its item's row, and 0 where that was put.
    items: Vec<u32>,
    /// Which of the items that were put it has, and 0 where it has none.
    put: Vec<u32>,
    is_put: Vec<u8>,
    /// See [`Parts::push_places`].
    places: Vec<u32>,
    features: Vec<f32>,
}

impl PairScorer {
    /// Computes what the items of the snapshot bring.
    pub(super) fn new(
        PartsOfShape { parts, shape }: PartsOfShape,
        items: &Items,
        device: &Device,
    ) -> CandleResult<Self> {
        Ok(Self {
            snapshot: snapshot(parts.as_ref(), &shape, items, device)?,
            parts,
            shape,
            put: ArcSwapOption::empty(),
            device: device.clone(),
        })
    }

    /// Puts one score per candidate into `scores`, in the order given.
    pub(crate) fn score(
        &self,
        candidates: &Candidates<'_>,
        items: &ItemsView<'_>,
        scores: &mut Vec<f32>,
    ) -> CandleResult<()> {
        scores.clear();
        let users = self.users(candidates.users)?;
        let put = self.put(items)?;
        let of_user = candidates.users.iter().zip(0..);
        let of_user: Vec<u32> = of_user
            .flat_map(|((_, count), user)| std::iter::repeat_n(user, *count))
            .collect();
        for first in (0..of_user.len()).step_by(AT_A_TIME) {
            let of_user = &of_user[first..of_user.len().min(first + AT_A_TIME)];
            let chunk = self.chunk(candidates, first, of_user, items);
            let pairs = self.pairs(chunk, &users, put.as_deref())?;
            let logits: Vec<f32> = self.parts.logits(&pairs)?.to_vec1()?;
            push_probabilities(&logits[..of_user.len()], scores);
        }
        Ok(())
    }

    /// What each user brings, `[TOGETHER, width]`.
    fn users(&self, users: &[(&EncodedRow, usize)]) -> CandleResult<Tensor> {
        let rows = users.iter().map(|(row, _)| as_slices(row));
        let vocabularies = &self.shape.user_categorical;
        self.parts
            .users(&Rows::upload(rows, TOGETHER, vocabularies, &self.device)?)
    }

    /// The pairs from the position `first` on, whose users are `of_user`.
    fn chunk(
        &self,
        candidates: &Candidates<'_>,
        first: usize,
        of_user: &[u32],
        items: &ItemsView<'_>,
    ) -> Chunk {
        let (width, count) = (self.shape.pair, of_user.len());
        let mut chunk = Chunk {
            users: of_user.to_vec(),
            features: candidates.pairs[first * width..(first + count) * width].to_vec(),
            ..Chunk::default()
        };
        for (user, row) in of_user.iter().zip(&candidates.items[first..]) {
            let slot = items.put_slot(*row);
            chunk.items.push(if slot.is_some() { 0 } else { *row });
            chunk.put.push(slot.unwrap_or_default() as u32);
            chunk.is_put.push(slot.is_some().into());
            let (user, _) = candidates.users[*user as usize];
            let item = items.categorical(*row);
            self.parts.push_places(&user.categorical, item, &mut chunk.places);
        }
        chunk
    }

    /// The pairs of a chunk on the device, filled up to as many as are scored at a time.
    fn pairs(&self, chunk: Chunk, users: &Tensor, put: Option<&Put>) -> CandleResult<Pairs> {
        let count = chunk.users.len();
        let item = self.snapshot.index_select(&self.column(chunk.items)?, 0)?;
        let item = match put.filter(|_| chunk.is_put.contains(&1)) {
            None => item,
            Some(put) => {
                let put = put.part.index_select(&self.column(chunk.put)?, 0)?;
                let is_put = self.column(chunk.is_put)?.unsqueeze(1)?;
                is_put.broadcast_as(item.shape())?.where_cond(&put, &item)?
            }
        };
        Ok(Pairs {
            user: users.index_select(&self.column(chunk.users)?, 0)?,
            item,
            features: self.columns(chunk.features, count)?,
            places: self.columns(chunk.places, count)?,
        })
    }

    /// One value of each pair, `[AT_A_TIME]`.
    fn column<T: WithDType + Default>(&self, mut values: Vec<T>) -> CandleResult<Tensor> {
        values.resize(AT_A_TIME, T::default());
        Tensor::from_vec(values, AT_A_TIME, &self.device)
    }

    /// Several values of each of `count` pairs, `[AT_A_TIME, values]`.
    fn columns<T: WithDType + Default>(
        &self,
        mut values: Vec<T>,
        count: usize,
    ) -> CandleResult<Option<Tensor>> {
        values.resize(values.len() / count * AT_A_TIME, T::default());
        upload(values, AT_A_TIME, &self.device)
    }

    /// What the items that were put bring, as of a view.
    fn put(&self, items: &ItemsView<'_>) -> CandleResult<Option<Arc<Put>>> {
        let version = items.version();
        if items.put_items().next().is_none() {
            return Ok(None);
        }
        if let Some(put) = self.put.load_full().filter(|put| put.version == version) {
            return Ok(Some(put));
        }
        let (rows, count) = (items.put_items(), items.put_items().count());
        let rows = rows.map(|item| as_slices(&item.encoded));
        let vocabularies = &self.shape.item_categorical;
        let rows = Rows::upload(rows, count, vocabularies, &self.device)?;
        let part = self.parts.items(&rows)?;
        let put = Arc::new(Put { version, part });
        self.put.store(Some(Arc::clone(&put)));
        Ok(Some(put))
    }
}

fn as_slices(row: &EncodedRow) -> (&[u32], &[f32]) {
    (&row.categorical, &row.numeric)
}

/// What each item of the snapshot brings, some at a time.
fn snapshot(parts: &dyn Parts, shape: &InputShape, items: &Items, device: &Device) -> CandleResult<Tensor> {
    let encoded = items.encoded();
    let part = |first: usize| {
        let rows = first..(first + ITEMS_AT_A_TIME).min(encoded.rows());
        let count = rows.len();
        let rows = rows.map(|row| (encoded.categorical(row), encoded.numeric(row)));
        parts.items(&Rows::upload(rows, count, &shape.item_categorical, device)?)
    };
    let first = part(0)?;
    let all = Tensor::zeros((encoded.rows(), first.dim(1)?), first.dtype(), device)?;
    all.slice_set(&first, 0, 0)?;
    for computed in (0..encoded.rows()).step_by(ITEMS_AT_A_TIME).skip(1) {
        all.slice_set(&part(computed)?, 0, computed)?;
    }
    Ok(all)
}
