//! The chart, as an administrator installs it.

use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::Arguments;
use crate::kubectl::{PATIENCE, apply, kubectl_in, make_namespace, run, until};

/// Where operators live.
pub(crate) const NAMESPACE: &str = "gondola-system";

/// Installs the chart with the images of this working copy.
pub(crate) async fn chart(arguments: &Arguments) -> anyhow::Result<String> {
    make_namespace(NAMESPACE).await?;
    helm(arguments, "install", "gondola", &[]).await?;
    Ok("installed".into())
}

/// The same, until its operators are ready.
pub(crate) async fn chart_with_pods(arguments: &Arguments) -> anyhow::Result<String> {
    chart(arguments).await?;
    rolled_out("gondola-operator").await?;
    make_namespace(crate::kubectl::NAMESPACE).await?;
    Ok("both operators are ready".into())
}

/// Two releases in one namespace, each for pipelines of another one: neither waits for the other's Lease.
pub(crate) async fn two_releases(arguments: &Arguments) -> anyhow::Result<String> {
    make_namespace(NAMESPACE).await?;
    let releases = ["left", "right"];
    for release in releases {
        make_namespace(release).await?;
        helm(
            arguments,
            "install",
            release,
            &[&format!("watchNamespace={release},replicas=1")],
        )
        .await?;
    }
    for release in releases {
        rolled_out(&format!("{release}-operator")).await?;
        apply(&lone_pipeline(release)).await?;
    }
    let mut leaders = Vec::new();
    for release in releases {
        until(
            &format!("the operator of {release} sees its pipeline"),
            PATIENCE,
            async || {
                let generation = [
                    "get",
                    "recommenderpipeline",
                    "lone",
                    "--output",
                    "jsonpath={.status.observedGeneration}",
                ];
                Ok((kubectl_in(release, &generation).await? == "1").then_some(()))
            },
        )
        .await?;
        leaders.push(leader_of(release).await?);
    }
    ensure!(leaders[0] != leaders[1], "one operator leads both: {leaders:?}");
    for release in releases {
        run(
            &arguments.helm,
            &["uninstall", release, "--namespace", NAMESPACE, "--wait"],
            "",
        )
        .await?;
        run(Path::new("kubectl"), &["delete", "namespace", release], "").await?;
    }
    Ok(format!("led by {}", leaders.join(" and ")))
}

/// A pipeline that only has to be seen.
fn lone_pipeline(namespace: &str) -> Value {
    json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderPipeline",
        "metadata": {"name": "lone", "namespace": namespace},
        "spec": {
            "artifacts": {"url": "s3://nowhere/at-all"},
            "features": {"bundle": "features@stable"}, "retrieval": {"bundle": "two-tower@stable"},
            "variants": [{"name": "dlrm", "scorer": "dlrm@stable", "weight": 1}],
        },
    })
}

/// The pod that leads a release's operators; empty where none does.
pub(crate) async fn leader_of(release: &str) -> anyhow::Result<String> {
    let lease = format!("{release}-operator");
    kubectl_in(
        NAMESPACE,
        &[
            "get",
            "lease",
            &lease,
            "--output",
            "jsonpath={.spec.holderIdentity}",
        ],
    )
    .await
}

async fn helm(arguments: &Arguments, verb: &str, release: &str, further: &[&str]) -> anyhow::Result<()> {
    let image =
        |image: &str| format!("image.{image}.repository=localhost/gondola-{image},image.{image}.tag=test");
    let values = [
        image("operator"),
        image("router"),
        image("inference"),
        "image.training.repository=localhost/gondola-train,image.training.tag=test".into(),
        "image.trainingBallista.repository=localhost/gondola-train-ballista,image.trainingBallista.tag=test"
            .into(),
        "resources.requests.cpu=10m".into(),
    ]
    .join(",");
    let mut all = vec![
        verb,
        release,
        "charts/gondola",
        "--namespace",
        NAMESPACE,
        "--set",
        &values,
    ];
    all.extend(further.iter().flat_map(|values| ["--set", values]));
    run(&arguments.helm, &all, "").await?;
    Ok(())
}

async fn rolled_out(deployment: &str) -> anyhow::Result<()> {
    let deployment = format!("deployment/{deployment}");
    kubectl_in(NAMESPACE, &["rollout", "status", &deployment, "--timeout=120s"]).await?;
    Ok(())
}
