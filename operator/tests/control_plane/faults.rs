//! What fails, and what the status says of it.

use gondola_test_api_server::{Action, Fault, Request};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, PostParams};

use crate::world::{World, experiment, is_operator, pipeline};

fn reason(pipeline: &gondola_crds::RecommenderPipeline, type_: &str) -> (String, String) {
    let status = pipeline.status.as_ref().unwrap();
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap();
    (condition.reason.clone(), condition.message.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_that_are_refused_are_named_and_repaired_ones_are_taken_up() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.publish(None);
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    let refused = world
        .wait_for("shop", "grocery", "ArtifactsResolved", "False")
        .await?;
    let (why, message) = reason(&refused, "ArtifactsResolved");
    assert_eq!(
        (why.as_str(), message.contains("names an unknown bundle")),
        ("BundleNotFound", true)
    );
    world.publish(Some("v1"));
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.publish(None);
    let degraded = world.wait_for("shop", "grocery", "Degraded", "True").await?;
    assert_eq!(reason(&degraded, "Degraded").0, "LastGoodBundles");
    world.wait_for("shop", "grocery", "Available", "True").await?;
    world.publish(Some("v1"));
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_somebody_else_is_left_alone_and_named() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let services: Api<Service> = Api::namespaced(world.client.clone(), "shop");
    let theirs = Service {
        metadata: ObjectMeta {
            name: Some("grocery--dlrm".into()),
            ..ObjectMeta::default()
        },
        ..Service::default()
    };
    services.create(&PostParams::default(), &theirs).await?;
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    let stalled = world.wait_for("shop", "grocery", "Stalled", "True").await?;
    let (why, message) = reason(&stalled, "Stalled");
    assert_eq!(why, "NameConflict");
    assert!(
        message.contains("Service grocery--dlrm is there already"),
        "{message}"
    );
    assert!(
        services.get("grocery--dlrm").await?.spec.is_none(),
        "theirs is as it was"
    );
    services.delete("grocery--dlrm", &DeleteParams::default()).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_may_not_do_is_said_and_goes_on_when_it_may() -> anyhow::Result<()> {
    for (status, type_, why) in [
        (403, "Stalled", "AdmissionDenied"),
        (422, "Stalled", "InvalidSpec"),
        (500, "Reconciling", "ApplyFailed"),
        (503, "Reconciling", "ApplyFailed"),
    ] {
        let Some(world) = World::start().await? else {
            return Ok(());
        };
        let status = status.try_into()?;
        let deployments = |request: &Request| {
            request.is_write() && is_operator(request) && request.path.contains("/deployments/grocery--dlrm")
        };
        world
            .server
            .traffic()
            .inject(Fault::on(Action::Answer(status), deployments).always());
        let operator = world.operator()?;
        world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
        world.apply("other", &pipeline(&[("forest", 1, 1)])).await?;
        let failed = world.wait_for("shop", "grocery", "Ready", "False").await?;
        assert_eq!(reason(&failed, type_).0, why, "{status}");
        world.wait_for("other", "grocery", "Ready", "True").await?;
        world.server.traffic().heal();
        world.wait_for("shop", "grocery", "Ready", "True").await?;
        operator.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_for_a_while_is_caught_up_with() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.server.traffic().unplug();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    world.server.traffic().plug_in();
    world.apply("shop", &pipeline(&[("dlrm", 1, 2)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_spec_is_refused_by_the_schema_with_the_way_out() -> anyhow::Result<()> {
    use kube::api::{Patch, PatchParams};
    use serde_json::{Value, json};

    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let parameters = PatchParams::apply("user");
    let refuse = async |change: &dyn Fn(&mut Value), expected: &str| -> anyhow::Result<()> {
        let mut spec = pipeline(&[("dlrm", 50, 1), ("forest", 50, 1)]);
        change(&mut spec);
        let name = spec["metadata"]["name"].as_str().unwrap().to_owned();
        let error = world
            .pipelines("shop")
            .patch(&name, &parameters, &Patch::Apply(&spec))
            .await;
        let message = error.expect_err(expected).to_string();
        assert!(
            message.contains(expected),
            "{message:?} does not say {expected:?}"
        );
        Ok(())
    };
    refuse(
        &|spec| spec["spec"]["variants"] = json!([]),
        "should have at least 1 items",
    )
    .await?;
    refuse(
        &|spec| {
            for place in 0..2 {
                spec["spec"]["variants"][place]["weight"] = 0.into();
            }
        },
        "no variant has a weight above 0",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["variants"][1]["name"] = "dlrm".into(),
        "dlrm",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["variants"][1]["name"] = "router".into(),
        "can't be called router, resolver or analyzer",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["experiment"] = experiment("dlrm", "mlp"),
        "an arm of the experiment names a variant that does not exist",
    )
    .await?;
    refuse(
        &|spec| {
            spec["spec"]["experiment"] = experiment("mlp", "forest");
            spec["spec"]["control"] = "mlp".into();
        },
        "experiment.control is not one of experiment.arms",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["variants"][0]["autoscaling"] = json!({"minReplicas": 3, "maxReplicas": 2}),
        "minReplicas is above maxReplicas",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["variants"][0]["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 3}),
        "replicas and autoscaling are both set; remove replicas",
    )
    .await?;
    refuse(
        &|spec| {
            spec["spec"].as_object_mut().unwrap().remove("control");
        },
        "there are several variants and no control; set spec.control to the variant",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["control"] = "mlp".into(),
        "spec.control is not the name of a variant; use one of the names in spec.variants",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["variants"][0]["replicas"] = 0.into(),
        "replicas is 0 for the control or for an arm of the experiment",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["variants"][0]["resources"] = json!({"limits": {"memory": "lots"}}),
        "spec.variants[0].resources.limits.memory",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["artifacts"]["pollInterval"] = "0s".into(),
        "spec.artifacts.pollInterval",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["artifacts"]["volumeClaim"] = json!({"name": "models"}),
        "volumeClaim is set, but url is not a file:// URL",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["pods"] = json!({"env": [{"name": "GONDOLA_STORE", "value": "s3://mine"}]}),
        "variables that start with GONDOLA_ belong to the operator",
    )
    .await?;
    refuse(
        &|spec| {
            spec["spec"]["pods"] = json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})
        },
        "duplicate entries for key",
    )
    .await?;
    refuse(
        &|spec| {
            spec["spec"]["experiment"] = experiment("dlrm", "forest");
            spec["spec"]["experiment"]["metrics"]["guardrails"] = json!([{"name": "clicks", "type": "Ratio", "numerator": "click", "window": "1d", "margin": "2%"}]);
        },
        "a Ratio needs numerator and denominator",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["variants"][0]["device"] = "CUDA".into(),
        "device is CUDA, but resources.limits names no GPU",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["variants"][0]["name"] = "dlrm--router".into(),
        "spec.variants[0].name",
    )
    .await?;
    refuse(
        &|spec| spec["metadata"]["name"] = "p".repeat(31).into(),
        "use at most 30 lower-case letters",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["features"]["bundle"] = "features".into(),
        "spec.features.bundle",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["ordering"] = json!({"limit": 0}),
        "spec.ordering.limit",
    )
    .await?;
    refuse(
        &|spec| spec["spec"]["artifacts"]["endpoint"] = "http://user:password@host".into(),
        "spec.artifacts.endpoint",
    )
    .await?;
    Ok(())
}
