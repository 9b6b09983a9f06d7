//! What a variant's pods are told: the pipeline's manifest with one variant, and every bundle pinned to a version.
//!
//! Its ConfigMap is named after its content and never changes, so that a pod of an older rollout that starts again reads
//! what it read before. What doesn't concern the pods (weights, replicas, routers) is left out, so that a change of it
//! restarts nobody.

use std::collections::BTreeMap;

use gondola_crds::RecommenderPipeline;
use gondola_crds::spec::{BundleRef, RecommenderPipelineSpec, Retrieval, Similarity, Variant};
use gondola_wire::resolution::VariantBundles;
use k8s_openapi::api::core::v1::ConfigMap;
use sha2::{Digest as _, Sha256};

use super::names::{Component, Names};

/// The key of the ConfigMap, and the file's name in pods.
pub const FILE: &str = "pipeline.yaml";

/// The ConfigMap that a variant's pods mount.
pub fn config_map(pipeline: &RecommenderPipeline, variant: &Variant, bundles: &VariantBundles) -> ConfigMap {
    let pinned = RecommenderPipeline {
        metadata: kube::api::ObjectMeta {
            name: pipeline.metadata.name.clone(),
            ..kube::api::ObjectMeta::default()
        },
        spec: pinned(&pipeline.spec, variant, bundles),
        status: None,
    };
    let text =
        serde_json::to_string_pretty(&pinned).expect("a spec that was read from JSON can be written as JSON");
    let names = Names::of(pipeline);
    let component = Component::Variant(&variant.name);
    let mut metadata = names.component_metadata(component);
    metadata.name = Some(format!("{}-{}", names.component(component), short_hash(&text)));
    ConfigMap {
        metadata,
        immutable: Some(true),
        data: Some(BTreeMap::from([(FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// The first eight hexadecimal digits of a text's sha256.
pub fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..4])
}

/// The digests that the pods must find: `role=sha256:...`, joined by commas.
pub fn digests(bundles: &VariantBundles) -> String {
    let pairs = bundles
        .by_role()
        .map(|(role, bundle)| format!("{role}={}", bundle.digest));
    pairs.collect::<Vec<_>>().join(",")
}

fn pinned(
    spec: &RecommenderPipelineSpec,
    variant: &Variant,
    bundles: &VariantBundles,
) -> RecommenderPipelineSpec {
    let retrieval = Retrieval {
        bundle: BundleRef(bundles.retrieval.pinned()),
        ..spec.retrieval_of(variant).clone()
    };
    let similarity = spec.similarity.as_ref().zip(bundles.similarity.as_ref());
    RecommenderPipelineSpec {
        artifacts: gondola_crds::spec::Artifacts {
            url: spec.artifacts.url.clone(),
            ..Default::default()
        },
        features: gondola_crds::spec::Features {
            bundle: BundleRef(bundles.features.pinned()),
        },
        retrieval,
        similarity: similarity.map(|(similarity, bundle)| Similarity {
            bundle: BundleRef(bundle.pinned()),
            ..similarity.clone()
        }),
        filters: spec.filters.clone(),
        ordering: spec.ordering.clone(),
        variants: vec![Variant {
            name: variant.name.clone(),
            scorer: BundleRef(bundles.scorer.pinned()),
            weight: 1,
            device: variant.device,
            ..Variant::default()
        }],
        ..RecommenderPipelineSpec::default()
    }
}
