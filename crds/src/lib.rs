//! The Kubernetes API of Gondola: the types of [`RecommenderPipeline`] and the YAML generated from them.
//!
//! - [`spec`]: what a platform team asks for;
//! - [`status`]: what the operator found;
//! - [`resolution`] and [`routes`]: what the resolver tells the operator, and what the operator tells the routers;
//! - [`validation`]: the rules of the schema as plain Rust, for programs that read a manifest without an API server.
//!
//! The committed `recommenderpipelines.yaml` is generated (`make generate`), and a test compares it with these types.
//! This crate knows no Kubernetes client.

pub mod resolution;
pub mod routes;
pub mod spec;
pub mod status;
pub mod validation;

pub use spec::{RecommenderPipeline, RecommenderPipelineSpec};
pub use status::RecommenderPipelineStatus;
pub use validation::{ManifestError, Violation, from_yaml};

/// The custom resource definition as YAML, with a first line that says where it comes from.
pub fn crd_yaml() -> String {
    let crd = <RecommenderPipeline as kube::CustomResourceExt>::crd();
    let yaml = serde_saphyr::to_string(&crd).expect("a generated definition is always YAML");
    format!("# Generated from the Rust types in crds/src by `make generate`; do not edit.\n{yaml}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_definition_is_what_the_types_give() {
        let committed = include_str!("../recommenderpipelines.yaml");
        assert!(
            committed == super::crd_yaml(),
            "crds/recommenderpipelines.yaml is not what the types give now; run `make generate` and commit it"
        );
    }
}
