//! Objects that are none of what this operator knows: refused at the door, or left alone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::Api;
use crate::kubectl::{PATIENCE, apply, field, get, kubectl, run, until};
use crate::manifest::{self, NAME};

/// The definition's name.
const DEFINITION: &str = "recommenderpipelines.gondola.dev";

/// What the documentation tells people to apply.
pub(super) async fn examples() -> anyhow::Result<String> {
    let examples = [
        "pipeline",
        "cluster",
        "experiment",
        "experiment-in-a-minute",
        "all-scorers",
    ];
    for example in examples {
        let file = format!("examples/complete-journey/{example}.yaml");
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            &file,
        ];
        run(Path::new("kubectl"), &arguments, "").await?;
    }
    Ok(examples.join(", "))
}

/// What the API server says to somebody who writes what can't work.
pub(super) async fn refused(api: &mut Api) -> anyhow::Result<String> {
    let cases: [(&str, Value, &str); 6] = [
        ("/spec/artifacts/pollInterval", json!("0s"), "pollInterval"),
        (
            "/spec/variants/0/resources/limits/memory",
            json!("lots"),
            "memory",
        ),
        ("/spec/variants/0/device", json!("Cuda"), "CUDA"),
        ("/spec/control", json!("nobody"), "control"),
        (
            "/spec/pods",
            json!({"env": [{"name": "GONDOLA_STORE", "value": "s3://elsewhere"}]}),
            "GONDOLA_",
        ),
        ("/spec/variants/0/name", json!("a--b"), "--"),
    ];
    let count = cases.len();
    for (place, value, wanted) in cases {
        let mut manifest = api.manifest.clone();
        set(&mut manifest, place, value)?;
        match apply(&manifest).await {
            Ok(_) => bail!(
                "{place} was admitted: {}",
                manifest.pointer(place).unwrap_or(&Value::Null)
            ),
            Err(error) => {
                let message = format!("{error:#}");
                ensure!(
                    message.contains(wanted),
                    "{place} is refused without a word of {wanted}: {message}"
                );
            }
        }
    }
    Ok(format!("{count} cases"))
}

fn set(manifest: &mut Value, place: &str, value: Value) -> anyhow::Result<()> {
    let (parent, name) = place.rsplit_once('/').context("a place begins with a slash")?;
    let parent = manifest
        .pointer_mut(parent)
        .with_context(|| format!("there is no {parent}"))?;
    parent[name] = value;
    Ok(())
}

/// As after a rollback of the operator: somebody uses a newer definition's field, and it is of another type.
pub(super) async fn undecodable(api: &mut Api) -> anyhow::Result<String> {
    let definition = get(&["customresourcedefinition", DEFINITION]).await?;
    loosen(&definition).await?;
    let seen = harms_no_other(api).await;
    kubectl(&[
        "delete",
        "recommenderpipeline",
        "from-the-future",
        "--ignore-not-found",
    ])
    .await?;
    run(
        Path::new("kubectl"),
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "charts/gondola/crds",
        ],
        "",
    )
    .await?;
    api.start_operator().await?;
    seen
}

/// Lets everything into specs.
async fn loosen(definition: &Value) -> anyhow::Result<()> {
    let mut loose = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": DEFINITION},
        "spec": definition["spec"],
    });
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let versions = loose["spec"]["versions"].as_array_mut();
    for version in versions.context("the definition has no versions")? {
        version["schema"]["openAPIV3Schema"]["properties"]["spec"] = anything.clone();
    }
    let arguments = ["replace", "--filename", "-"];
    let version = &definition["metadata"]["resourceVersion"];
    loose["metadata"]["resourceVersion"] = version.clone();
    run(Path::new("kubectl"), &arguments, &loose.to_string()).await?;
    Ok(())
}

async fn harms_no_other(api: &mut Api) -> anyhow::Result<String> {
    let mut strange = json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderPipeline", "metadata": {"name": "from-the-future"},
        "spec": api.manifest["spec"],
    });
    strange["spec"]["variants"] = json!("as many as it takes");
    until("the looser definition is taken up", PATIENCE, async || {
        Ok(apply(&strange).await.ok())
    })
    .await?;
    is_acted_on(api, 71).await?;
    // One that starts has to list everything before it does anything.
    api.start_operator().await?;
    is_acted_on(api, 72).await?;
    let said = field("recommenderpipeline/from-the-future", ".status.conditions").await?;
    Ok(format!(
        "the other one is acted on, also after a restart; of itself its status says: {said}"
    ))
}

/// An edit of the pipeline reaches its children.
async fn is_acted_on(api: &Api, seconds: u32) -> anyhow::Result<()> {
    let mut manifest = api.manifest.clone();
    manifest::variant(&mut manifest, "dlrm")?["weight"] = seconds.into();
    apply(&manifest).await?;
    let object = format!("recommenderpipeline/{NAME}");
    let generation = field(&object, ".metadata.generation").await?;
    until("the edit is acted on", Duration::from_secs(20), async || {
        Ok((field(&object, ".status.observedGeneration").await? == generation).then_some(()))
    })
    .await
}
