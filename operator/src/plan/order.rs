//! The order that a variant's pods are given: what to serve, as `gondola_wire::serve_order` has it.
//!
//! Its ConfigMap is named after its content and never changes, so that a pod of an older rollout that starts again reads
//! what it read before. What doesn't concern the pods (weights, replicas, routers) is not in it, so that a change of it
//! restarts nobody.

use std::collections::BTreeMap;

use gondola_crds::spec::Variant;
use gondola_wire::resolution::VariantBundles;
use gondola_wire::serve_order::{ORDER_FILE, OnlineOrder, ServeOrder, VariantOrder};
use k8s_openapi::api::core::v1::ConfigMap;

use crate::names::{Component, short_hash};
use crate::pipeline::Pipeline;

/// The ConfigMap that a variant's pods mount.
pub fn config_map(pipeline: &Pipeline, variant: &Variant, bundles: &VariantBundles) -> ConfigMap {
    let names = &pipeline.names;
    let order = ServeOrder {
        pipeline: names.pipeline().to_owned(),
        store: pipeline.spec.artifacts.url.clone(),
        bundles: bundles.clone(),
        variant: VariantOrder::of(&pipeline.spec, variant),
        online: pipeline.spec.features.online.clone().map(|store| OnlineOrder {
            scope: format!("{}/{}", names.namespace(), names.pipeline()),
            store,
        }),
    };
    let text = serde_json::to_string_pretty(&order).expect("what was read from JSON can be written as JSON");
    let component = Component::Variant(&variant.name);
    let mut metadata = names.component_metadata(component);
    metadata.name = Some(format!("{}-{}", names.component(component), short_hash(&text)));
    ConfigMap {
        metadata,
        immutable: Some(true),
        data: Some(BTreeMap::from([(ORDER_FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }
}
