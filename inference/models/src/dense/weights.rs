//! Weights of a model: a safetensors file, read with its names, shapes and values checked.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{EmbeddingTable, Linear};
use crate::memory::on_huge_pages;
use gondola_forest::misplaced::Misplaced;

/// Why weights could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a safetensors file, or a damaged one.
    #[error("{path} is not a readable safetensors file")]
    Format {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// The file is of a format that we don't read.
    #[error("{path} is {found}, which is not read: {way_out}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to do.
        way_out: &'static str,
    },
    /// A tensor is missing, or not as the configuration says.
    #[error("{path}: tensor {tensor} {problem}; publish the weights and their configuration together")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Which tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A list of numbers that is written.
#[derive(Clone, Copy, Debug)]
pub enum List<'a> {
    /// Numbers.
    Values(&'a [f32]),
    /// Whole numbers.
    Numbers(&'a [u32]),
    /// Numbers of this shape, row-major.
    Shaped(&'a [f32], &'a [usize]),
}

impl List<'_> {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Values(values) => vec![values.len()],
            Self::Numbers(numbers) => vec![numbers.len()],
            Self::Shaped(_, shape) => shape.to_vec(),
        }
    }

    fn bytes(&self) -> (Dtype, Vec<u8>) {
        match self {
            Self::Values(values) | Self::Shaped(values, _) => (
                Dtype::F32,
                values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ),
            Self::Numbers(numbers) => (
                Dtype::U32,
                numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            ),
        }
    }
}

impl<'a> From<&'a [f32]> for List<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Values(values)
    }
}

impl<'a> From<&'a [u32]> for List<'a> {
    fn from(numbers: &'a [u32]) -> Self {
        Self::Numbers(numbers)
    }
}

/// The bytes of a safetensors file.
pub struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Weights {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = fs::read(path).map_err(|source| WeightsError::File {
            path: path.to_owned(),
            source,
        })?;
        if let Some((found, way_out)) = foreign(&bytes) {
            let path = path.to_owned();
            return Err(WeightsError::Foreign { path, found, way_out });
        }
        let weights = Self {
            path: path.to_owned(),
            bytes,
        };
        weights.tensors()?;
        Ok(weights)
    }

    /// The values of a tensor of this name and shape; all of them are finite.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let wrong = |problem| self.wrong(name, problem);
        let data = self.data(name, Dtype::F32, shape)?.chunks_exact(4);
        // A table of embeddings is read at random.
        let mut values = on_huge_pages(data.len());
        values.extend(data.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks are of 4 bytes"))));
        match values.iter().position(|value| !value.is_finite()) {
            Some(position) => Err(wrong(format!("has {} at position {position}", values[position]))),
            None => Ok(values),
        }
    }

    /// All values of a tensor of numbers, whatever its shape; all of them are finite.
    pub fn all_values(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let shape = self.shape(name)?;
        self.tensor(name, &shape)
    }

    /// All whole numbers of a tensor.
    pub fn all_numbers(&self, name: &str) -> Result<Vec<u32>, WeightsError> {
        let length = self.shape(name)?.iter().product();
        self.numbers(name, length)
    }

    /// So many whole numbers.
    pub fn numbers(&self, name: &str, length: usize) -> Result<Vec<u32>, WeightsError> {
        let data = self.data(name, Dtype::U32, &[length])?.chunks_exact(4);
        Ok(data
            .map(|bytes| u32::from_le_bytes(bytes.try_into().expect("chunks are of 4 bytes")))
            .collect())
    }

    /// So many whole numbers, each below `bound`.
    pub fn numbers_below(&self, name: &str, length: usize, bound: usize) -> Result<Vec<u32>, WeightsError> {
        let numbers = self.numbers(name, length)?;
        match numbers.iter().find(|number| **number as usize >= bound) {
            Some(number) => Err(self.wrong(name, format!("names {number}, but there are {bound}"))),
            None => Ok(numbers),
        }
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, WeightsError> {
        Ok(self.view(name)?.shape().to_vec())
    }

    /// The bytes of a tensor of this name, type and shape.
    fn data(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&[u8], WeightsError> {
        let tensor = self.view(name)?;
        if tensor.shape() != shape || tensor.dtype() != dtype {
            let found = format!("{:?} of {:?}", tensor.dtype(), tensor.shape());
            return Err(self.wrong(name, format!("is {found}, but {dtype:?} of {shape:?} is needed")));
        }
        Ok(tensor.data())
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, WeightsError> {
        let tensors = self.tensors()?;
        let tensor = tensors.tensor(name);
        tensor.map_err(|_| self.wrong(name, "is missing".to_owned()))
    }

    /// Writes lists of numbers as a safetensors file, each by its name.
    pub fn write(path: &Path, tensors: &[(&str, List<'_>)]) -> Result<(), WeightsError> {
        let bytes: Vec<(Dtype, Vec<u8>)> = tensors.iter().map(|(_, list)| list.bytes()).collect();
        let wrap = |source| WeightsError::Format {
            path: path.to_owned(),
            source,
        };
        let views = tensors.iter().zip(&bytes).map(|((name, list), (dtype, bytes))| {
            let view = TensorView::new(*dtype, list.shape(), bytes)?;
            Ok((*name, view))
        });
        let views: Vec<(&str, TensorView<'_>)> = views.collect::<Result<_, _>>().map_err(wrap)?;
        safetensors::serialize_to_file(views, None, path).map_err(wrap)
    }

    /// `{name}.weight` (`[output, input]`) and `{name}.bias` (`[output]`), with one output at least.
    pub fn linear(&self, name: &str, input: usize, output: usize) -> Result<Linear, WeightsError> {
        let weight = format!("{name}.weight");
        if output == 0 {
            return Err(self.wrong(&weight, "has no outputs by its configuration".to_owned()));
        }
        let weights = self.tensor(&weight, &[output, input])?;
        let bias = self.tensor(&format!("{name}.bias"), &[output])?;
        Ok(Linear::new(&weights, &bias))
    }

    /// The linear layers between `widths`, named `{name}.{position}`.
    pub fn layers(&self, name: &str, widths: &[usize]) -> Result<Vec<Linear>, WeightsError> {
        self.named_layers(widths, |position| format!("{name}.{position}"))
    }

    /// The linear layers between `widths`, each with the name that `name` gives to its position.
    pub fn named_layers(
        &self,
        widths: &[usize],
        name: impl Fn(usize) -> String,
    ) -> Result<Vec<Linear>, WeightsError> {
        let pairs = widths.windows(2).enumerate();
        pairs
            .map(|(position, pair)| self.linear(&name(position), pair[0], pair[1]))
            .collect()
    }

    /// The names of all tensors.
    pub fn names(&self) -> Result<Vec<String>, WeightsError> {
        let tensors = self.tensors()?;
        Ok(tensors.names().into_iter().map(str::to_owned).collect())
    }

    /// `{name}.weight` (`[cardinality, width]`), with rows for null and the unknown at least.
    pub fn embedding(
        &self,
        name: &str,
        cardinality: usize,
        width: usize,
    ) -> Result<EmbeddingTable, WeightsError> {
        let tensor = format!("{name}.weight");
        if cardinality < 2 {
            let problem =
                format!("has {cardinality} rows by its configuration, but null and the unknown need two");
            return Err(self.wrong(&tensor, problem));
        }
        if width == 0 {
            return Err(self.wrong(&tensor, "has width 0 by its configuration".to_owned()));
        }
        let values = self.tensor(&tensor, &[cardinality, width])?;
        Ok(EmbeddingTable::new(width, values))
    }

    /// An error that names a tensor of this file.
    pub(crate) fn wrong(&self, tensor: &str, problem: String) -> WeightsError {
        WeightsError::Tensor {
            path: self.path.clone(),
            tensor: tensor.to_owned(),
            problem,
        }
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, WeightsError> {
        SafeTensors::deserialize(&self.bytes).map_err(|source| WeightsError::Format {
            path: self.path.clone(),
            source,
        })
    }
}

/// What a file is that is not a safetensors file, and the way out, where its first bytes tell.
///
/// A safetensors file begins with the length of its header, 8 bytes of which the last are 0.
fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const SAVE: &str = "save its state_dict as safetensors";
    if let Some(misplaced) = Misplaced::of(bytes) {
        return Some((misplaced.name(), misplaced.way_out()));
    }
    match bytes {
        [b'P', b'K', 3, 4, ..] => Some(("a PyTorch checkpoint, whose pickles can run code", SAVE)),
        [0x80, 2..=5, .., b'.'] => Some(("a Python pickle, which can run code", SAVE)),
        // Field 1 of an ONNX model is its version, a small number; field 2 names who made it.
        [0x08, 1..=32, 0x12, ..] => Some((
            "an ONNX graph",
            "save the weights that it was exported from as safetensors",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn check(file: &str, part: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dlrm");
        let error = Weights::read(&folder.join(file))
            .err()
            .expect("this is not a safetensors file");
        assert!(error.to_string().contains(part), "{error}");
    }

    #[test]
    fn files_of_other_formats_are_refused_by_name() {
        check(
            "dlrm_dot.pt",
            "is a PyTorch checkpoint, whose pickles can run code",
        );
        check("dlrm_dot_gather.legacy.onnx", "is an ONNX graph");
    }

    #[test]
    fn a_pointer_of_git_lfs_is_refused_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(
            &path,
            "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n",
        )
        .unwrap();
        let error = Weights::read(&path)
            .err()
            .expect("this is not a safetensors file");
        assert!(error.to_string().contains("a pointer of git-lfs"), "{error}");
        assert!(error.to_string().contains("`git lfs pull`"), "{error}");
    }

    #[test]
    fn a_file_that_ends_too_early_is_refused_wherever_it_ends() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dlrm/dlrm_dot.safetensors");
        let whole = fs::read(fixture).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        for length in (0..whole.len()).step_by(97) {
            fs::write(&path, &whole[..length]).unwrap();
            let error = Weights::read(&path).err().expect("this is not a whole file");
            assert!(matches!(error, WeightsError::Format { .. }), "{error}");
        }
    }
}
