//! The messages and the service, generated from `proto/open_inference.proto`.

#![expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "generated code; its comments stand in the definition"
)]

tonic::include_proto!("inference");

/// The definition, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/open_inference.bin"));
