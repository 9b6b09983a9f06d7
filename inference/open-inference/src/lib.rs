//! The Open Inference Protocol, version 2: what clients of Triton and KServe speak, for a pipeline's own questions.
//!
//! A pipeline is shown as three models, `recommend`, `similar` and `score`, and each of its stages as one more that can be looked at, not asked
//! ([`model`]). In reading order:
//!
//! - [`tensor`]: values with a name, a type and a shape, as bytes;
//! - [`infer`]: questions made of the tensors of a request, and tensors made of their answers;
//! - [`json`]: a request and a response over HTTP, with tensors as JSON or as bytes behind it; [`messages`], over gRPC;
//! - [`statistics`]: how often models were asked, and how long they took;
//! - [`proto`]: the messages and the service, as generated.
//!
//! Absent on purpose: sockets. Who serves it: `gondola-server`.

pub mod infer;
pub mod json;
pub mod messages;
pub mod model;
pub mod proto;
pub mod statistics;
pub mod tensor;

pub use infer::{Inference, InferenceResult};
pub use model::{Model, UnknownModel};
pub use statistics::Statistics;
pub use tensor::{Datatype, Tensor, Values, WrongTensor};

/// The version of every model: what it is made of changes without one, as the pipeline's spec says.
pub const VERSION: &str = "1";
