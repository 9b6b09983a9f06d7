//! The Kubernetes API of Gondola: the types of its three kinds and the YAML generated from them.
//! - [`spec`]: what a platform team requests of a [`RecommenderPipeline`];
//! - [`experiment`]: the part of it that is an A/B experiment; [`access`]: who may send requests to it;
//! - [`status`]: what the operator found;
//! - [`job`]: everybody's lists ahead of time, a [`RecommendationJob`]; [`training`]: a [`RecommenderTraining`]; [`runs`]: what these two have
//!   in common;
//! - [`reference`](mod@reference): the page about all fields;
//! - [`text`]: names, references, numbers and lengths of time, each of a form of its own; [`store`]: what stores have in common;
//! - [`validation`]: manifests, checked by the schema without an API server.
//!
//! The committed YAML is generated (`make generate`), and a test compares it with these types.
//! This crate knows no Kubernetes client.

pub mod access;
mod definition;
pub mod experiment;
pub mod experiment_status;
pub mod job;
pub mod online;
pub mod reference;
pub mod runs;
mod schema;
pub mod spec;
pub mod status;
pub mod store;
pub mod text;
pub mod training;
pub mod validation;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

pub use definition::{definition, definitions};
pub use job::{RecommendationJob, RecommendationJobSpec};
pub use spec::{RecommenderPipeline, RecommenderPipelineSpec};
pub use status::RecommenderPipelineStatus;
pub use training::{RecommenderTraining, RecommenderTrainingSpec};
pub use validation::{ManifestError, Violation, from_yaml};

/// A custom resource definition as YAML, with a first line that says where it comes from.
fn yaml(definition: &CustomResourceDefinition) -> String {
    let yaml = serde_saphyr::to_string(definition).expect("a generated definition is always YAML");
    format!("# Generated from the Rust types in crds/src by `make generate`; do not edit.\n{yaml}")
}

/// Every committed file that is generated from the types, with its place in the repository.
pub fn generated() -> Vec<(String, String)> {
    let definitions = definitions();
    // Helm installs what is in its own folder.
    let places = definitions.iter().flat_map(|definition| {
        let (file, text) = (&definition.spec.names.plural, yaml(definition));
        ["crds", "charts/gondola/crds"].map(|folder| (format!("{folder}/{file}.yaml"), text.clone()))
    });
    let reference = ("docs/reference.md".to_owned(), reference::markdown());
    places.chain([reference]).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_files_are_what_the_types_give() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (file, text) in super::generated() {
            let committed = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
            assert!(
                committed == text,
                "{file} is not what the types give now; run `make generate` and commit it"
            );
        }
    }

    /// Every object of a kind among the examples, with its file.
    fn examples(kind: &str) -> Vec<(std::path::PathBuf, String)> {
        let kind = format!("\nkind: {kind}\n");
        let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let folders = ["complete-journey", "discovery", "gallery", "gallery/gitops"]
            .map(|folder| examples.join(folder));
        let files = folders
            .into_iter()
            .flat_map(|folder| std::fs::read_dir(folder).expect("there are examples"));
        let files = files.map(|file| file.expect("it can be listed").path());
        let yaml = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
        let texts = yaml.map(|file| {
            (
                file.clone(),
                std::fs::read_to_string(&file).expect("it can be read"),
            )
        });
        let documents = texts.flat_map(|(file, text)| {
            let documents: Vec<String> = text.split("\n---\n").map(str::to_owned).collect();
            documents
                .into_iter()
                .map(move |document| (file.clone(), document))
        });
        documents
            .filter(|(_, text)| format!("\n{text}").contains(&kind))
            .collect()
    }

    #[test]
    fn every_example_keeps_every_rule() {
        let examples = examples("RecommenderPipeline");
        assert!(
            examples.len() >= 10,
            "only {} examples were found",
            examples.len()
        );
        for (file, text) in examples {
            let pipeline =
                super::from_yaml(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            kube::core::cel::validate_cel(&pipeline)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        each_keeps_every_rule::<super::RecommendationJob>();
        each_keeps_every_rule::<super::RecommenderTraining>();
    }

    fn each_keeps_every_rule<K>()
    where
        K: kube::core::object::HasSpec
            + kube::Resource<DynamicType = ()>
            + kube::CustomResourceExt
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let examples = examples(&K::kind(&()));
        assert!(!examples.is_empty(), "there is no {}", K::kind(&()));
        for (file, text) in examples {
            let object: K =
                serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let written: serde_json::Value = serde_saphyr::from_str(&text).expect("it is YAML");
            let read = serde_json::to_value(&object).expect("it can be written as JSON");
            assert_eq!(
                read["spec"],
                written["spec"],
                "{} has a field that nobody knows",
                file.display()
            );
            kube::core::cel::validate_cel(&object)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}
