//! Nearest vectors: a FAISS index that is built, saved, loaded and searched.
//!
//! An [`Index`] is read-only once it is made, so that requests share it without a lock; what can be tuned (`nprobe`,
//! `efSearch`) is set once, when it is loaded. A file goes through [`header::check`] before FAISS parses it, and in a
//! server through a child process before that ([`crate::trial::try_file`]).
//!
//! What is loaded as an inverted file of whole vectors is searched by our own code ([`lists`]), everything else by FAISS.
//! A search runs on its caller's thread: other cores belong to other requests. Building uses them all.
//!
//! No identifiers of items here: a neighbor is a position (or the number that the file's author gave). Who knows the
//! items reads `items.json` beside the index.

use std::cell::RefCell;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub mod allowed;
mod ffi;
pub mod header;
mod lists;
#[cfg(test)]
mod tests;

pub use header::{Header, HeaderError};

use allowed::Allowed;
use ffi::{Handle, Threads};
use lists::Lists;

/// How nearness is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Higher is nearer; on normalized vectors this is the cosine.
    InnerProduct,
    /// Squared Euclidean distance, lower is nearer.
    L2,
}

impl Metric {
    fn to_faiss(self) -> u32 {
        match self {
            Self::InnerProduct => faiss_sys::FaissMetricType_METRIC_INNER_PRODUCT,
            Self::L2 => faiss_sys::FaissMetricType_METRIC_L2,
        }
    }
}

/// How hard to search; `None` leaves what the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchParameters {
    /// How many lists of an inverted file are looked through.
    pub nprobe: Option<u32>,
    /// How many candidates a walk through an HNSW graph keeps.
    pub ef_search: Option<u32>,
}

/// Why an index could not be built, loaded or searched.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file is not an index that we load.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// FAISS refused to do something.
    #[error("cannot {operation}: {message}")]
    Faiss {
        /// What was requested of it.
        operation: String,
        /// What it said.
        message: String,
    },
    /// A search parameter that this kind of index does not have, or that it can't have this value.
    #[error("cannot set {parameter} to {value} on an index of kind `{kind}`: {needs}")]
    Parameter {
        /// `nprobe` or `efSearch`.
        parameter: &'static str,
        /// What it should have been set to.
        value: u32,
        /// The kind of the index.
        kind: String,
        /// What would be right.
        needs: &'static str,
    },
    /// A path that C can't take.
    #[error("{0}: holds a zero byte, which no file name can")]
    Path(PathBuf),
    /// Vectors that don't fit the dimension.
    #[error("{values} values are not a whole number of vectors of dimension {dimension}")]
    Shape {
        /// How many values came.
        values: usize,
        /// What the index has.
        dimension: usize,
    },
    /// NaN or infinity.
    #[error("{what} {row} holds a value that is not finite")]
    NotFinite {
        /// Query or vector.
        what: &'static str,
        /// Which.
        row: usize,
    },
    /// An inverted file with more lists than vectors to train them on.
    #[error(
        "`{factory}` needs at least {needed} vectors to train its lists and {found} came: \
         use fewer lists, or `Flat`, which is fast below 100,000 vectors"
    )]
    TooFewVectors {
        /// The factory string.
        factory: String,
        /// One a list.
        needed: usize,
        /// How many came.
        found: usize,
    },
}

/// What FAISS writes into; kept by each thread, so that a search allocates nothing.
#[derive(Default)]
struct Scratch {
    ids: Vec<i64>,
    distances: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Who searches.
enum Engine {
    Faiss(Handle),
    Lists(Box<Lists>),
}

/// A FAISS index, ready to be searched from many threads.
pub struct Index {
    engine: Engine,
    /// Four letters a level as in the file, or the factory string it was built by.
    kind: String,
    metric: Metric,
    dimension: usize,
    len: usize,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            engine: _,
            kind,
            metric,
            dimension,
            len,
        } = self;
        write!(f, "Index({kind}, {len} x {dimension}, {metric:?})")
    }
}

impl Index {
    /// Builds the kind of index that `factory` names (`Flat`, `IVF256,Flat`, `HNSW32`, ...) over whole rows of
    /// `vectors`; a neighbor's id is its row.
    pub fn build(
        vectors: &[f32],
        dimension: usize,
        metric: Metric,
        factory: &str,
    ) -> Result<Self, IndexError> {
        let rows = rows(vectors, dimension, "vector")?;
        let needed = ivf_lists(factory).unwrap_or(0);
        if rows < needed {
            return Err(IndexError::TooFewVectors {
                factory: factory.to_owned(),
                needed,
                found: rows,
            });
        }
        let failed = |message| faiss(format!("build `{factory}` over {rows} x {dimension}"), message);
        let mut handle = Handle::from_factory(factory, dimension, metric.to_faiss()).map_err(failed)?;
        if rows > 0 {
            handle.train_and_add(vectors).map_err(failed)?;
        }
        handle.make_direct_map();
        Ok(Self::new(handle, factory.to_owned()))
    }

    /// Writes an index that was built, as FAISS does.
    pub fn save(&self, path: &Path) -> Result<(), IndexError> {
        let name = c_path(path)?;
        let failed = |message| faiss(format!("write {}", path.display()), message);
        match &self.engine {
            Engine::Faiss(handle) => handle.write(&name).map_err(failed),
            Engine::Lists(_) => Err(failed("it was loaded to be searched; copy its file".to_owned())),
        }
    }

    /// Checks the file's structure, reads it, and sets how hard it is searched.
    ///
    /// `nprobe` for an index without lists, or `efSearch` for one without a graph, is an error.
    pub fn load(path: &Path, search: &SearchParameters) -> Result<Self, IndexError> {
        let kind = header::check(path)?.kind;
        let failed = |message| faiss(format!("read {}", path.display()), message);
        let mut handle = Handle::read(&c_path(path)?).map_err(failed)?;
        handle.make_direct_map();
        let mut index = Self::new(handle, kind);
        index.set_search(search)?;
        if let Engine::Faiss(handle) = &index.engine
            && let Some(lists) = Lists::of(handle)
        {
            index.engine = Engine::Lists(Box::new(lists));
        }
        Ok(index)
    }

    /// Sets how hard the index is searched from now on.
    pub fn set_search(&mut self, search: &SearchParameters) -> Result<(), IndexError> {
        let SearchParameters { nprobe, ef_search } = *search;
        let parameters = [
            ("nprobe", c"nprobe", nprobe, "only inverted files (IVF) have it"),
            ("efSearch", c"efSearch", ef_search, "only graphs (HNSW) have it"),
        ];
        for (parameter, name, value, needs) in parameters {
            let Some(value) = value else { continue };
            let failed = |needs| IndexError::Parameter {
                parameter,
                value,
                kind: self.kind.clone(),
                needs,
            };
            if !(1..=header::MAX_SEARCH).contains(&value) {
                return Err(failed("it must be 1 to 1048576"));
            }
            match (&mut self.engine, parameter) {
                // FAISS refuses a parameter for no other reason than that the index does not have it.
                (Engine::Faiss(handle), _) => handle.set_parameter(name, value).map_err(|_| failed(needs))?,
                (Engine::Lists(lists), "nprobe") => lists.set_nprobe(value as usize),
                (Engine::Lists(_), _) => return Err(failed(needs)),
            }
        }
        Ok(())
    }

    fn new(handle: Handle, kind: String) -> Self {
        let metric = match handle.metric() {
            faiss_sys::FaissMetricType_METRIC_INNER_PRODUCT => Metric::InnerProduct,
            _ => Metric::L2,
        };
        Self {
            kind,
            metric,
            dimension: handle.dimension(),
            len: handle.len(),
            engine: Engine::Faiss(handle),
        }
    }

    /// How many vectors it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Length of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How nearness is measured.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Puts the (at most) `k` nearest vectors of one query into `out`, nearest first: position (or the number that the
    /// file gives it), and inner product or squared distance, by the metric.
    pub fn search(&self, query: &[f32], k: usize, out: &mut Vec<(i64, f32)>) -> Result<(), IndexError> {
        self.search_allowed(query, k, None, out)
    }

    /// The same among the vectors that may be found. Few of them ([`EXACT_BELOW`](allowed::EXACT_BELOW)) are all compared.
    pub fn search_allowed(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&Allowed>,
        out: &mut Vec<(i64, f32)>,
    ) -> Result<(), IndexError> {
        out.clear();
        if query.len() != self.dimension {
            return Err(IndexError::Shape {
                values: query.len(),
                dimension: self.dimension,
            });
        }
        rows(query, self.dimension, "query")?;
        match &self.engine {
            Engine::Faiss(handle) => match allowed {
                None => self.search_rows(handle, query, k, Threads::One, |found| out.extend(found)),
                Some(few) if few.is_exact(k) => self.compare_all(handle, query, k, few, out),
                Some(many) => self.search_among(handle, query, k, many, out),
            },
            Engine::Lists(lists) => {
                lists.search(query, k.min(self.len), allowed, out);
                Ok(())
            }
        }
    }

    /// Has FAISS search for so many that enough of them are allowed, half as many again as there would be on average.
    fn search_among(
        &self,
        handle: &Handle,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        out: &mut Vec<(i64, f32)>,
    ) -> Result<(), IndexError> {
        let wanted = (k as f64 * 1.5 / allowed.share()).ceil() as usize;
        let may = |id: i64| u32::try_from(id).is_ok_and(|position| allowed.contains(position));
        self.search_rows(handle, query, wanted, Threads::One, |found| {
            out.extend(found.filter(|(id, _)| may(*id)).take(k));
        })?;
        // What is allowed may be far from the query, all of it.
        match out.len() < k.min(allowed.positions().len()) {
            true => {
                out.clear();
                self.compare_all(handle, query, k, allowed, out)
            }
            false => Ok(()),
        }
    }

    /// Compares the query with every vector that is allowed.
    fn compare_all(
        &self,
        handle: &Handle,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        out: &mut Vec<(i64, f32)>,
    ) -> Result<(), IndexError> {
        let mut vector = vec![0.0; self.dimension];
        for position in allowed.positions() {
            let failed = |message| faiss(format!("reconstruct vector {position}"), message);
            handle
                .reconstruct(i64::from(*position), &mut vector)
                .map_err(failed)?;
            let pairs = query.iter().zip(&vector);
            let distance = match self.metric {
                Metric::InnerProduct => pairs.map(|(a, b)| a * b).sum(),
                Metric::L2 => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
            };
            out.push((i64::from(*position), distance));
        }
        out.sort_by(|(_, a), (_, b)| match self.metric {
            Metric::InnerProduct => b.total_cmp(a),
            Metric::L2 => a.total_cmp(b),
        });
        out.truncate(k);
        Ok(())
    }

    /// The nearest of many queries (whole rows), with all cores: for offline work, not for requests.
    pub fn search_batch(&self, queries: &[f32], k: usize) -> Result<Vec<Vec<(i64, f32)>>, IndexError> {
        let rows = rows(queries, self.dimension, "query")?;
        match &self.engine {
            Engine::Faiss(handle) => {
                let mut all = Vec::with_capacity(rows);
                self.search_rows(handle, queries, k, Threads::All, |found| {
                    all.push(found.collect())
                })?;
                Ok(all)
            }
            Engine::Lists(lists) => Ok(lists.search_batch(queries, k.min(self.len))),
        }
    }

    /// Has FAISS search, and hands each query's neighbors to `take`, in the order of the queries (whole rows).
    fn search_rows(
        &self,
        handle: &Handle,
        queries: &[f32],
        k: usize,
        threads: Threads,
        mut take: impl FnMut(&mut dyn Iterator<Item = (i64, f32)>),
    ) -> Result<(), IndexError> {
        let rows = queries.len() / self.dimension;
        let k = k.min(self.len);
        SCRATCH.with_borrow_mut(|Scratch { ids, distances }| {
            ids.clear();
            ids.resize(rows * k, -1);
            distances.clear();
            distances.resize(rows * k, 0.0);
            if rows * k > 0 {
                let failed = |message| faiss(format!("search the {k} nearest"), message);
                handle
                    .search(queries, k, ids, distances, threads)
                    .map_err(failed)?;
            }
            for row in 0..rows {
                let row = row * k..(row + 1) * k;
                let found = ids[row.clone()]
                    .iter()
                    .copied()
                    .zip(distances[row].iter().copied());
                // FAISS fills up with -1 where it found fewer.
                take(&mut found.filter(|&(id, _)| id >= 0));
            }
            Ok(())
        })
    }

    /// Gives back the vector at a position: exactly for Flat, IVF-Flat and HNSW, nearly for quantized kinds.
    pub fn reconstruct(&self, position: usize, out: &mut [f32]) -> Result<(), IndexError> {
        let failed = |message| faiss(format!("reconstruct vector {position} of {}", self.len), message);
        if out.len() != self.dimension {
            return Err(IndexError::Shape {
                values: out.len(),
                dimension: self.dimension,
            });
        }
        // FAISS checks this for some kinds alone. A map of ids looks its numbers up, and they may be any.
        if position >= self.len && !self.kind.contains("IxM") {
            return Err(failed("there is no such position".to_owned()));
        }
        match &self.engine {
            Engine::Faiss(handle) => handle.reconstruct(position as i64, out).map_err(failed),
            Engine::Lists(lists) => {
                out.copy_from_slice(lists.vector(position));
                Ok(())
            }
        }
    }

    /// Which share of the exact `k` nearest (of `vectors`, the rows that the index was built over) this index finds,
    /// over all `queries`.
    pub fn recall_against_exact(
        &self,
        vectors: &[f32],
        queries: &[f32],
        k: usize,
    ) -> Result<f64, IndexError> {
        let exact = Self::build(vectors, self.dimension, self.metric, "Flat")?.search_batch(queries, k)?;
        let found = self.search_batch(queries, k)?;
        let (mut hits, mut wanted) = (0, 0);
        for (exact, found) in exact.iter().zip(&found) {
            let found: std::collections::HashSet<i64> = found.iter().map(|&(id, _)| id).collect();
            hits += exact.iter().filter(|(id, _)| found.contains(id)).count();
            wanted += exact.len();
        }
        Ok(if wanted == 0 {
            1.0
        } else {
            hits as f64 / wanted as f64
        })
    }
}

fn faiss(operation: String, message: String) -> IndexError {
    IndexError::Faiss { operation, message }
}

fn c_path(path: &Path) -> Result<CString, IndexError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| IndexError::Path(path.to_owned()))
}

fn rows(vectors: &[f32], dimension: usize, what: &'static str) -> Result<usize, IndexError> {
    if dimension == 0 || !vectors.len().is_multiple_of(dimension) {
        return Err(IndexError::Shape {
            values: vectors.len(),
            dimension,
        });
    }
    match vectors.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(IndexError::NotFinite {
            what,
            row: at / dimension,
        }),
        None => Ok(vectors.len() / dimension),
    }
}

/// The number of lists in a factory string: 256 in `PCA32,IVF256,Flat`.
fn ivf_lists(factory: &str) -> Option<usize> {
    factory.split(',').find_map(|part| {
        let digits = part.strip_prefix("IVF")?;
        let end = digits
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(digits.len());
        digits[..end].parse().ok()
    })
}
