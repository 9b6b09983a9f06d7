//! What a person types.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

/// Where the example's pipeline lives.
pub(crate) const NAMESPACE: &str = "shop";
/// How long anything may take that is not promised to be quicker.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

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
        stdin.write_all(input)?;
    }
    child.wait_with_output()
}

/// kubectl, in the example's namespace.
pub(crate) async fn kubectl(arguments: &[&str]) -> anyhow::Result<String> {
    let all = [&["--namespace", NAMESPACE], arguments].concat();
    run(Path::new("kubectl"), &all, "").await
}

/// `kubectl apply -f -`, as GitOps tools do it.
pub(crate) async fn apply(manifest: &Value) -> anyhow::Result<String> {
    let arguments = ["apply", "--server-side", "--namespace", NAMESPACE, "-f", "-"];
    run(Path::new("kubectl"), &arguments, &manifest.to_string()).await
}

/// Objects or one object, as JSON.
pub(crate) async fn get(what: &[&str]) -> anyhow::Result<Value> {
    let text = kubectl(&[&["get", "--output", "json"], what].concat()).await?;
    serde_json::from_str(&text).with_context(|| format!("kubectl get {} gave no JSON", what.join(" ")))
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
            Ok(None) => {}
            // The API server may be away for a moment: some steps kill it.
            Err(error) => last = format!(" ({error:#})"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("waited {patience:?} in vain until {what}{last}")
}

/// A condition of a pipeline: its status, reason and message.
pub(crate) async fn condition(
    pipeline: &str,
    type_: &str,
) -> anyhow::Result<Option<(String, String, String)>> {
    let found = get(&["recommenderpipeline", pipeline]).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
    let condition = conditions.find(|condition| condition["type"] == type_);
    Ok(condition.map(|found| {
        (
            text(&found["status"]),
            text(&found["reason"]),
            text(&found["message"]),
        )
    }))
}

/// Waits for a condition's status; gives its reason and message.
pub(crate) async fn wait_for(pipeline: &str, type_: &str, status: &str) -> anyhow::Result<(String, String)> {
    until(
        &format!("{pipeline} has {type_}={status}"),
        PATIENCE,
        async || {
            let found = condition(pipeline, type_).await?;
            Ok(found
                .filter(|(now, ..)| now == status)
                .map(|(_, reason, message)| (reason, message)))
        },
    )
    .await
}
