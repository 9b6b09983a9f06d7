//! Without pods: what the API server and the controllers of Kubernetes make of what the operator writes.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use crate::kubectl::{NAMESPACE, PATIENCE, apply, condition, get, kubectl, run, until};
use crate::load::Counts;
use crate::manifest::{self, NAME};
use crate::table::Table;
use crate::{Arguments, install};

/// How long nothing may be written once all is as it should be.
const PEACE: Duration = Duration::from_secs(60);

/// Runs every step.
pub(crate) async fn run_all(arguments: &Arguments, table: &mut Table) -> anyhow::Result<()> {
    let none = Counts::default;
    let manifest = manifest::read(&arguments.manifest, &arguments.endpoint)?;
    table
        .step("install the chart", none, install::chart(arguments))
        .await?;
    table.step("kubectl explain", none, explain()).await?;
    // As the service account of the chart: what it may not do fails here.
    let _operator = operator(arguments).await?;
    table
        .step("apply the example", none, first_objects(&manifest))
        .await?;
    table.step("every child is as it was sent", none, peace()).await?;
    table.step("delete", none, delete()).await
}

async fn explain() -> anyhow::Result<String> {
    let text = kubectl(&["explain", "recommenderpipeline.spec", "--recursive"]).await?;
    ensure!(
        text.contains("variants") && text.contains("pollInterval"),
        "{text}"
    );
    let of_field = kubectl(&["explain", "recommenderpipeline.spec.progressDeadlineSeconds"]).await?;
    ensure!(of_field.contains("econds"), "no unit: {of_field}");
    Ok(format!(
        "{} fields",
        text.lines().filter(|line| line.contains('<')).count()
    ))
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The operator beside the cluster, with the token of its own service account.
async fn operator(arguments: &Arguments) -> anyhow::Result<Running> {
    let account = [
        "create",
        "token",
        "gondola-operator",
        "--namespace",
        install::NAMESPACE,
    ];
    let token = run(Path::new("kubectl"), &account, "").await?;
    let server = kubectl(&["config", "view", "--raw", "--output", "json"]).await?;
    let mut config: Value = serde_json::from_str(&server)?;
    config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    let file = tempfile::NamedTempFile::new()?.into_temp_path().keep()?;
    std::fs::write(&file, config.to_string())?;
    let child = Command::new(&arguments.operator)
        .env("KUBECONFIG", &file)
        .args([
            "--inference-image",
            "localhost/gondola-inference:test",
            "--log-format",
            "text",
        ])
        .spawn()?;
    Ok(Running(child))
}

async fn first_objects(manifest: &Value) -> anyhow::Result<String> {
    run(Path::new("kubectl"), &["create", "namespace", NAMESPACE], "").await?;
    apply(manifest).await?;
    // Defaults of the built-in kinds, quotas and admission are real here; bundles are not, since no resolver runs.
    let resolver = format!("{NAME}-resolver");
    until("the resolver's pod is made", PATIENCE, async || {
        let pods = get(&[
            "pods",
            "--selector",
            &format!("app.kubernetes.io/instance={NAME}"),
        ])
        .await?;
        let mut pods = pods["items"].as_array().into_iter().flatten();
        let is_resolver = |pod: &Value| {
            pod["metadata"]["name"]
                .as_str()
                .is_some_and(|name| name.starts_with(&resolver))
        };
        Ok(pods.any(is_resolver).then_some(()))
    })
    .await?;
    let ready = condition(NAME, "Ready").await?;
    ensure!(
        ready.as_ref().is_some_and(|(status, ..)| status == "Unknown"),
        "{ready:?}"
    );
    Ok("the resolver's pod waits for a node".into())
}

/// The versions of all objects of the pipeline do not change: nobody writes.
async fn peace() -> anyhow::Result<String> {
    let versions = async || -> anyhow::Result<Vec<String>> {
        let kinds = "deployments,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,recommenderpipelines";
        let all = get(&[kinds]).await?;
        let items = all["items"].as_array().cloned().unwrap_or_default();
        let mut versions: Vec<String> = items
            .iter()
            .map(|item| item["metadata"]["resourceVersion"].to_string())
            .collect();
        versions.sort();
        Ok(versions)
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = versions().await?;
    tokio::time::sleep(PEACE).await;
    let after = versions().await?;
    ensure!(
        before == after,
        "something was written in peace: {before:?}, then {after:?}"
    );
    Ok(format!("{} objects, none written in {PEACE:?}", before.len()))
}

/// Kubernetes' own garbage collector leaves nothing.
pub(crate) async fn delete() -> anyhow::Result<String> {
    kubectl(&["delete", "recommenderpipeline", NAME, "--wait=false"]).await?;
    let kinds = "deployments,replicasets,pods,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,horizontalpodautoscalers,networkpolicies";
    let selector = format!("app.kubernetes.io/instance={NAME}");
    until("everything is gone", PATIENCE, async || {
        let left = get(&[kinds, "--selector", &selector]).await?;
        Ok(left["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await?;
    Ok("nothing is left".into())
}
