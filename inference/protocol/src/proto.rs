//! The messages and the service, generated from `proto/gondola/v1/recommender.proto`.

#![expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "generated code; its comments stand in the definition"
)]

tonic::include_proto!("gondola.v1");

/// The definition, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/recommender.bin"));
/// The service's full name, for health checks.
pub const SERVICE: &str = "gondola.v1.Recommender";
