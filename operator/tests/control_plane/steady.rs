//! The main line, and the peace after it.

use std::time::Duration;

use crate::world::{World, is_operator, pipeline, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_becomes_ready_and_then_nothing_is_written() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world
        .apply("shop", &pipeline(&[("dlrm", 50, 2), ("forest", 50, 1)]))
        .await?;
    let ready = world.wait_for("shop", "grocery", "Ready", "True").await?;
    let status = ready.status.unwrap();
    assert_eq!(status.traffic.as_deref(), Some("dlrm 50% forest 50%"));
    assert_eq!(status.ready_variants.as_deref(), Some("2/2"));
    world.wait_until_quiet().await?;

    world.server.traffic().forget();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let writes = world.server.traffic().writes();
    let ours: Vec<_> = writes.iter().filter(|seen| is_operator(&seen.request)).collect();
    assert!(ours.is_empty(), "a steady pipeline causes no write: {ours:?}");
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_pipeline_leaves_nothing() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.delete("shop", "grocery").await?;
    until("everything is collected", || async {
        world.server.collect_garbage().await?;
        Ok(world.dump("shop").await?.is_empty().then_some(()))
    })
    .await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_means_left_alone() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    let before = world.dump("shop").await?;
    let mut suspended = pipeline(&[("dlrm", 1, 3)]);
    suspended["spec"]["suspend"] = true.into();
    world.apply("shop", &suspended).await?;
    world.wait_for("shop", "grocery", "Suspended", "True").await?;
    world.wait_until_quiet().await?;
    let without_report = |dump: std::collections::BTreeMap<String, serde_json::Value>| {
        dump.into_iter()
            .filter(|(name, _)| !name.ends_with("-resolution"))
            .collect::<Vec<_>>()
    };
    assert_eq!(without_report(before), without_report(world.dump("shop").await?));
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_somebody_edits_is_put_back_and_what_is_not_ours_stays() -> anyhow::Result<()> {
    use k8s_openapi::api::apps::v1::Deployment;
    use kube::api::{Api, Patch, PatchParams};

    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 2)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "shop");
    let patch = serde_json::json!({"spec": {"replicas": 7}, "metadata": {"annotations": {"team": "search"}}});
    deployments
        .patch("grocery--dlrm", &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    let mended = until("the edit is undone", || async {
        let deployment = deployments.get("grocery--dlrm").await?;
        Ok((deployment.spec.replicas == Some(2)).then_some(deployment))
    })
    .await?;
    assert_eq!(mended.metadata.annotations.unwrap()["team"], "search");
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitops_tool_and_a_person_meet_no_conflict_and_no_difference() -> anyhow::Result<()> {
    use kube::api::{Patch, PatchParams};
    use serde_json::Value;

    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    let wanted = pipeline(&[("dlrm", 50, 2), ("forest", 50, 1)]);
    let pipelines = world.pipelines("shop");
    // Without force: a conflict is an error.
    let tool = PatchParams::apply("gitops-tool");
    pipelines.patch("grocery", &tool, &Patch::Apply(&wanted)).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;

    let spec_and_metadata = |mut object: Value| {
        for field in ["managedFields", "resourceVersion"] {
            object["metadata"].as_object_mut().unwrap().remove(field);
        }
        object
    };
    let live = spec_and_metadata(serde_json::to_value(pipelines.get("grocery").await?)?);
    for manager in ["gitops-tool", "a-person"] {
        let look = PatchParams {
            dry_run: true,
            ..PatchParams::apply(manager)
        };
        let would_be = pipelines.patch("grocery", &look, &Patch::Apply(&wanted)).await?;
        assert_eq!(
            live,
            spec_and_metadata(serde_json::to_value(would_be)?),
            "{manager} sees a difference"
        );
        let parameters = PatchParams::apply(manager);
        pipelines
            .patch("grocery", &parameters, &Patch::Apply(&wanted))
            .await?;
    }
    let owned = pipelines
        .get("grocery")
        .await?
        .metadata
        .managed_fields
        .unwrap_or_default();
    let operators: Vec<_> = owned
        .iter()
        .filter(|entry| {
            entry
                .manager
                .as_deref()
                .is_some_and(|name| name.starts_with("gondola"))
        })
        .collect();
    assert!(
        operators
            .iter()
            .all(|entry| entry.subresource.as_deref() == Some("status")),
        "the operator owns more than the status: {operators:?}"
    );
    world.wait_until_quiet().await?;
    operator.stop().await
}
