//! The chart's admission policy: a pipeline is no way to what its author may not reach.

use anyhow::{bail, ensure};
use serde_json::{Value, json};

use super::Api;
use crate::kubectl::{apply_as, kubectl};
use crate::manifest::SECRET;

/// Somebody who may write pipelines, and nothing else.
const AUTHOR: &str = "author";

/// Lets the author write pipelines.
async fn introduce_author() -> anyhow::Result<()> {
    let user = format!("--user={AUTHOR}");
    for (binding, role) in [
        ("author", "gondola-operator-edit"),
        ("author-reads", "gondola-operator-view"),
    ] {
        let role = format!("--clusterrole={role}");
        kubectl(&["create", "rolebinding", binding, &role, &user]).await?;
    }
    Ok(())
}

async fn grant(name: &str, rights: &[&str]) -> anyhow::Result<()> {
    kubectl(&[&["create", "role", name], rights].concat()).await?;
    let (role, user) = (format!("--role={name}"), format!("--user={AUTHOR}"));
    kubectl(&["create", "rolebinding", name, &role, &user]).await?;
    Ok(())
}

async fn forget(names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        for kind in ["rolebinding", "role"] {
            kubectl(&["delete", kind, name, "--ignore-not-found"]).await?;
        }
    }
    kubectl(&["delete", "recommenderpipeline", "of-author", "--ignore-not-found"]).await?;
    Ok(())
}

/// Refused as the author; the message.
async fn is_refused(manifest: &Value) -> anyhow::Result<String> {
    match apply_as(manifest, &["--as", AUTHOR]).await {
        Ok(_) => bail!("it was admitted: {manifest}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

fn pipeline(artifacts: Value, pods: Value) -> Value {
    json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderPipeline", "metadata": {"name": "of-author"},
        "spec": {
            "artifacts": artifacts, "pods": pods,
            "features": {"bundle": "features@stable"}, "retrieval": {"bundle": "two-tower@stable"},
            "variants": [{"name": "dlrm", "scorer": "dlrm@stable", "weight": 1}],
        },
    })
}

pub(super) async fn secrets(_: &mut Api) -> anyhow::Result<String> {
    introduce_author().await?;
    let seen = try_secrets().await;
    forget(&["author", "author-reads", "reads-secrets", "reads-one"]).await?;
    seen
}

async fn try_secrets() -> anyhow::Result<String> {
    let plain = pipeline(json!({"url": "s3://models/x"}), json!({}));
    apply_as(&plain, &["--as", AUTHOR]).await?;
    let with_secret = pipeline(
        json!({"url": "s3://models/x", "credentials": {"secretRef": {"name": SECRET}}}),
        json!({}),
    );
    let message = is_refused(&with_secret).await?;
    ensure!(
        message.contains(SECRET) && message.contains("which you may not read yourself"),
        "{message}"
    );
    let pulls = pipeline(
        json!({"url": "s3://models/x"}),
        json!({"imagePullSecrets": [{"name": "registry"}, {"name": "another"}]}),
    );
    let of_pulls = is_refused(&pulls).await?;
    ensure!(of_pulls.contains("registry"), "{of_pulls}");
    let source = json!({"secretRef": {"name": "registry"}});
    for spec in [
        json!({"router": {"access": {"tls": source}}}),
        json!({"router": {"access": {"apiKeys": source}}}),
        json!({"router": {"access": {"forcedArms": source}}}),
        json!({"mutualTls": source}),
    ] {
        let mut secured = plain.clone();
        let fields = spec.as_object().into_iter().flatten();
        fields.for_each(|(name, value)| secured["spec"][name] = value.clone());
        let of_access = is_refused(&secured).await?;
        ensure!(of_access.contains("registry"), "{spec}: {of_access}");
    }
    grant(
        "reads-one",
        &[
            "--verb=get",
            "--resource=secrets",
            "--resource-name=store-credentials",
        ],
    )
    .await?;
    apply_as(&with_secret, &["--as", AUTHOR]).await?;
    is_refused(&pulls).await?;
    grant("reads-secrets", &["--verb=get", "--resource=secrets"]).await?;
    apply_as(&pulls, &["--as", AUTHOR]).await?;
    Ok(message.lines().last().unwrap_or_default().to_owned())
}

pub(super) async fn account(_: &mut Api) -> anyhow::Result<String> {
    introduce_author().await?;
    let seen = try_account().await;
    forget(&["author", "author-reads", "acts-as"]).await?;
    seen
}

async fn try_account() -> anyhow::Result<String> {
    let as_account = pipeline(
        json!({"url": "s3://models/x", "serviceAccountName": "models"}),
        json!({}),
    );
    let message = is_refused(&as_account).await?;
    ensure!(
        message.contains("models") && message.contains("impersonate"),
        "{message}"
    );
    grant("acts-as", &["--verb=impersonate", "--resource=serviceaccounts"]).await?;
    apply_as(&as_account, &["--as", AUTHOR]).await?;
    Ok(message.lines().last().unwrap_or_default().to_owned())
}
