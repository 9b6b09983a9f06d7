//! A network: a file that was loaded, with what it reads and gives, and its runs.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};

use crate::graph::{self, GraphError};
use crate::runtime::{self, RuntimeError};
use crate::watch::Watch;

/// Values of one tensor of zeros, at most.
const MOST_ZEROS: usize = 1 << 24;

/// What a network may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a run may take.
    pub time: Duration,
    /// How many bytes of weights may be kept: each run that goes on beside others needs its own copy of them. One copy is
    /// kept in any case.
    pub weights: u64,
}

/// A network that is ready to run.
#[derive(Debug)]
pub struct Network {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    idle: Mutex<Vec<Session>>,
    freed: Condvar,
    watch: Watch,
}

/// An input or an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// What it consists of.
    pub element: Element,
    /// Its shape; empty for a single value.
    pub shape: Vec<Dimension>,
}

/// What a tensor consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// `f32`.
    Float,
    /// `f64`.
    Double,
    /// `i32`.
    Int32,
    /// `i64`.
    Int64,
    /// Something else, as ONNX Runtime calls it.
    Other(String),
}

/// One dimension of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Always this size.
    Fixed(usize),
    /// Whatever a run brings.
    Any,
}

/// Values for an input.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// The input's name.
    pub name: &'a str,
    /// How many there are in each dimension.
    pub shape: &'a [usize],
    /// The values, row-major.
    pub values: Values<'a>,
}

/// The values of a tensor.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is what `Element` calls so")]
pub enum Values<'a> {
    Float(&'a [f32]),
    Double(&'a [f64]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
}

/// Why a network could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its file can't be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The graph is not one that is run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// ONNX Runtime can't be had.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// ONNX Runtime refuses the graph.
    #[error("ONNX Runtime refuses the model: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
    /// No thread can be had to watch its runs.
    #[error("cannot start the thread that watches runs")]
    Watch(#[source] std::io::Error),
}

/// Why a run gave nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// It took too long.
    #[error("the network took longer than {} ms and was ended", .limit.as_millis())]
    TooLong {
        /// How long it may take.
        limit: Duration,
    },
    /// ONNX Runtime gave up.
    #[error("the network failed: {reason}")]
    Failed {
        /// What it says.
        reason: String,
    },
    /// The output is not a number a value.
    #[error("the network's output {name:?} is not what it says: {reason}")]
    Output {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Network {
    /// Checks the file and loads it.
    pub fn load(path: &Path, limits: Limits) -> Result<Self, LoadError> {
        let bytes = fs::read(path).map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?;
        graph::check(&bytes)?;
        let first = session(&bytes)?;
        let (inputs, outputs) = (ports(first.inputs()), ports(first.outputs()));
        let mut idle = vec![first];
        for _ in 1..copies(bytes.len(), limits.weights) {
            idle.push(session(&bytes)?);
        }
        Ok(Self {
            inputs,
            outputs,
            idle: Mutex::new(idle),
            freed: Condvar::new(),
            watch: Watch::new(limits.time).map_err(LoadError::Watch)?,
        })
    }

    /// What it reads.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What it gives.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Puts the values of one output into `out` (cleared first), row-major, and gives its shape.
    pub fn run(
        &self,
        tensors: &[Tensor<'_>],
        output: &str,
        out: &mut Vec<f32>,
    ) -> Result<Vec<usize>, RunError> {
        let inputs = tensors
            .iter()
            .map(|tensor| Ok((tensor.name, tensor.value()?)))
            .collect::<Result<Vec<(&str, SessionInputValue<'_>)>, ort::Error>>()
            .map_err(failed)?;
        let mut session = self.take();
        let result = self.run_on(&mut session, inputs, output, out);
        self.give_back(session);
        result
    }

    /// Runs on zeros: `rows` of them wherever a dimension is not fixed. For trials of networks that nobody knows.
    pub fn run_zeros(&self, rows: usize) -> Result<(), RunError> {
        let zeros: Vec<Zeros> = self
            .inputs
            .iter()
            .filter_map(|port| Zeros::of(port, rows))
            .collect();
        let tensors: Vec<Tensor<'_>> = zeros.iter().map(Zeros::tensor).collect();
        match self.outputs.first() {
            Some(output) => self.run(&tensors, &output.name, &mut Vec::new()).map(drop),
            None => Ok(()),
        }
    }

    fn run_on(
        &self,
        session: &mut Session,
        inputs: Vec<(&str, SessionInputValue<'_>)>,
        output: &str,
        out: &mut Vec<f32>,
    ) -> Result<Vec<usize>, RunError> {
        let run = Arc::new(RunOptions::new().map_err(failed)?);
        let begun = Instant::now();
        self.watch.begin(&run);
        let outputs = session.run_with_options(inputs, &run).map_err(|error| {
            let limit = self.watch.limit();
            if begun.elapsed() >= limit {
                RunError::TooLong { limit }
            } else {
                failed(error)
            }
        })?;
        let wrong = |reason| RunError::Output {
            name: output.to_owned(),
            reason,
        };
        let value = outputs
            .get(output)
            .ok_or_else(|| wrong("there is none".to_owned()))?;
        take_values(value, out).map_err(|error| wrong(error.to_string()))
    }

    /// A session that no other run uses; waits for one where all are used.
    fn take(&self) -> Session {
        // A session that was taken out when a run panicked is lost, and the others are whole.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(session) = idle.pop() {
                return session;
            }
            idle = self.freed.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(session);
        self.freed.notify_one();
    }
}

/// How many sessions there are: one for each processor, as far as weights may be kept.
fn copies(bytes: usize, limit: u64) -> usize {
    let most = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let within = limit / (bytes as u64).max(1);
    usize::try_from(within).unwrap_or(most).clamp(1, most)
}

/// A session of one thread: whoever runs it has the threads.
fn session(bytes: &[u8]) -> Result<Session, LoadError> {
    let environment = runtime::environment()?;
    let build = || -> ort::Result<Session> {
        Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .commit_from_memory(bytes)
    };
    build().map_err(|error| LoadError::Refused {
        reason: error.to_string(),
    })
}

fn failed(error: ort::Error) -> RunError {
    RunError::Failed {
        reason: error.to_string(),
    }
}

fn ports(outlets: &[ort::value::Outlet]) -> Vec<Port> {
    outlets.iter().map(Port::of).collect()
}

impl Port {
    fn of(outlet: &ort::value::Outlet) -> Self {
        let (element, shape) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => (
                Element::of(*ty),
                shape.iter().copied().map(Dimension::of).collect(),
            ),
            other => (Element::Other(format!("{other:?}")), Vec::new()),
        };
        Self {
            name: outlet.name().to_owned(),
            element,
            shape,
        }
    }
}

impl Element {
    fn of(element: TensorElementType) -> Self {
        match element {
            TensorElementType::Float32 => Self::Float,
            TensorElementType::Float64 => Self::Double,
            TensorElementType::Int32 => Self::Int32,
            TensorElementType::Int64 => Self::Int64,
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float => "float",
            Self::Double => "double",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Other(name) => name,
        })
    }
}

impl Dimension {
    fn of(size: i64) -> Self {
        usize::try_from(size).map_or(Self::Any, Self::Fixed)
    }
}

impl Tensor<'_> {
    fn value(&self) -> Result<SessionInputValue<'_>, ort::Error> {
        Ok(match self.values {
            Values::Float(values) => TensorRef::from_array_view((self.shape, values))?.into(),
            Values::Double(values) => TensorRef::from_array_view((self.shape, values))?.into(),
            Values::Int32(values) => TensorRef::from_array_view((self.shape, values))?.into(),
            Values::Int64(values) => TensorRef::from_array_view((self.shape, values))?.into(),
        })
    }
}

/// Copies a float or double tensor.
fn take_values(value: &DynValue, out: &mut Vec<f32>) -> Result<Vec<usize>, ort::Error> {
    out.clear();
    let shape = if let Ok((shape, values)) = value.try_extract_tensor::<f64>() {
        out.extend(values.iter().map(|value| *value as f32));
        shape
    } else {
        let (shape, values) = value.try_extract_tensor::<f32>()?;
        out.extend_from_slice(values);
        shape
    };
    Ok(shape
        .iter()
        .map(|size| usize::try_from(*size).unwrap_or_default())
        .collect())
}

/// Nothing but zeros for an input.
struct Zeros<'a> {
    name: &'a str,
    shape: Vec<usize>,
    values: ZeroValues,
}

enum ZeroValues {
    Float(Vec<f32>),
    Double(Vec<f64>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
}

impl<'a> Zeros<'a> {
    /// Nothing for what no tensor of ours can be, and for more than there is room for.
    fn of(port: &'a Port, rows: usize) -> Option<Self> {
        let size = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size @ 1..) => *size,
            Dimension::Fixed(0) | Dimension::Any => rows,
        };
        let shape: Vec<usize> = port.shape.iter().map(size).collect();
        let count = shape
            .iter()
            .try_fold(1_usize, |all, size| all.checked_mul(*size))?;
        let count = Some(count).filter(|count| *count <= MOST_ZEROS)?;
        let values = match port.element {
            Element::Float => ZeroValues::Float(vec![0.0; count]),
            Element::Double => ZeroValues::Double(vec![0.0; count]),
            Element::Int32 => ZeroValues::Int32(vec![0; count]),
            Element::Int64 => ZeroValues::Int64(vec![0; count]),
            Element::Other(_) => return None,
        };
        Some(Self {
            name: &port.name,
            shape,
            values,
        })
    }

    fn tensor(&self) -> Tensor<'_> {
        Tensor {
            name: self.name,
            shape: &self.shape,
            values: match &self.values {
                ZeroValues::Float(values) => Values::Float(values),
                ZeroValues::Double(values) => Values::Double(values),
                ZeroValues::Int32(values) => Values::Int32(values),
                ZeroValues::Int64(values) => Values::Int64(values),
            },
        }
    }
}
