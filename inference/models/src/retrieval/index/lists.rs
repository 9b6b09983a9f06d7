//! Inverted lists, searched by code of our own.
//!
//! FAISS, as it is linked here, does not use the wider registers of a processor, and reads every vector of a list as it is
//! kept, in 4 bytes a value. Once it has loaded an inverted file of whole vectors, they are taken out of it into [`Lists`],
//! where a search has three steps:
//!
//! 1. the query's products with all centroids: the `nprobe` nearest lists are looked through;
//! 2. a first look at their vectors as bytes ([`codes`]), a quarter of the memory: more positions than were asked for are
//!    kept ([`nearest`]);
//! 3. exact products with those, of which the nearest are the answer.
//!
//! The lists are those that FAISS would search. What the first look misses is what is far less near by the bytes than it
//! is: fewer than one in a thousand (`tests`). Inner products only; all other kinds of index stay with FAISS.

use std::cell::RefCell;
use std::ops::Range;

use super::allowed::Allowed;
use super::ffi::Handle;
use crate::dense::{Activation, Matrix, Rows, RowsMut, Start, inner_products_at, prefetch};
use crate::memory::zeros_on_huge_pages;

mod codes;
mod nearest;
#[cfg(test)]
mod tests;

use codes::{BLOCK, Codes, QueryCodes};
use nearest::{Nearest, key, position, score};

/// An inverted file by inner product, as read-only as the index that it was taken out of.
pub(super) struct Lists {
    dimension: usize,
    nprobe: usize,
    /// `[dimension, lists]`.
    centroids: Matrix,
    /// Where each list is.
    places: Vec<Place>,
    /// The lists' vectors, each list in whole blocks: a slot is a place in this order.
    codes: Codes,
    /// The position of the vector in each slot; `NOBODY` where a slot only fills up its block.
    positions: Vec<u32>,
    /// The vectors by position.
    vectors: Vec<f32>,
}

/// Where a list is.
#[derive(Clone, Copy)]
struct Place {
    first_block: u32,
    vectors: u32,
}

impl Place {
    fn blocks(self) -> Range<usize> {
        let first = self.first_block as usize;
        first..first + (self.vectors as usize).div_ceil(BLOCK)
    }
}

/// No vector's position.
const NOBODY: u32 = u32::MAX;

/// Buffers of one thread.
#[derive(Default)]
struct Buffers {
    query: QueryCodes,
    centroids: Vec<f32>,
    lists: Vec<u64>,
    scores: Vec<f32>,
    nearest: Nearest,
    found: Vec<u32>,
    exact: Vec<u64>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// How many positions the first look keeps, of which `k` are the answer.
fn kept(k: usize) -> usize {
    k + k / 4 + 32
}

impl Lists {
    /// Takes the lists out of an index; `None` where it holds something that has to stay with FAISS: ids that are no
    /// positions, or values that are not finite.
    pub(super) fn of(index: &Handle) -> Option<Self> {
        let lists = index.lists()?;
        let (dimension, len) = (index.dimension(), index.len());
        let mut vectors = zeros_on_huge_pages(len * dimension);
        for (position, vector) in vectors.chunks_exact_mut(dimension).enumerate() {
            index.reconstruct(position as i64, vector).ok()?;
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !finite(&vectors) || !finite(&lists.centroids) || !is_permutation(lists.ids.iter().flatten(), len)
        {
            return None;
        }
        let blocks = lists.ids.iter().map(|ids| ids.len().div_ceil(BLOCK)).sum();
        let mut built = Self {
            dimension,
            nprobe: lists.nprobe,
            centroids: Matrix::transposed(dimension, lists.ids.len(), &lists.centroids),
            places: Vec::with_capacity(lists.ids.len()),
            codes: Codes::with_capacity(dimension, blocks),
            positions: Vec::with_capacity(blocks * BLOCK),
            vectors,
        };
        lists.ids.iter().for_each(|ids| built.push_list(ids));
        Some(built)
    }

    fn push_list(&mut self, ids: &[i64]) {
        self.places.push(Place {
            first_block: (self.positions.len() / BLOCK) as u32,
            vectors: ids.len() as u32,
        });
        let mut block = Vec::with_capacity(BLOCK * self.dimension);
        for ids in ids.chunks(BLOCK) {
            block.clear();
            let end = self.positions.len() + BLOCK;
            for id in ids {
                block.extend_from_slice(self.vector(*id as usize));
                self.positions.push(*id as u32);
            }
            self.positions.resize(end, NOBODY);
            self.codes.push_block(&block);
        }
    }

    pub(super) fn set_nprobe(&mut self, nprobe: usize) {
        self.nprobe = nprobe;
    }

    /// The vector at a position. Panics past the last, as a slice does.
    pub(super) fn vector(&self, position: usize) -> &[f32] {
        &self.vectors[position * self.dimension..][..self.dimension]
    }

    /// Adds the (at most) `k` nearest to `out`, nearest first; of equally near ones, the lower position. Those that are not allowed are as if
    /// they were not there.
    pub(super) fn search(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&Allowed>,
        out: &mut Vec<(i64, f32)>,
    ) {
        BUFFERS.with_borrow_mut(|buffers| {
            match allowed.filter(|allowed| allowed.is_exact(k)) {
                Some(few) => {
                    buffers.found.clear();
                    buffers.found.extend_from_slice(few.positions());
                }
                None => {
                    self.choose_lists(query, self.probes(allowed), buffers);
                    self.look(query, kept(k), allowed, buffers);
                }
            }
            self.compare(query, buffers);
            let exact = &mut buffers.exact;
            if exact.len() > k && k > 0 {
                exact.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
            }
            exact.truncate(k);
            exact.sort_unstable_by(|a, b| b.cmp(a));
            out.extend(exact.iter().map(|key| (i64::from(position(*key)), score(*key))));
        });
    }

    /// The (at most) `k` nearest of many queries (whole rows), with all cores.
    pub(super) fn search_batch(&self, queries: &[f32], k: usize) -> Vec<Vec<(i64, f32)>> {
        let mut all = vec![Vec::new(); queries.len() / self.dimension];
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        let rows = all.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (queries, all) in queries.chunks(rows * self.dimension).zip(all.chunks_mut(rows)) {
                scope.spawn(move || {
                    for (query, out) in queries.chunks_exact(self.dimension).zip(all) {
                        self.search(query, k, None, out);
                    }
                });
            }
        });
        all
    }

    /// How many lists are looked through: as many as have `nprobe` lists' number of allowed vectors, on average.
    fn probes(&self, allowed: Option<&Allowed>) -> usize {
        let share = allowed.map_or(1.0, Allowed::share);
        (self.nprobe as f64 / share).ceil() as usize
    }

    /// The `probes` lists whose centroids are nearest, as keys, the nearest first.
    fn choose_lists(&self, query: &[f32], probes: usize, buffers: &mut Buffers) {
        let Buffers { centroids, lists, .. } = buffers;
        let count = self.centroids.outputs();
        centroids.clear();
        centroids.resize(count, 0.0);
        let query = Rows {
            values: query,
            stride: self.dimension,
        };
        let out = RowsMut {
            values: centroids,
            stride: count,
        };
        self.centroids
            .multiply(1, query, Start::Output, Activation::None, out);
        lists.clear();
        lists.extend((0..).zip(centroids.iter()).map(|(list, score)| key(*score, list)));
        if probes < count {
            lists.select_nth_unstable_by(probes, |a, b| b.cmp(a));
            lists.truncate(probes);
        }
        // The nearest lists first: the sooner near vectors are found, the fewer others are kept for a while.
        lists.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// The nearest by their bytes, into `buffers.found`.
    fn look(&self, query: &[f32], wanted: usize, allowed: Option<&Allowed>, buffers: &mut Buffers) {
        let Buffers {
            query: query_codes,
            lists,
            scores,
            nearest,
            found,
            ..
        } = buffers;
        query_codes.set(query);
        nearest.start(wanted);
        for (order, list) in lists.iter().enumerate() {
            if let Some(next) = lists.get(order + 1) {
                self.codes.prefetch(self.place(*next).blocks());
            }
            let place = self.place(*list);
            self.codes.multiply(place.blocks(), query_codes, scores);
            let first = place.first_block * BLOCK as u32;
            let scores = &mut scores[..place.vectors as usize];
            if let Some(allowed) = allowed {
                self.leave_out(first, scores, allowed);
            }
            nearest.offer(first, scores);
        }
        found.clear();
        found.extend(nearest.positions().map(|slot| self.positions[slot as usize]));
    }

    /// Gives those that are not allowed a score that is never among the highest.
    fn leave_out(&self, first: u32, scores: &mut [f32], allowed: &Allowed) {
        let positions = &self.positions[first as usize..];
        for (score, position) in scores.iter_mut().zip(positions) {
            if !allowed.contains(*position) {
                *score = f32::NEG_INFINITY;
            }
        }
    }

    /// Where the list is that a key of [`Lists::choose_lists`] names.
    fn place(&self, key: u64) -> Place {
        self.places[position(key) as usize]
    }

    /// The exact products with what was found, as keys.
    fn compare(&self, query: &[f32], buffers: &mut Buffers) {
        let Buffers {
            found, scores, exact, ..
        } = buffers;
        // All of them at once: they come from all over the memory, many at a time.
        found
            .iter()
            .for_each(|position| prefetch(self.vector(*position as usize)));
        scores.resize(found.len(), 0.0);
        inner_products_at(&self.vectors, found, query, scores);
        exact.clear();
        exact.extend(
            scores
                .iter()
                .zip(found)
                .map(|(score, position)| key(*score, *position)),
        );
    }
}

/// Whether the ids are the numbers below `len`, each once.
fn is_permutation<'a>(ids: impl Iterator<Item = &'a i64>, len: usize) -> bool {
    let mut seen = vec![false; len];
    let mut count = 0;
    for id in ids {
        match usize::try_from(*id).ok().and_then(|id| seen.get_mut(id)) {
            Some(seen) if !*seen => *seen = true,
            _ => return false,
        }
        count += 1;
    }
    count == len
}
