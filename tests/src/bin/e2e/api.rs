//! Without pods: what the API server and the controllers of Kubernetes make of what the operator writes.

mod references;
mod strangers;

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::kubectl::{
    NAMED_WITHIN, NAMESPACE, OF_PIPELINE, PATIENCE, apply, child, condition, field, get, kubectl, kubectl_in,
    make_namespace, run, until,
};
use crate::load::Counts;
use crate::manifest::{self, NAME};
use crate::step::{Stage, Step, chosen, run_all as run_steps};
use crate::table::Table;
use crate::{Arguments, install};

/// How long nothing may be written once all is as it should be.
const PEACE: Duration = Duration::from_secs(60);

/// A cluster without nodes, and the operator beside it.
pub(crate) struct Api {
    arguments: Arguments,
    manifest: Value,
    operator: Option<Running>,
}

impl Stage for Api {
    fn counts(&self) -> Counts {
        Counts::default()
    }

    fn complaints(&self) -> Vec<String> {
        Vec::new()
    }

    async fn restore(&mut self) -> anyhow::Result<()> {
        if self.operator.is_some() {
            apply(&self.manifest).await?;
        }
        Ok(())
    }
}

/// Runs every step that was asked for.
pub(crate) async fn run_all(arguments: &Arguments, table: &mut Table) -> anyhow::Result<()> {
    let setup = vec![
        Step::new("install the chart", |api: &mut Api| {
            Box::pin(install::chart(&api.arguments))
        }),
        Step::new("apply the example", |api| Box::pin(first_objects(api))),
    ];
    let steps = vec![
        Step::new("kubectl explain", |_: &mut Api| Box::pin(explain())),
        Step::new("every child is as it was sent", |_| Box::pin(peace())),
        Step::new("who names a Secret must have the right to it", |api| {
            Box::pin(references::secrets(api))
        }),
        Step::new("who names a service account must have the right to it", |api| {
            Box::pin(references::account(api))
        }),
        Step::new("the examples are admitted", |_| Box::pin(strangers::examples())),
        Step::new("fields that can never work are refused", |api| {
            Box::pin(strangers::refused(api))
        }),
        Step::new("a quota that is used up", |api| Box::pin(quota(api))),
        Step::new("a priority class that is missing", |api| {
            Box::pin(priority_class(api))
        }),
        Step::new("a pipeline that this operator can't read harms no other", |api| {
            Box::pin(strangers::undecodable(api))
        }),
        Step::new("delete", |_| Box::pin(delete())).last(),
    ];
    let mut api = Api {
        arguments: arguments.clone(),
        manifest: manifest::read(&arguments.manifest, &arguments.endpoint)?,
        operator: None,
    };
    let steps = chosen(steps, &arguments.only)?;
    run_steps(&mut api, &setup, table).await;
    if let Some(why) = table.broken().next() {
        anyhow::bail!("the set-up failed, so that no other step was run: {why}");
    }
    run_steps(&mut api, &steps, table).await;
    Ok(())
}

/// The API server publishes a definition about a second after it is established.
async fn explain() -> anyhow::Result<String> {
    let text = until("the definition is published", PATIENCE, async || {
        let text = kubectl(&["explain", "recommenderpipeline.spec", "--recursive"]).await?;
        Ok(text.contains("variants").then_some(text))
    })
    .await?;
    ensure!(text.contains("pollInterval"), "{text}");
    let of_field = kubectl(&["explain", "recommenderpipeline.spec.progressDeadlineSeconds"]).await?;
    ensure!(of_field.contains("econds"), "no unit: {of_field}");
    let of_kind = kubectl(&["explain", "recpipe"]).await?;
    ensure!(
        !of_kind.contains("Auto-generated"),
        "it begins like this: {of_kind}"
    );
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

impl Api {
    /// Starts the operator beside the cluster, with the token of its own service account; one that runs is ended.
    async fn start_operator(&mut self) -> anyhow::Result<()> {
        drop(self.operator.take());
        // As the service account of the chart: what it may not do fails.
        let token = kubectl_in(install::NAMESPACE, &["create", "token", "gondola-operator"]).await?;
        let server = kubectl(&["config", "view", "--raw", "--output", "json"]).await?;
        let mut config: Value = serde_json::from_str(&server)?;
        config["users"][0]["user"] = json!({"token": token.trim()});
        let file = tempfile::NamedTempFile::new()?.into_temp_path().keep()?;
        std::fs::write(&file, config.to_string())?;
        let log = std::fs::File::create(std::env::temp_dir().join("gondola-e2e-operator.log"))?;
        let child = Command::new(&self.arguments.operator)
            .env("KUBECONFIG", &file)
            .args([
                "--router-image",
                "localhost/gondola-router:test",
                "--inference-image",
                "localhost/gondola-inference:test",
                "--log-format",
                "text",
            ])
            .stderr(log)
            .spawn()?;
        self.operator = Some(Running(child));
        Ok(())
    }
}

async fn first_objects(api: &mut Api) -> anyhow::Result<String> {
    make_namespace(NAMESPACE).await?;
    api.start_operator().await?;
    apply(&api.manifest).await?;
    // Defaults of the built-in kinds, quotas and admission are real here; bundles are not, since no resolver runs.
    until("the resolver's pod is made", PATIENCE, async || {
        Ok((!pods_of_resolver().await?.is_empty()).then_some(()))
    })
    .await?;
    let ready = condition(NAME, "Ready").await?;
    ensure!(
        ready.as_ref().is_some_and(|(status, ..)| status == "Unknown"),
        "{ready:?}"
    );
    Ok("the resolver's pod waits for a node".into())
}

async fn pods_of_resolver() -> anyhow::Result<Vec<String>> {
    Ok(crate::kubectl::pods("resolver").await?.into_keys().collect())
}

/// The versions of all objects of the pipeline do not change: nobody writes.
async fn peace() -> anyhow::Result<String> {
    let versions = async || -> anyhow::Result<Vec<String>> {
        let kinds = "deployments,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,recommenderpipelines";
        let all = get(&[kinds]).await?;
        let items = all["items"].as_array().cloned().unwrap_or_default();
        let version = |item: &Value| {
            let metadata = &item["metadata"];
            format!(
                "{} {} {}",
                item["kind"], metadata["name"], metadata["resourceVersion"]
            )
        };
        let mut versions: Vec<String> = items.iter().map(version).collect();
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

/// No pod can be made, and so no pod says why.
async fn quota(api: &mut Api) -> anyhow::Result<String> {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}},
    });
    apply(&quota).await?;
    let seen = refused(api, json!({"labels": {"team": "groceries"}}), "exceeded quota").await;
    kubectl(&["delete", "resourcequota", "full"]).await?;
    seen
}

async fn priority_class(api: &mut Api) -> anyhow::Result<String> {
    refused(
        api,
        json!({"priorityClassName": "does-not-exist"}),
        "does-not-exist",
    )
    .await
}

/// Asks for pods of the resolver that are not admitted, and waits until the status says why.
async fn refused(api: &Api, pods: Value, wanted: &str) -> anyhow::Result<String> {
    let mut manifest = api.manifest.clone();
    manifest["spec"]["pods"] = pods;
    apply(&manifest).await?;
    let deployment = format!("deployment/{}", child("resolver"));
    let object = format!("recommenderpipeline/{NAME}");
    let named = until(&format!("the status says {wanted}"), NAMED_WITHIN, async || {
        let conditions = field(&object, ".status.conditions").await?;
        Ok(conditions.contains(wanted).then_some(conditions))
    })
    .await;
    if named.is_err() {
        let conditions = field(&deployment, ".status.conditions").await?;
        return named.map_err(|error| error.context(format!("the resolver's Deployment says {conditions}")));
    }
    let (status, reason, message) = condition(NAME, "Ready").await?.unwrap_or_default();
    Ok(format!("Ready={status} {reason}: {message}"))
}

/// Kubernetes' own garbage collector leaves nothing.
pub(crate) async fn delete() -> anyhow::Result<String> {
    kubectl(&["delete", "recommenderpipeline", NAME, "--wait=false"]).await?;
    let kinds = "deployments,replicasets,pods,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,horizontalpodautoscalers,networkpolicies";
    until("everything is gone", PATIENCE, async || {
        let left = run(
            Path::new("kubectl"),
            &[
                "get",
                kinds,
                "--namespace",
                NAMESPACE,
                "--selector",
                OF_PIPELINE,
                "--output",
                "name",
            ],
            "",
        )
        .await?;
        Ok(left.trim().is_empty().then_some(()))
    })
    .await?;
    Ok("nothing is left".into())
}
