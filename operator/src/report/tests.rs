use gondola_wire::resolution::VariantResolution;
use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::sync::Arc;

use crate::fixtures::{Cluster, bundles, changed, checked, condition, pipeline, refusal};
use crate::names::Component;

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
    assert_eq!(
        status.admin_url.as_deref(),
        Some("http://grocery--admin.shop.svc:8081")
    );
    let dlrm = &status.variants[0];
    assert_eq!(dlrm.bundles.desired.len(), 4);
    assert_eq!(dlrm.bundles.desired, dlrm.bundles.ready);
    assert_eq!(
        (dlrm.traffic_buckets, dlrm.buckets.as_deref()),
        (Some(5000), Some("0-4999"))
    );
}

#[test]
fn a_rollout_keeps_the_pipeline_available() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    cluster.report(&pipeline, |_| VariantResolution::Resolved(bundles("v2")));
    cluster.obey(&pipeline, |name| name != "grocery--forest");
    let forest = cluster
        .observed
        .children
        .deployments
        .get_mut("grocery--forest")
        .unwrap();
    Arc::make_mut(forest).status.as_mut().unwrap().ready_replicas = Some(1);
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
    cluster.obey(&pipeline, |name| name != "grocery--forest");
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
    cluster.obey(&pipeline, |name| name != "grocery--dlrm");
    let dlrm = Arc::make_mut(
        cluster
            .observed
            .children
            .deployments
            .get_mut("grocery--dlrm")
            .unwrap(),
    );
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
        "credentials: {secretRef: {name: models-s3}}",
        "serviceAccountName: admin",
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
    let labels = checked(pipeline).names.selector(Component::Variant("dlrm"));
    let pod = json!({"metadata": {"name": "grocery--dlrm-1", "labels": labels}, "status": status});
    Arc::new(serde_json::from_value(pod).unwrap())
}

#[track_caller]
fn check_shown(status: serde_json::Value, part: &str) {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    cluster.obey(&pipeline, |name| name != "grocery--dlrm");
    cluster.observed.pods = [("grocery--dlrm-1".to_owned(), pod(&pipeline, status))].into();
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
fn a_pod_that_is_being_created_is_not_a_problem() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    cluster.obey(&pipeline, |name| name != "grocery--dlrm");
    let container = json!({
        "name": "serve", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}},
    });
    let pod = pod(&pipeline, json!({"containerStatuses": [container]}));
    cluster.observed.pods = [("grocery--dlrm-1".to_owned(), pod)].into();
    cluster.status(&mut pipeline);
    assert_eq!(pipeline.status.unwrap().variants[0].message, None);
}

#[test]
fn what_kubernetes_says_of_containers_is_shown() {
    let container = |name: &str, state: serde_json::Value, last: serde_json::Value| json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 3, "state": state, "lastState": last});
    let ended = |reason: &str, message: &str| json!({"terminated": {"exitCode": 1, "reason": reason, "message": message}});
    // An init container that failed, between two tries.
    check_shown(
        json!({"initContainerStatuses": [container("fetch", ended("Error", "INFO fetching dlrm\nINFO fetching forest\nindex.faiss has another digest\n"), json!({}))]}),
        "Error: index.faiss has another digest",
    );
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}});
    check_shown(
        json!({"containerStatuses": [container("serve", waiting, ended("OOMKilled", ""))]}),
        "OOMKilled: container serve used more memory than its limit allows",
    );
    // It runs again, until it is ended again.
    check_shown(
        json!({"containerStatuses": [container("serve", json!({"running": {}}), ended("OOMKilled", ""))]}),
        "OOMKilled: container serve used more memory",
    );
}

#[test]
fn why_no_pod_can_be_made_is_shown() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    cluster.obey(&pipeline, |name| name != "grocery--dlrm");
    let dlrm = Arc::make_mut(
        cluster
            .observed
            .children
            .deployments
            .get_mut("grocery--dlrm")
            .unwrap(),
    );
    let message = "pods \"grocery--dlrm-\" is forbidden: exceeded quota: gpus";
    dlrm.status.as_mut().unwrap().conditions = Some(vec![DeploymentCondition {
        type_: Some("ReplicaFailure".into()),
        status: Some("True".into()),
        reason: Some("FailedCreate".into()),
        message: Some(message.into()),
        ..DeploymentCondition::default()
    }]);
    cluster.status(&mut pipeline);
    let status = pipeline.status.unwrap();
    let shown = format!("FailedCreate: {message}");
    assert_eq!(status.variants[0].message.as_deref(), Some(shown.as_str()));
    assert!(
        status.conditions[0].message.contains(&shown),
        "{:?}",
        status.conditions[0]
    );
}

#[test]
fn what_events_say_of_a_pod_that_waits_is_shown() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    cluster.obey(&pipeline, |name| name != "grocery--dlrm");
    cluster.observed.pods = [("grocery--dlrm-1".to_owned(), pod(&pipeline, json!({})))].into();
    let problem = crate::observed::pods::PodProblem {
        reason: "FailedMount".into(),
        message: "configmap \"x\" not found".into(),
    };
    cluster.observed.pod_events = [("grocery--dlrm-1".to_owned(), problem)].into();
    cluster.status(&mut pipeline);
    let message = pipeline.status.unwrap().variants[0].message.clone();
    assert_eq!(message.as_deref(), Some("FailedMount: configmap \"x\" not found"));
}

#[test]
fn rolled_out_stays_so_when_pods_are_lost_or_added() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    let forest = Arc::make_mut(
        cluster
            .observed
            .children
            .deployments
            .get_mut("grocery--forest")
            .unwrap(),
    );
    forest.spec.replicas = Some(5);
    forest.status.as_mut().unwrap().available_replicas = Some(1);
    cluster.status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Ready"), Some(("True", "Serving")));
    assert_eq!(condition(&pipeline, "Reconciling"), None);
}

#[test]
fn in_a_stuck_rollout_the_status_tells_what_serves_from_what_is_wanted() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    cluster.report(&pipeline, |_| VariantResolution::Resolved(bundles("v2")));
    let old = cluster.observed.replica_sets.clone();
    cluster.obey(&pipeline, |_| false);
    cluster.observed.replica_sets.extend(old);
    cluster.status(&mut pipeline);
    let dlrm = &pipeline.status.as_ref().unwrap().variants[0];
    let scorer = |version: &str| bundles(version).scorer.digest;
    assert_eq!(dlrm.bundles.desired["scorer"], scorer("v2"));
    assert_eq!(dlrm.bundles.ready["scorer"], scorer("v1"));
}

#[test]
fn suspended_with_something_to_do_is_not_ready() {
    let mut pipeline = pipeline();
    let mut cluster = Cluster::empty();
    cluster.report(&pipeline, resolved);
    for _ in 0..2 {
        cluster.obey(&pipeline, |_| true);
    }
    pipeline.spec.suspend = true;
    pipeline.spec.variants[0].replicas = Some(9);
    cluster.status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Ready"), Some(("Unknown", "Suspended")));
    assert_eq!(condition(&pipeline, "Suspended"), Some(("True", "Suspended")));
}

#[test]
fn a_route_that_a_gateway_refuses_is_reported_in_its_words() {
    let mut pipeline = changed(
        "  variants:",
        "  gateway: {parentRefs: [{name: public}]}\n  variants:",
    );
    let mut cluster = Cluster::empty();
    cluster.status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Exposed"), Some(("False", "ApiMissing")));
    let extension = crate::extension::Extension::HttpRoute;
    let mut route = crate::plan::extensions::wanted(extension, &checked(&pipeline)).unwrap();
    cluster.observed.extensions = [(extension, Default::default())].into();
    cluster.status(&mut pipeline);
    assert_eq!(condition(&pipeline, "Exposed"), Some(("Unknown", "RoutePending")));
    let mut say = |status: &str, reason: &str| {
        let condition = json!({"type": "Accepted", "status": status, "reason": reason, "message": "no listener allows it"});
        route.data["status"] =
            json!({"parents": [{"parentRef": {"name": "public"}, "conditions": [condition]}]});
        cluster.observed.extensions = [(
            extension,
            [("grocery".to_owned(), Arc::new(route.clone()))].into(),
        )]
        .into();
        cluster.status(&mut pipeline);
        let conditions = &pipeline.status.as_ref().unwrap().conditions;
        conditions
            .iter()
            .find(|condition| condition.type_ == "Exposed")
            .unwrap()
            .clone()
    };
    let refused = say("False", "NotAllowedByListeners");
    assert_eq!(
        (refused.status.as_str(), refused.reason.as_str()),
        ("False", "RouteRefused")
    );
    assert!(
        refused
            .message
            .contains("Gateway public says Accepted=False: NotAllowedByListeners: no listener allows it"),
        "{}",
        refused.message
    );
    assert_eq!(say("True", "Accepted").status, "True");
}
