use gondola_crds::resolution::VariantResolution;
use k8s_openapi::api::apps::v1::DeploymentCondition;
use std::sync::Arc;

use crate::fixtures::{Cluster, bundles, changed, condition, pipeline, refusal};

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
