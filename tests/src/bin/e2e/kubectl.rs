//! What a person types, and what they read.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::manifest::NAME;

/// Where the example's pipeline lives.
pub(crate) const NAMESPACE: &str = "shop";
/// How long anything may take that is not promised to be quicker.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Within this, the status names what keeps a pod from running.
pub(crate) const NAMED_WITHIN: Duration = Duration::from_secs(30);
/// The label of everything that a pipeline owns.
pub(crate) const OF_PIPELINE: &str = "gondola.dev/pipeline=complete-journey";
/// The one node.
pub(crate) const NODE: &str = "node1";

/// Runs a program; what it prints.
pub(crate) async fn run(program: &Path, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let said = format!("{} {}", program.display(), arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments);
    let input = input.as_bytes().to_vec();
    let output = tokio::task::spawn_blocking(move || output(&mut command, &input)).await?;
    let output = output.with_context(|| said.clone())?;
    if !output.status.success() {
        bail!("{said}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(command: &mut Command, input: &[u8]) -> std::io::Result<Output> {
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why in its own words.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output()
}

/// kubectl, in the example's namespace.
pub(crate) async fn kubectl(arguments: &[&str]) -> anyhow::Result<String> {
    kubectl_in(NAMESPACE, arguments).await
}

/// kubectl, in a namespace.
pub(crate) async fn kubectl_in(namespace: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let all = [&["--namespace", namespace], arguments].concat();
    run(Path::new("kubectl"), &all, "").await
}

/// `kubectl apply -f -`, as GitOps tools do it.
pub(crate) async fn apply(manifest: &Value) -> anyhow::Result<String> {
    apply_as(manifest, &[]).await
}

/// The same with further arguments, such as `--as`.
pub(crate) async fn apply_as(manifest: &Value, further: &[&str]) -> anyhow::Result<String> {
    let namespace = manifest["metadata"]["namespace"].as_str().unwrap_or(NAMESPACE);
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--namespace",
        namespace,
        "-f",
        "-",
    ];
    run(
        Path::new("kubectl"),
        &[&arguments, further].concat(),
        &manifest.to_string(),
    )
    .await
}

/// Objects or one object, as JSON.
pub(crate) async fn get(what: &[&str]) -> anyhow::Result<Value> {
    let text = kubectl(&[&["get", "--output", "json"], what].concat()).await?;
    serde_json::from_str(&text).with_context(|| format!("kubectl get {} gave no JSON", what.join(" ")))
}

/// One field of an object, as text: a path such as `.spec.replicas`.
pub(crate) async fn field(object: &str, path: &str) -> anyhow::Result<String> {
    kubectl(&["get", object, "--output", &format!("jsonpath={{{path}}}")]).await
}

/// Makes a namespace in which nothing runs that could harm the node.
pub(crate) async fn make_namespace(name: &str) -> anyhow::Result<()> {
    let namespace = serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    let arguments = ["apply", "--server-side", "-f", "-"];
    run(Path::new("kubectl"), &arguments, &namespace.to_string()).await?;
    Ok(())
}

/// Waits until an ask has an answer.
pub(crate) async fn until<T, F>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let started = Instant::now();
    let mut last = String::new();
    while started.elapsed() < patience {
        match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => last.clear(),
            // The API server may be away for a moment: some steps kill it.
            Err(error) => last = format!(" ({error:#})"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("waited {patience:?}, but not until {what}{last}")
}

/// A condition that speaks of the newest spec: its status, reason and message.
pub(crate) async fn condition(
    pipeline: &str,
    type_: &str,
) -> anyhow::Result<Option<(String, String, String)>> {
    let found = get(&["recommenderpipeline", pipeline]).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
    let of_now = |condition: &&Value| condition["observedGeneration"] == found["metadata"]["generation"];
    let condition = conditions.find(|condition| condition["type"] == type_);
    Ok(condition.filter(of_now).map(|found| {
        (
            text(&found["status"]),
            text(&found["reason"]),
            text(&found["message"]),
        )
    }))
}

/// Waits for a condition's status; gives its reason and message.
pub(crate) async fn wait_for(pipeline: &str, type_: &str, status: &str) -> anyhow::Result<(String, String)> {
    let mut last = None;
    let waited = until(
        &format!("{pipeline} has {type_}={status}"),
        PATIENCE,
        async || {
            let found = condition(pipeline, type_).await?;
            Ok(found
                .filter(|(now, ..)| now == status)
                .map(|(_, reason, message)| (reason, message)))
        },
    )
    .await;
    if waited.is_err() {
        last = condition(pipeline, "Ready").await.ok().flatten();
    }
    waited.with_context(|| format!("Ready is {last:?}"))
}

/// Waits until the pipeline serves what its spec says.
pub(crate) async fn ready() -> anyhow::Result<()> {
    wait_for(NAME, "Ready", "True").await.map(drop)
}

/// Waits until what the status says of a variant contains a text; gives the whole message.
pub(crate) async fn variant_says(name: &str, wanted: &[&str], within: Duration) -> anyhow::Result<String> {
    let mut last = String::new();
    let found = until(
        &format!("the status says {wanted:?} of variant {name}"),
        within,
        async || {
            let pipeline = get(&["recommenderpipeline", NAME]).await?;
            let variants = pipeline["status"]["variants"].as_array().into_iter().flatten();
            let mut variants = variants.filter(|variant| variant["name"] == name);
            let message = variants.find_map(|variant| Some(variant["message"].as_str()?.to_owned()));
            Ok(message.filter(|message| wanted.iter().all(|text| message.contains(text))))
        },
    )
    .await;
    if found.is_err() {
        last = field(&format!("recommenderpipeline/{NAME}"), ".status.variants").await?;
    }
    found.with_context(|| format!("it says {last}"))
}

/// The name of a pipeline's child.
pub(crate) fn child(component: &str) -> String {
    format!("{NAME}--{component}")
}

/// A pod that is not on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) ip: String,
    pub(crate) ready: bool,
}

impl Pod {
    /// Where it answers what its Service answers.
    pub(crate) fn reads(&self) -> String {
        format!("{}:8080", self.ip)
    }

    /// Where it answers whoever runs it.
    pub(crate) fn admin(&self) -> String {
        format!("{}:8081", self.ip)
    }
}

/// A component's pods by name: `router`, `resolver`, `analyzer`, or a variant's name.
pub(crate) async fn pods(component: &str) -> anyhow::Result<BTreeMap<String, Pod>> {
    let label = match component {
        "router" | "resolver" | "analyzer" => format!("app.kubernetes.io/component={component}"),
        variant => format!("gondola.dev/variant={variant}"),
    };
    let found = get(&["pods", "--selector", &format!("{OF_PIPELINE},{label}")]).await?;
    let pods = found["items"].as_array().into_iter().flatten();
    let staying = pods.filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
    Ok(staying.filter_map(pod).collect())
}

fn pod(pod: &Value) -> Option<(String, Pod)> {
    let text = |path: &str| Some(pod.pointer(path)?.as_str()?.to_owned());
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let found = Pod {
        uid: text("/metadata/uid")?,
        ip: text("/status/podIP").unwrap_or_default(),
        ready: conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
    };
    Some((text("/metadata/name")?, found))
}

/// Those of a component's pods that answer.
pub(crate) async fn ready_pods(component: &str) -> anyhow::Result<BTreeMap<String, Pod>> {
    let mut pods = pods(component).await?;
    pods.retain(|_, pod| pod.ready);
    Ok(pods)
}
