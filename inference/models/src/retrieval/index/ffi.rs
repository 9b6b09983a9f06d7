//! The only unsafe part of the index: a handle to FAISS's C interface.
//!
//! A [`Handle`] owns one C++ index. It is changed only through `&mut` (building, search parameters), and searched
//! through `&`: FAISS's CPU search and reconstruction read the index and allocate their own state, so that sharing is
//! sound. Every call's status is turned into the text that FAISS gives for it; C++ exceptions never cross.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_int};
use std::ptr::{self, NonNull};

use faiss_sys as c;

unsafe extern "C" {
    fn omp_set_num_threads(threads: c_int);
}

thread_local! {
    /// How many OpenMP threads calls from this thread use; 0 = not set yet. OpenMP keeps the setting per thread too.
    static THREADS: Cell<c_int> = const { Cell::new(0) };
}

/// How many OpenMP threads a call may use.
#[derive(Clone, Copy)]
pub(super) enum Threads {
    /// A request: other requests have the other cores.
    One,
    /// Building and measuring, where nothing else runs.
    All,
}

impl Threads {
    fn apply(self) {
        let wanted = match self {
            Self::One => 1,
            Self::All => std::thread::available_parallelism().map_or(1, |n| n.get() as c_int),
        };
        THREADS.with(|now| {
            if now.get() != wanted {
                // SAFETY: part of the OpenMP runtime that FAISS links; it only writes a setting of the calling thread.
                unsafe { omp_set_num_threads(wanted) };
                now.set(wanted);
            }
        });
    }
}

/// An index on FAISS's heap.
pub(super) struct Handle(NonNull<c::FaissIndex>);

// SAFETY: a FAISS index has no ties to the thread that made it.
unsafe impl Send for Handle {}
// SAFETY: through `&Handle` only const functions of the C++ index are called (size, search, reconstruct), which FAISS
// documents as safe to call at once on CPU indexes.
unsafe impl Sync for Handle {}

/// What an inverted file holds in addition to its vectors.
pub(super) struct RawLists {
    /// How many lists it looks through.
    pub(super) nprobe: usize,
    /// Row-major, one row a list.
    pub(super) centroids: Vec<f32>,
    /// The ids of each list's vectors.
    pub(super) ids: Vec<Vec<i64>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: we own the index, and nobody can use it after this.
        unsafe { c::faiss_Index_free(self.0.as_ptr()) }
    }
}

impl Handle {
    pub(super) fn from_factory(
        factory: &str,
        dimension: usize,
        metric: c::FaissMetricType,
    ) -> Result<Self, String> {
        let factory = CString::new(factory).map_err(|_| "the factory string holds a zero byte".to_owned())?;
        let dimension = c_int::try_from(dimension).map_err(|_| "the dimension is above 2^31".to_owned())?;
        let mut index = ptr::null_mut();
        // SAFETY: both pointers live over the call; FAISS copies the text.
        check(unsafe { c::faiss_index_factory(&mut index, dimension, factory.as_ptr(), metric) })?;
        Self::owned(index)
    }

    pub(super) fn read(path: &CStr) -> Result<Self, String> {
        let mut index = ptr::null_mut();
        // SAFETY: both pointers live over the call. 0 = no flags: the file is read, not mapped.
        check(unsafe { c::faiss_read_index_fname(path.as_ptr(), 0, &mut index) })?;
        Self::owned(index)
    }

    fn owned(index: *mut c::FaissIndex) -> Result<Self, String> {
        NonNull::new(index)
            .map(Self)
            .ok_or_else(|| "FAISS gave no index".to_owned())
    }

    pub(super) fn write(&self, path: &CStr) -> Result<(), String> {
        // SAFETY: a valid index and a text that lives over the call.
        check(unsafe { c::faiss_write_index_fname(self.0.as_ptr(), path.as_ptr()) })
    }

    pub(super) fn dimension(&self) -> usize {
        // SAFETY: a getter on a valid index.
        unsafe { c::faiss_Index_d(self.0.as_ptr()) as usize }
    }

    pub(super) fn len(&self) -> usize {
        // SAFETY: a getter on a valid index.
        unsafe { c::faiss_Index_ntotal(self.0.as_ptr()) as usize }
    }

    pub(super) fn metric(&self) -> c::FaissMetricType {
        // SAFETY: a getter on a valid index.
        unsafe { c::faiss_Index_metric_type(self.0.as_ptr()) }
    }

    /// Trains the index where its kind needs it, and adds `vectors` (whole rows).
    pub(super) fn train_and_add(&mut self, vectors: &[f32]) -> Result<(), String> {
        Threads::All.apply();
        let rows = self.rows(vectors);
        // SAFETY: `vectors` holds `rows` rows of the index's dimension, and FAISS copies what it keeps.
        unsafe {
            if c::faiss_Index_is_trained(self.0.as_ptr()) == 0 {
                check(c::faiss_Index_train(
                    self.0.as_ptr(),
                    rows as i64,
                    vectors.as_ptr(),
                ))?;
            }
            check(c::faiss_Index_add(self.0.as_ptr(), rows as i64, vectors.as_ptr()))
        }
    }

    pub(super) fn set_parameter(&mut self, name: &CStr, value: u32) -> Result<(), String> {
        let mut space = ptr::null_mut();
        // SAFETY: the space is made, used and freed here; the index is ours alone (`&mut`).
        unsafe {
            check(c::faiss_ParameterSpace_new(&mut space))?;
            let status = c::faiss_ParameterSpace_set_index_parameter(
                space,
                self.0.as_ptr(),
                name.as_ptr(),
                f64::from(value),
            );
            let outcome = check(status);
            c::faiss_ParameterSpace_free(space);
            outcome
        }
    }

    /// Lets an inverted file, also one inside a transform or a map of ids, find a vector by its position; other kinds
    /// can do so already. Where ids are not positions, a vector without a place in the map is refused when asked for.
    pub(super) fn make_direct_map(&mut self) {
        // SAFETY: every cast is checked by FAISS (null where the kind is another), what is inside an index lives as
        // long as it, and the index is ours alone (`&mut`).
        unsafe {
            let mut index = self.0.as_ptr();
            loop {
                let (map, transform) = (
                    c::faiss_IndexIDMap_cast(index),
                    c::faiss_IndexPreTransform_cast(index),
                );
                index = if !map.is_null() {
                    c::faiss_IndexIDMap_sub_index(map)
                } else if !transform.is_null() {
                    c::faiss_IndexPreTransform_index(transform)
                } else {
                    break;
                };
            }
            let ivf = c::faiss_IndexIVF_cast(index);
            if !ivf.is_null() {
                // One that came with the file is dropped first: FAISS would take it as it is.
                c::faiss_IndexIVF_make_direct_map(ivf, 0);
                c::faiss_IndexIVF_make_direct_map(ivf, 1);
            }
        }
    }

    /// The lists of an inverted file that keeps whole vectors (found by [`Handle::reconstruct`]) and compares a query with
    /// every centroid, by inner product both; `None` for all other kinds.
    pub(super) fn lists(&self) -> Option<RawLists> {
        // SAFETY: every cast is checked by FAISS (null where the kind is another); getters on a valid index and on its
        // quantizer, which lives as long as it; a list's ids go into room for as many as it says that it has.
        unsafe {
            let index = self.0.as_ptr();
            if c::faiss_IndexIVFFlat_cast(index).is_null() {
                return None;
            }
            let ivf = c::faiss_IndexIVF_cast(index);
            let quantizer = c::faiss_IndexIVF_quantizer(ivf);
            let inner_product = c::FaissMetricType_METRIC_INNER_PRODUCT;
            let metrics = [index, quantizer].map(|index| c::faiss_Index_metric_type(index));
            let flat = c::faiss_IndexFlat_cast(quantizer);
            if flat.is_null() || metrics != [inner_product; 2] {
                return None;
            }
            let (mut values, mut count) = (ptr::null_mut(), 0);
            c::faiss_IndexFlat_xb(flat, &mut values, &mut count);
            if values.is_null() || count != c::faiss_IndexIVF_nlist(ivf) * self.dimension() {
                return None;
            }
            let ids = (0..c::faiss_IndexIVF_nlist(ivf)).map(|list| {
                let mut ids = vec![-1; c::faiss_IndexIVF_get_list_size(ivf, list)];
                c::faiss_IndexIVF_invlists_get_ids(ivf, list, ids.as_mut_ptr());
                ids
            });
            Some(RawLists {
                nprobe: c::faiss_IndexIVF_nprobe(ivf),
                centroids: std::slice::from_raw_parts(values, count).to_vec(),
                ids: ids.collect(),
            })
        }
    }

    /// Fills `ids` and `distances` (rows x k) with the nearest of every row of `queries`; an id of -1 means none.
    pub(super) fn search(
        &self,
        queries: &[f32],
        k: usize,
        ids: &mut [i64],
        distances: &mut [f32],
        threads: Threads,
    ) -> Result<(), String> {
        threads.apply();
        let rows = self.rows(queries);
        assert!(
            ids.len() == rows * k && distances.len() == rows * k,
            "room for k neighbors of every query"
        );
        // SAFETY: whole rows go in, and there is room for rows x k answers (just checked).
        check(unsafe {
            c::faiss_Index_search(
                self.0.as_ptr(),
                rows as i64,
                queries.as_ptr(),
                k as i64,
                distances.as_mut_ptr(),
                ids.as_mut_ptr(),
            )
        })
    }

    pub(super) fn reconstruct(&self, position: i64, out: &mut [f32]) -> Result<(), String> {
        assert_eq!(out.len(), self.dimension(), "room for one vector");
        // SAFETY: `out` has room for one vector (just checked).
        check(unsafe { c::faiss_Index_reconstruct(self.0.as_ptr(), position, out.as_mut_ptr()) })
    }

    fn rows(&self, vectors: &[f32]) -> usize {
        let dimension = self.dimension();
        assert!(
            vectors.len().is_multiple_of(dimension),
            "whole rows of the index's dimension"
        );
        vectors.len() / dimension
    }
}

/// The text of FAISS's last error, if the status says that there was one.
fn check(status: c_int) -> Result<(), String> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: FAISS keeps the text of this thread's last error until its next call; it is copied here.
    let text = unsafe {
        let text = c::faiss_get_last_error();
        if text.is_null() {
            "unknown error".into()
        } else {
            CStr::from_ptr(text).to_string_lossy()
        }
    };
    // The first line says what was wrong; FAISS puts the place in its source before it.
    Err(text.lines().next().unwrap_or("unknown error").to_owned())
}
