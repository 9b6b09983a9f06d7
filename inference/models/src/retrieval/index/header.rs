//! A strict reader of FAISS files: sizes, kinds, identifiers and graph links are checked before any C++ sees the file.
//!
//! FAISS's own reader trusts what it reads: a wrong size makes it allocate, a wrong neighbor makes it read outside its
//! memory. [`check`] walks the same layout (`impl/index_read.cpp` of FAISS 1.12), skips over vectors, and refuses
//! whatever the reader or a later search could stumble over. Floats are not looked at: a changed one is still an index
//! (the digest of the bundle detects that).
//!
//! Memory: of a graph, 12 bytes a vector; of inverted lists, 8 bytes a list; both already bounded by the file's length.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use gondola_forest::misplaced::Misplaced;

/// The kinds that we read.
pub const SUPPORTED: &str = "Flat (IxFI, IxF2, IxFl), IVF-Flat (IwFl), HNSW-Flat (IHNf), scalar quantizer (IxSQ, IwSq), \
     product quantizer (IxPq, IwPQ), IDMap (IxMp, IxM2), PreTransform (IxPT), Refine (IxRF)";

/// 65,536 floats are 256 KiB a vector: no embedding is longer.
const MAX_DIMENSION: u64 = 65_536;
/// Positions are kept in 32 bits by graphs, and by us for identifiers.
const MAX_VECTORS: u64 = 1 << 31;
const MAX_ID: i64 = u32::MAX as i64;
/// IDMap over PreTransform over IVF over HNSW is 4; each level is a frame of FAISS's recursion.
const MAX_DEPTH: usize = 8;
/// A search allocates 12 bytes for each candidate of `efSearch`, so that a wilder number would end the process.
pub(super) const MAX_SEARCH: u32 = 1 << 20;
const MAX_TRANSFORMS: u64 = 16;

/// Why a file is not an index that we load.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file could not be read.
    #[error("{path}: cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else, left in the index's place.
    #[error("{path} is {}; {}", found.name(), found.way_out())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: Misplaced,
    },
    /// The file ends too early.
    #[error(
        "{path}: ends inside `{field}` at byte {offset}: {needed} bytes needed, {left} left; the file is truncated or altered"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What was being read.
        field: &'static str,
        /// Byte offset.
        offset: u64,
        /// How many bytes it needs.
        needed: u128,
        /// How many there are.
        left: u64,
    },
    /// The file holds a kind of index or transform that we don't read.
    #[error("{path}: kind `{kind}` at byte {offset} is not supported; supported: {SUPPORTED}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Its four letters.
        kind: String,
        /// Byte offset.
        offset: u64,
    },
    /// A field has a value that can't be.
    #[error("{path}: `{field}` at byte {offset} is {value}, but {expected}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Where it stands.
        offset: u64,
        /// What it holds.
        value: String,
        /// What it must be.
        expected: String,
    },
}

/// What a checked file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Four letters a level, outermost first: `IxMp/IHNf/IxFI`.
    pub kind: String,
    /// Length of a vector.
    pub dimension: usize,
    /// How many vectors.
    pub vectors: usize,
    /// 0 = inner product, 1 = L2.
    pub metric: u32,
}

/// Reads the whole structure of the file and says what it holds, or what is wrong with it.
pub fn check(path: &Path) -> Result<Header, HeaderError> {
    let read_error = |source| HeaderError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read_error)?;
    let length = file.metadata().map_err(read_error)?.len();
    if let Some(found) = Misplaced::of_file(path) {
        let path = path.to_owned();
        return Err(HeaderError::Misplaced { path, found });
    }
    let mut reader = Reader {
        path,
        file: BufReader::with_capacity(1 << 16, file),
        offset: 0,
        length,
    };
    let header = reader.index(0)?;
    if reader.offset != length {
        return Err(reader.wrong(
            "end of file",
            reader.offset,
            format!("{} bytes more", reader.left()),
            "the index ends here",
        ));
    }
    Ok(header)
}

struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    offset: u64,
    length: u64,
}

impl Reader<'_> {
    fn index(&mut self, depth: usize) -> Result<Header, HeaderError> {
        let at = self.offset;
        if depth >= MAX_DEPTH {
            return Err(self.wrong(
                "nesting",
                at,
                depth,
                format!("at most {MAX_DEPTH} indexes stand inside each other"),
            ));
        }
        let kind = self.kind()?;
        match kind.as_str() {
            "IxFI" | "IxF2" | "IxFl" => self.flat(kind),
            "IxSQ" => self.scalar_quantized(kind),
            "IxPq" => self.product_quantized(kind),
            "IwFl" => self.ivf_flat(kind, depth),
            "IwSq" => self.ivf_scalar_quantized(kind, depth),
            "IwPQ" => self.ivf_product_quantized(kind, depth),
            "IHNf" => self.hnsw(kind, depth),
            "IxMp" | "IxM2" => self.id_map(kind, depth),
            "IxPT" => self.transformed(kind, depth),
            "IxRF" => self.refined(kind, depth),
            _ => Err(HeaderError::Unsupported {
                path: self.path.to_owned(),
                kind,
                offset: at,
            }),
        }
    }

    fn common(&mut self, kind: String) -> Result<Header, HeaderError> {
        let at = self.offset;
        let dimension = self.i32("d")?;
        if dimension < 1 || dimension as u64 > MAX_DIMENSION {
            return Err(self.wrong("d", at, dimension, format!("a dimension is 1 to {MAX_DIMENSION}")));
        }
        let at = self.offset;
        let vectors = self.u64("ntotal")?;
        if vectors > MAX_VECTORS {
            return Err(self.wrong(
                "ntotal",
                at,
                vectors as i64,
                format!("an index holds 0 to {MAX_VECTORS} vectors"),
            ));
        }
        self.skip("reserved", 16)?;
        let trained = self.bool("is_trained")?;
        if !trained {
            return Err(self.wrong(
                "is_trained",
                self.offset - 1,
                0,
                "an index must be trained before it serves",
            ));
        }
        let at = self.offset;
        let metric = self.i32("metric_type")?;
        if !(0..=1).contains(&metric) {
            return Err(self.wrong(
                "metric_type",
                at,
                metric,
                "only inner product (0) and L2 (1) are supported",
            ));
        }
        Ok(Header {
            kind,
            dimension: dimension as usize,
            vectors: vectors as usize,
            metric: metric as u32,
        })
    }

    fn flat(&mut self, kind: String) -> Result<Header, HeaderError> {
        let header = self.common(kind)?;
        let floats = header.vectors as u64 * header.dimension as u64;
        self.skip_vector("vectors", 4, floats)?;
        Ok(header)
    }

    fn scalar_quantized(&mut self, kind: String) -> Result<Header, HeaderError> {
        let header = self.common(kind)?;
        let code_size = self.scalar_quantizer(header.dimension)?;
        self.skip_vector("codes", 1, code_size * header.vectors as u64)?;
        Ok(header)
    }

    fn product_quantized(&mut self, kind: String) -> Result<Header, HeaderError> {
        let header = self.common(kind)?;
        let code_size = self.product_quantizer(header.dimension)?;
        self.skip_vector("codes", 1, code_size * header.vectors as u64)?;
        let at = self.offset;
        let search_type = self.i32("search_type")?;
        self.range("search_type", at, search_type as i64, 0, 0)?;
        self.bool("encode_signs")?;
        self.skip("polysemous_ht", 4)?;
        Ok(header)
    }

    fn ivf_flat(&mut self, kind: String, depth: usize) -> Result<Header, HeaderError> {
        let (header, lists, map) = self.ivf(kind, depth)?;
        self.inverted_lists(&header, lists, header.dimension as u64 * 4, map)?;
        Ok(header)
    }

    fn ivf_scalar_quantized(&mut self, kind: String, depth: usize) -> Result<Header, HeaderError> {
        let (header, lists, map) = self.ivf(kind, depth)?;
        let code_size = self.scalar_quantizer(header.dimension)?;
        self.equal_u64("code_size", code_size)?;
        self.bool("by_residual")?;
        self.inverted_lists(&header, lists, code_size, map)?;
        Ok(header)
    }

    fn ivf_product_quantized(&mut self, kind: String, depth: usize) -> Result<Header, HeaderError> {
        let (header, lists, map) = self.ivf(kind, depth)?;
        self.bool("by_residual")?;
        let at = self.offset;
        let declared = self.u64("code_size")?;
        let code_size = self.product_quantizer(header.dimension)?;
        if declared != code_size {
            return Err(self.wrong(
                "code_size",
                at,
                declared,
                format!("its quantizer makes codes of {code_size} bytes"),
            ));
        }
        self.inverted_lists(&header, lists, code_size, map)?;
        Ok(header)
    }

    /// Header, number of lists and direct map of an inverted file.
    fn ivf(&mut self, kind: String, depth: usize) -> Result<(Header, u64, DirectMap), HeaderError> {
        let mut header = self.common(kind)?;
        let at = self.offset;
        let lists = self.u64("nlist")?;
        // Every list has a centroid in the file, so the file's length bounds this too.
        let most = self.left() / (header.dimension as u64).max(1);
        self.range("nlist", at, lists as i64, 1, most.min(MAX_VECTORS) as i64)?;
        let at = self.offset;
        let nprobe = self.u64("nprobe")?;
        self.range("nprobe", at, nprobe as i64, 1, MAX_VECTORS as i64)?;
        let at = self.offset;
        let quantizer = self.index(depth + 1)?;
        if quantizer.vectors as u64 != lists || quantizer.dimension != header.dimension {
            let found = format!("{} x {}", quantizer.vectors, quantizer.dimension);
            let expected = format!(
                "{lists} lists of dimension {} need as many centroids",
                header.dimension
            );
            return Err(self.wrong("quantizer", at, found, expected));
        }
        header.kind = format!("{}/{}", header.kind, quantizer.kind);
        let map = self.direct_map(&header)?;
        Ok((header, lists, map))
    }

    fn direct_map(&mut self, header: &Header) -> Result<DirectMap, HeaderError> {
        let at = self.offset;
        let kind = self.u8("direct map type")?;
        self.range("direct map type", at, i64::from(kind), 0, 2)?;
        let (at, count) = self.vector_length("direct map", 8)?;
        let expected = if kind == 1 { header.vectors as u64 } else { 0 };
        if count != expected {
            return Err(self.wrong(
                "direct map",
                at,
                count,
                format!("a map of type {kind} has {expected} entries here"),
            ));
        }
        let mut places = Vec::with_capacity(count as usize);
        for _ in 0..count {
            places.push(self.u64("direct map")?);
        }
        if kind == 2 {
            let (at, count) = self.vector_length("direct map", 16)?;
            if count > header.vectors as u64 {
                return Err(self.wrong(
                    "direct map",
                    at,
                    count,
                    format!("the index has {} vectors", header.vectors),
                ));
            }
            for _ in 0..count {
                self.id("direct map id")?;
                places.push(self.u64("direct map")?);
            }
        }
        Ok(DirectMap { offset: at, places })
    }

    fn inverted_lists(
        &mut self,
        header: &Header,
        lists: u64,
        code_size: u64,
        map: DirectMap,
    ) -> Result<(), HeaderError> {
        let at = self.offset;
        let kind = self.kind()?;
        if kind != "ilar" {
            return Err(HeaderError::Unsupported {
                path: self.path.to_owned(),
                kind,
                offset: at,
            });
        }
        self.equal_u64("inverted lists: nlist", lists)?;
        self.equal_u64("inverted lists: code_size", code_size)?;
        let sizes = self.list_sizes(lists)?;
        let at = self.offset;
        let total: u128 = sizes.iter().map(|&size| u128::from(size)).sum();
        if total != header.vectors as u128 {
            return Err(self.wrong(
                "list sizes",
                at,
                total,
                format!("the index has {} vectors", header.vectors),
            ));
        }
        for &size in &sizes {
            self.skip("list codes", u128::from(size) * u128::from(code_size))?;
            self.need("list ids", u128::from(size) * 8)?;
            for _ in 0..size {
                self.id("list ids")?;
            }
        }
        for place in map.places {
            let (list, offset) = (place >> 32, place & 0xffff_ffff);
            let known = place == u64::MAX || sizes.get(list as usize).is_some_and(|&size| offset < size);
            if !known {
                return Err(self.wrong(
                    "direct map",
                    map.offset,
                    place as i64,
                    "it must point into a list",
                ));
            }
        }
        Ok(())
    }

    fn list_sizes(&mut self, lists: u64) -> Result<Vec<u64>, HeaderError> {
        let at = self.offset;
        let kind = self.kind()?;
        let mut sizes = vec![0; lists as usize];
        match kind.as_str() {
            "full" => {
                self.vector_of("list sizes", 8, lists)?;
                for size in &mut sizes {
                    *size = self.u64("list sizes")?;
                }
            }
            "sprs" => {
                let (at, count) = self.vector_length("list sizes", 8)?;
                if count % 2 != 0 {
                    return Err(self.wrong("list sizes", at, count, "they come in pairs of list and size"));
                }
                for _ in 0..count / 2 {
                    let at = self.offset;
                    let list = self.u64("list number")?;
                    self.range("list number", at, list as i64, 0, lists as i64 - 1)?;
                    sizes[list as usize] = self.u64("list sizes")?;
                }
            }
            _ => {
                return Err(HeaderError::Unsupported {
                    path: self.path.to_owned(),
                    kind,
                    offset: at,
                });
            }
        }
        Ok(sizes)
    }

    fn scalar_quantizer(&mut self, dimension: usize) -> Result<u64, HeaderError> {
        let d = dimension as u64;
        let at = self.offset;
        let kind = self.i32("quantizer type")?;
        // Bytes of a code and floats of training, by FAISS's `QuantizerType`.
        let (code_size, trained) = match kind {
            0 => (d, 2 * d),
            1 => (d.div_ceil(2), 2 * d),
            2 => (d, 2),
            3 => (d.div_ceil(2), 2),
            4 | 7 => (d * 2, 0),
            5 | 8 => (d, 0),
            6 => ((d * 6).div_ceil(8), 2 * d),
            _ => return Err(self.wrong("quantizer type", at, kind, "0 to 8 are known")),
        };
        self.skip("range statistics", 8)?;
        self.equal_u64("quantizer d", d)?;
        self.equal_u64("quantizer code_size", code_size)?;
        self.skip_vector("quantizer training", 4, trained)?;
        Ok(code_size)
    }

    fn product_quantizer(&mut self, dimension: usize) -> Result<u64, HeaderError> {
        let d = dimension as u64;
        self.equal_u64("pq d", d)?;
        let at = self.offset;
        let parts = self.u64("pq M")?;
        if parts == 0 || parts > d || !d.is_multiple_of(parts) {
            return Err(self.wrong("pq M", at, parts, format!("it must divide the dimension {d}")));
        }
        let at = self.offset;
        let bits = self.u64("pq nbits")?;
        self.range("pq nbits", at, bits as i64, 1, 16)?;
        self.skip_vector("pq centroids", 4, d << bits)?;
        Ok((bits * parts).div_ceil(8))
    }

    fn hnsw(&mut self, kind: String, depth: usize) -> Result<Header, HeaderError> {
        let mut header = self.common(kind)?;
        let count = header.vectors as u64;
        let (_, levels) = self.vector_length("level probabilities", 8)?;
        self.skip("level probabilities", u128::from(levels) * 8)?;
        let cumulative = self.i32_vector("neighbors per level", None)?;
        let levels_at = self.offset;
        let levels = self.i32_vector("levels", Some(count))?;
        let offsets_at = self.offset;
        self.vector_of("offsets", 8, count + 1)?;
        let mut offset = self.u64("offsets")?;
        if offset != 0 || cumulative.first() != Some(&0) || !cumulative.is_sorted() {
            return Err(self.wrong(
                "offsets",
                offsets_at,
                offset,
                "a graph's offsets begin with 0 and rise",
            ));
        }
        for &level in &levels {
            let room = usize::try_from(level)
                .ok()
                .filter(|&level| level >= 1)
                .and_then(|level| cumulative.get(level));
            let Some(&room) = room else {
                let most = cumulative.len().saturating_sub(1);
                return Err(self.wrong(
                    "levels",
                    levels_at,
                    level,
                    format!("a vector is on 1 to {most} levels"),
                ));
            };
            let (at, next) = (self.offset, self.u64("offsets")?);
            if next.checked_sub(offset) != Some(room as u64) {
                return Err(self.wrong(
                    "offsets",
                    at,
                    next,
                    format!("{} was expected here", offset + room as u64),
                ));
            }
            offset = next;
        }
        self.vector_of("neighbors", 4, offset)?;
        self.neighbors(&levels, &cumulative)?;
        self.entry_point(&levels)?;
        self.skip("efConstruction", 4)?;
        let at = self.offset;
        let ef_search = self.i32("efSearch")?;
        self.range("efSearch", at, i64::from(ef_search), 1, i64::from(MAX_SEARCH))?;
        self.skip("reserved", 4)?;
        let at = self.offset;
        let storage = self.index(depth + 1)?;
        let same = storage.vectors == header.vectors && storage.dimension == header.dimension;
        if !same || !storage.kind.starts_with("IxF") {
            let expected = format!(
                "the graph needs a flat index of {} x {}",
                header.vectors, header.dimension
            );
            let found = format!("{} of {} x {}", storage.kind, storage.vectors, storage.dimension);
            return Err(self.wrong("storage", at, found, expected));
        }
        header.kind = format!("{}/{}", header.kind, storage.kind);
        Ok(header)
    }

    /// Every link must lead to a vector that is on the link's level.
    fn neighbors(&mut self, levels: &[i32], cumulative: &[i32]) -> Result<(), HeaderError> {
        for &node_level in levels {
            for level in 0..node_level as usize {
                for _ in cumulative[level]..cumulative[level + 1] {
                    let at = self.offset;
                    let neighbor = self.i32("neighbors")?;
                    let known = neighbor == -1
                        || usize::try_from(neighbor)
                            .ok()
                            .and_then(|neighbor| levels.get(neighbor))
                            .is_some_and(|&there| there as usize > level);
                    if !known {
                        let expected = format!(
                            "it must be -1 or one of the {} vectors on level {level}",
                            levels.len()
                        );
                        return Err(self.wrong("neighbors", at, neighbor, expected));
                    }
                }
            }
        }
        Ok(())
    }

    fn entry_point(&mut self, levels: &[i32]) -> Result<(), HeaderError> {
        let at = self.offset;
        let entry = self.i32("entry_point")?;
        let top = self.i32("max_level")?;
        if levels.is_empty() && entry == -1 {
            return Ok(());
        }
        let Some(&entry_level) = usize::try_from(entry).ok().and_then(|entry| levels.get(entry)) else {
            return Err(self.wrong(
                "entry_point",
                at,
                entry,
                format!("the graph has {} vectors", levels.len()),
            ));
        };
        if top < 0 || top >= entry_level {
            return Err(self.wrong(
                "max_level",
                at + 4,
                top,
                format!("the entry point is on {entry_level} levels"),
            ));
        }
        Ok(())
    }

    fn id_map(&mut self, kind: String, depth: usize) -> Result<Header, HeaderError> {
        let mut header = self.common(kind)?;
        let inner = self.index(depth + 1)?;
        self.same_shape(&header, &inner)?;
        self.vector_of("id map", 8, header.vectors as u64)?;
        for _ in 0..header.vectors {
            self.id("id map")?;
        }
        header.kind = format!("{}/{}", header.kind, inner.kind);
        Ok(header)
    }

    fn refined(&mut self, kind: String, depth: usize) -> Result<Header, HeaderError> {
        let mut header = self.common(kind)?;
        let base = self.index(depth + 1)?;
        self.same_shape(&header, &base)?;
        let refine = self.index(depth + 1)?;
        self.same_shape(&header, &refine)?;
        let at = self.offset;
        let factor = f32::from_le_bytes(self.bytes("k_factor")?);
        if !(1.0..=1024.0).contains(&factor) {
            return Err(self.wrong("k_factor", at, factor, "1 to 1024 can be searched"));
        }
        header.kind = format!("{}/{}+{}", header.kind, base.kind, refine.kind);
        Ok(header)
    }

    fn same_shape(&self, outer: &Header, inner: &Header) -> Result<(), HeaderError> {
        if (outer.vectors, outer.dimension) == (inner.vectors, inner.dimension) {
            return Ok(());
        }
        let found = format!("{} x {}", inner.vectors, inner.dimension);
        let expected = format!("the index around it is {} x {}", outer.vectors, outer.dimension);
        Err(self.wrong("inner index", self.offset, found, expected))
    }

    fn transformed(&mut self, kind: String, depth: usize) -> Result<Header, HeaderError> {
        let mut header = self.common(kind)?;
        let at = self.offset;
        let count = self.i32("number of transforms")?;
        self.range(
            "number of transforms",
            at,
            i64::from(count),
            1,
            MAX_TRANSFORMS as i64,
        )?;
        let mut width = header.dimension as u64;
        for _ in 0..count {
            width = self.transform(width)?;
        }
        let at = self.offset;
        let inner = self.index(depth + 1)?;
        if inner.dimension as u64 != width || inner.vectors != header.vectors {
            let found = format!("{} x {}", inner.vectors, inner.dimension);
            return Err(self.wrong(
                "inner index",
                at,
                found,
                format!("it must be {} x {width}", header.vectors),
            ));
        }
        header.kind = format!("{}/{}", header.kind, inner.kind);
        Ok(header)
    }

    /// Checks one transform of vectors of length `d_in`, and gives the length that comes out.
    fn transform(&mut self, d_in: u64) -> Result<u64, HeaderError> {
        let is_linear = self.transform_parameters(d_in)?;
        let (mut matrix, mut bias) = (0, 0);
        let mut has_bias = false;
        let matrix_at = self.offset;
        if is_linear {
            has_bias = self.bool("have_bias")?;
            for (field, count) in [("transform matrix", &mut matrix), ("transform bias", &mut bias)] {
                *count = self.vector_length(field, 4)?.1;
                self.skip(field, u128::from(*count) * 4)?;
            }
        }
        let at = self.offset;
        let found_in = self.i32("transform d_in")?;
        self.range(
            "transform d_in",
            at,
            i64::from(found_in),
            d_in as i64,
            d_in as i64,
        )?;
        let at = self.offset;
        let d_out = i64::from(self.i32("transform d_out")?);
        let (least, most) = if is_linear {
            (1, MAX_DIMENSION as i64)
        } else {
            (d_in as i64, d_in as i64)
        };
        self.range("transform d_out", at, d_out, least, most)?;
        if is_linear && (matrix != d_in * d_out as u64 || (has_bias && bias != d_out as u64)) {
            let found = format!("{matrix} and {bias} floats");
            return Err(self.wrong(
                "transform matrix and bias",
                matrix_at,
                found,
                format!("it maps {d_in} to {d_out}"),
            ));
        }
        self.bool("transform is_trained")?;
        Ok(d_out as u64)
    }

    /// Reads what a kind of transform has of its own, and says whether a matrix and a bias follow.
    fn transform_parameters(&mut self, d_in: u64) -> Result<bool, HeaderError> {
        let at = self.offset;
        let kind = self.kind()?;
        Ok(match kind.as_str() {
            "rrot" | "LTra" => true,
            "PCAm" | "PcAm" | "Pcam" => {
                self.skip("eigen_power", 4)?;
                if kind == "Pcam" {
                    self.skip("epsilon", 4)?;
                }
                self.bool("random_rotation")?;
                if kind != "PCAm" {
                    self.skip("balanced_bins", 4)?;
                }
                for field in ["pca mean", "pca eigenvalues", "pca matrix"] {
                    let (_, count) = self.vector_length(field, 4)?;
                    self.skip(field, u128::from(count) * 4)?;
                }
                true
            }
            "VNrm" => {
                self.skip("norm", 4)?;
                false
            }
            "VCnt" => {
                self.skip_vector("mean", 4, d_in)?;
                false
            }
            _ => {
                return Err(HeaderError::Unsupported {
                    path: self.path.to_owned(),
                    kind,
                    offset: at,
                });
            }
        })
    }

    // Reading: bytes, numbers, vectors, each checked against what is left.

    fn left(&self) -> u64 {
        self.length - self.offset
    }

    fn need(&self, field: &'static str, needed: u128) -> Result<(), HeaderError> {
        if needed <= u128::from(self.left()) {
            return Ok(());
        }
        let (path, offset, left) = (self.path.to_owned(), self.offset, self.left());
        Err(HeaderError::Truncated {
            path,
            field,
            offset,
            needed,
            left,
        })
    }

    fn bytes<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], HeaderError> {
        self.need(field, N as u128)?;
        let mut bytes = [0; N];
        self.file
            .read_exact(&mut bytes)
            .map_err(|source| self.read_error(source))?;
        self.offset += N as u64;
        Ok(bytes)
    }

    fn skip(&mut self, field: &'static str, count: u128) -> Result<(), HeaderError> {
        self.need(field, count)?;
        // `need` has held the count against the file's length, which fits i64.
        self.file
            .seek_relative(count as i64)
            .map_err(|source| self.read_error(source))?;
        self.offset += count as u64;
        Ok(())
    }

    fn read_error(&self, source: std::io::Error) -> HeaderError {
        HeaderError::Read {
            path: self.path.to_owned(),
            source,
        }
    }

    fn kind(&mut self) -> Result<String, HeaderError> {
        let letters: [u8; 4] = self.bytes("kind")?;
        Ok(letters.escape_ascii().to_string())
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, HeaderError> {
        Ok(self.bytes::<1>(field)?[0])
    }

    fn bool(&mut self, field: &'static str) -> Result<bool, HeaderError> {
        let at = self.offset;
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.wrong(field, at, other, "it must be 0 or 1")),
        }
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, HeaderError> {
        Ok(i32::from_le_bytes(self.bytes(field)?))
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, HeaderError> {
        Ok(u64::from_le_bytes(self.bytes(field)?))
    }

    fn id(&mut self, field: &'static str) -> Result<(), HeaderError> {
        let at = self.offset;
        let id = i64::from_le_bytes(self.bytes(field)?);
        self.range(field, at, id, 0, MAX_ID)
    }

    fn equal_u64(&mut self, field: &'static str, expected: u64) -> Result<(), HeaderError> {
        let at = self.offset;
        let found = self.u64(field)?;
        if found == expected {
            Ok(())
        } else {
            Err(self.wrong(field, at, found, format!("{expected} was expected")))
        }
    }

    /// The length of a vector of `width`-byte values that follows, which must fit into what is left.
    fn vector_length(&mut self, field: &'static str, width: u64) -> Result<(u64, u64), HeaderError> {
        let at = self.offset;
        let count = self.u64(field)?;
        self.need(field, u128::from(count) * u128::from(width))?;
        Ok((at, count))
    }

    fn vector_of(&mut self, field: &'static str, width: u64, expected: u64) -> Result<(), HeaderError> {
        let (at, count) = self.vector_length(field, width)?;
        if count == expected {
            return Ok(());
        }
        Err(self.wrong(field, at, count, format!("{expected} values were expected")))
    }

    fn skip_vector(&mut self, field: &'static str, width: u64, expected: u64) -> Result<(), HeaderError> {
        self.vector_of(field, width, expected)?;
        self.skip(field, u128::from(expected) * u128::from(width))
    }

    fn i32_vector(&mut self, field: &'static str, expected: Option<u64>) -> Result<Vec<i32>, HeaderError> {
        let (at, count) = self.vector_length(field, 4)?;
        if let Some(expected) = expected.filter(|&expected| expected != count) {
            return Err(self.wrong(field, at, count, format!("{expected} values were expected")));
        }
        let mut values = Vec::with_capacity(count as usize);
        for _ in 0..count {
            values.push(self.i32(field)?);
        }
        Ok(values)
    }

    fn range(
        &self,
        field: &'static str,
        at: u64,
        value: i64,
        least: i64,
        most: i64,
    ) -> Result<(), HeaderError> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(self.wrong(field, at, value, format!("it must be {least} to {most}")))
    }

    fn wrong(
        &self,
        field: &'static str,
        offset: u64,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> HeaderError {
        let (value, expected) = (value.to_string(), expected.into());
        HeaderError::Field {
            path: self.path.to_owned(),
            field,
            offset,
            value,
            expected,
        }
    }
}

/// Where an inverted file says that its vectors are: list number and place in the list.
struct DirectMap {
    offset: u64,
    places: Vec<u64>,
}
