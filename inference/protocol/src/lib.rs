//! The protocol of a pipeline: its messages, and what answers them.
//!
//! - [`proto`]: the messages and the gRPC service, as generated;
//! - [`conversion`]: messages to values of `gondola-request` and back; [`changes`]: the same of changes;
//! - [`service`]: [`Recommender`], which a variant and a router both are, and why one does not answer.
//!
//! Absent on purpose: sockets and models. Who serves it: `gondola-server`; who answers: a variant's pod or a router.

pub mod changes;
pub mod conversion;
pub mod proto;
mod rules;
pub mod service;
mod status;

pub use service::{
    AssignmentReason, BundleDescription, ChangeReceipt, Code, Digests, Explained, Inquiry,
    PipelineDescription, Recommender, RefusedChange, Served, ServiceError, VariantDescription, Visit,
};
