use gondola_crds::resolution::VariantResolution;
use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::sync::Arc;

use crate::fixtures::{Cluster, bundles, changed, condition, pipeline, refusal};
use crate::plan::names::{Component, Names};

fn resolved(_: &str) -> VariantResolution {
    VariantResolution::Resolved(bundles("v1"))
}

#[test]
fn the_first_status_says_that_it_is_on_its_way() {
    let mut pipeline = pipeline();
    Cluster::empty().status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Ready"), Some(("Unknown", "Resolving")));
    assert_eq!(condition(&pipeline, "Available"), Some(("False", "NotAnswering")));
    assert_eq!(condition(&pipeline, "Reconciling"), Some(("True", "Resolving")));
    assert_eq!(condition(&pipeline, "Stalled"), None);
    assert_eq!(pipeline.status.unwrap().observed_generation, Some(1));
}

#[test]
fn everything_serves() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    cluster.status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Ready"), Some(("True", "Serving")));
    assert_eq!(condition(&pipeline, "Available"), Some(("True", "Answering")));
    assert_eq!(condition(&pipeline, "Degraded"), Some(("False", "AsSpecified")));
    assert_eq!(condition(&pipeline, "Reconciling"), None);
    let status = pipeline.status.as_ref().unwrap();
    assert_eq!(status.traffic.as_deref(), Some("dlrm 50% forest 50%"));
    assert_eq!(status.ready_variants.as_deref(), Some("2/2"));
    assert_eq!(status.url.as_deref(), Some("http://grocery.shop.svc:8080"));
    assert_eq!(status.variants[0].bundles.len(), 4);
}

#[test]
fn a_rollout_keeps_the_pipeline_available() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    let forest = cluster.observed.deployments.get_mut("grocery-forest").unwrap();
    Arc::make_mut(forest).status.as_mut().unwrap().updated_replicas = Some(1);
    cluster.status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Ready"), Some(("Unknown", "RollingOut")));
    assert_eq!(condition(&pipeline, "Available"), Some(("True", "Answering")));
}

#[test]
fn a_refusal_is_named_while_what_was_good_goes_on() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    cluster.report(&pipeline, |_| refusal());
    cluster.status(&mut pipeline);
    assert_eq!(
        condition(&pipeline, "ArtifactsResolved"),
        Some(("False", "ContractMismatch"))
    );
    assert_eq!(condition(&pipeline, "Ready"), Some(("False", "ContractMismatch")));
    assert_eq!(
        condition(&pipeline, "Degraded"),
        Some(("True", "LastGoodBundles"))
    );
    assert_eq!(condition(&pipeline, "Available"), Some(("True", "Answering")));
    let message = pipeline.status.as_ref().unwrap().variants[0].message.clone();
    assert_eq!(
        message.as_deref(),
        Some("dlrm@stable was built for another workflow")
    );
    // The bundle is repaired: nothing else has to be done.
    cluster.report(&pipeline, resolved);
    cluster.status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Ready"), Some(("True", "Serving")));
}

#[test]
fn users_of_a_dead_variant_get_the_control_and_the_status_says_so() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    cluster.obey(&pipeline, |name| name != "grocery-forest");
    cluster.status(&mut pipeline);
    assert_eq!(
        condition(&pipeline, "Degraded"),
        Some(("True", "FallbackToControl"))
    );
    assert_eq!(condition(&pipeline, "Available"), Some(("True", "Answering")));
}

#[test]
fn a_rollout_that_is_too_slow_is_stalled_and_a_new_generation_supersedes_it() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    cluster.obey(&pipeline, |name| name != "grocery-dlrm");
    let dlrm = Arc::make_mut(cluster.observed.deployments.get_mut("grocery-dlrm").unwrap());
    dlrm.status.as_mut().unwrap().conditions = Some(vec![DeploymentCondition {
        type_: Some("Progressing".into()),
        reason: Some("ProgressDeadlineExceeded".into()),
        ..DeploymentCondition::default()
    }]);
    cluster.status(&mut pipeline);
    assert_eq!(
        condition(&pipeline, "Stalled"),
        Some(("True", "ProgressDeadlineExceeded"))
    );
    assert_eq!(condition(&pipeline, "Reconciling"), None);
    let mut next = changed("dlrm@stable, weight: 50", "dlrm@canary, weight: 50");
    next.status = pipeline.status;
    cluster.report(&next, |_| VariantResolution::Resolved(bundles("v2")));
    for _ in 0..2 {
        cluster.obey(&next, |_| true);
    }
    cluster.status(&mut next);
    assert_eq!(condition(&next, "Ready"), Some(("True", "Serving")));
    assert_eq!(condition(&next, "Stalled"), None);
}

#[test]
fn what_a_pipeline_may_not_ask_for_is_stalled_by_name() {
    let mut pipeline = changed(
        "'s3://models/grocery'",
        "'s3://models/grocery', serviceAccountName: admin",
    );
    let mut cluster = Cluster::empty();
    cluster.observed.account_allowed = false;
    cluster.status(&mut pipeline);
    assert_eq!(
        condition(&pipeline, "Stalled"),
        Some(("True", "ServiceAccountNotAllowed"))
    );
}

#[test]
fn suspended_is_neither_stuck_nor_on_its_way() {
    let mut pipeline = changed("  variants:", "  suspend: true\n  variants:");
    Cluster::empty().status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Suspended"), Some(("True", "Suspended")));
    assert_eq!(condition(&pipeline, "Reconciling"), None);
}

#[test]
fn the_same_state_gives_the_same_status_to_the_byte() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved).obey(&pipeline, |_| true);
    cluster.status(&mut pipeline);
    let first = pipeline.status.clone();
    cluster.status(&mut pipeline);
    assert_eq!(first, pipeline.status);
}

/// A pod of dlrm that Kubernetes says something of.
fn pod(pipeline: &gondola_crds::RecommenderPipeline, status: serde_json::Value) -> Arc<Pod> {
    let labels = Names::of(pipeline).selector(Component::Variant("dlrm"));
    let pod = json!({"metadata": {"name": "grocery-dlrm-1", "labels": labels}, "status": status});
    Arc::new(serde_json::from_value(pod).unwrap())
}

#[track_caller]
fn check_shown(status: serde_json::Value, part: &str) {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    cluster.obey(&pipeline, |name| name != "grocery-dlrm");
    cluster.observed.pods = vec![pod(&pipeline, status)];
    cluster.status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Ready"), Some(("Unknown", "RollingOut")));
    let status = pipeline.status.unwrap();
    let message = status.variants[0].message.clone().unwrap_or_default();
    assert!(message.contains(part), "{message}");
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    assert!(ready.unwrap().message.contains(part), "{ready:?}");
}

#[test]
fn a_gpu_that_no_node_has_is_shown_with_the_schedulers_message() {
    let message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.";
    check_shown(
        json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}),
        &format!("Unschedulable: {message}"),
    );
}

#[test]
fn an_image_that_crashes_is_shown_with_its_last_words() {
    let container = json!({
        "name": "serve", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 1, "message": "cannot listen on nonsense"}},
    });
    check_shown(
        json!({"containerStatuses": [container]}),
        "CrashLoopBackOff: cannot listen on nonsense",
    );
}

#[test]
fn a_pod_that_is_being_made_is_no_problem() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    cluster.obey(&pipeline, |name| name != "grocery-dlrm");
    let container = json!({
        "name": "serve", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}},
    });
    cluster.observed.pods = vec![pod(&pipeline, json!({"containerStatuses": [container]}))];
    cluster.status(&mut pipeline);
    assert_eq!(pipeline.status.unwrap().variants[0].message, None);
}
