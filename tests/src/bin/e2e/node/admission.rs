//! Admission that changes what the operator sends, as GKE Autopilot and Kyverno do.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use super::Shop;
use crate::kubectl::{NAMESPACE, apply, child, condition, field, ready, run};
use crate::manifest::NAME;

/// The name of the policy.
const POLICY: &str = "change-deployments";

/// Every Deployment gets another history and a label, against what was asked for.
pub(super) async fn mutated(shop: &mut Shop) -> anyhow::Result<String> {
    for object in [policy(), binding()] {
        run(
            Path::new("kubectl"),
            &["apply", "--server-side", "-f", "-"],
            &object.to_string(),
        )
        .await?;
    }
    // The API server takes up a new policy within moments.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = roll_out(shop).await;
    for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
        run(Path::new("kubectl"), &["delete", kind, POLICY], "").await?;
    }
    seen
}

async fn roll_out(shop: &Shop) -> anyhow::Result<String> {
    let mut manifest = shop.manifest.clone();
    manifest["spec"]["pods"] = json!({"labels": {"cost-center": "groceries"}});
    apply(&manifest).await?;
    ready().await?;
    let deployment = format!("deployment/{}", child("dlrm"));
    let history = field(&deployment, ".spec.revisionHistoryLimit").await?;
    ensure!(
        history == "7",
        "the policy changed nothing: the history is {history}"
    );
    let version = field(&deployment, ".metadata.generation").await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = field(&deployment, ".metadata.generation").await?;
    ensure!(
        version == after,
        "the operator and the policy undo each other's changes: {version} became {after}"
    );
    ready().await?;
    let overridden = condition(NAME, "Overridden").await?;
    Ok(format!("Ready all the same; Overridden: {overridden:?}"))
}

fn policy() -> Value {
    let patch = r#"[JSONPatch{op: "replace", path: "/spec/revisionHistoryLimit", value: 7}, JSONPatch{op: "add", path: "/metadata/labels/touched", value: "yes"}]"#;
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": POLICY},
        "spec": {
            "matchConstraints": {
                "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}],
            },
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        },
    })
}

fn binding() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": POLICY},
        "spec": {
            "policyName": POLICY,
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}},
        },
    })
}
