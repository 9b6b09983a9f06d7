//! From nothing to a pipeline that serves, and what it answers.

use std::path::Path;

use anyhow::ensure;
use gondola_tests::http;
use serde_json::Value;

use super::Shop;
use crate::install;
use crate::kubectl::{apply, kubectl, kubectl_in, run, wait_for};
use crate::manifest::{self, NAME};

pub(super) async fn without_secret(shop: &mut Shop) -> anyhow::Result<String> {
    apply(&shop.manifest).await?;
    let (reason, message) = wait_for(NAME, "ArtifactsResolved", "False").await?;
    ensure!(
        reason == "AccessDenied" && message.contains("create the Secret"),
        "{reason}: {message}"
    );
    Ok(format!("{reason}: {message}"))
}

pub(super) async fn become_ready(shop: &mut Shop) -> anyhow::Result<String> {
    apply(&manifest::secret()).await?;
    apply(&shop.manifest).await?;
    let pipeline = format!("recommenderpipeline/{NAME}");
    kubectl(&["wait", "--for=condition=Ready", "--timeout=300s", &pipeline]).await?;
    let line = kubectl(&["get", "recommenderpipeline", NAME, "--no-headers"]).await?;
    Ok(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Clients reach recommendations and similar items; what changes data stands behind another Service.
pub(super) async fn ask(shop: &mut Shop) -> anyhow::Result<String> {
    let recommended = http::get(&shop.address, "/v1/recommend?user=1&k=12")
        .await?
        .json()?;
    let similar = http::get(&shop.address, "/v1/similar?item=1082185&k=12")
        .await?
        .json()?;
    let count = |answer: &Value| answer["items"].as_array().map_or(0, Vec::len);
    ensure!(
        (count(&recommended), count(&similar)) == (12, 12),
        "{recommended}; {similar}"
    );
    for path in ["/v1/pipeline", "/metrics"] {
        let (outside, inside) = (
            http::get(&shop.address, path).await?,
            http::get(&shop.admin, path).await?,
        );
        ensure!(outside.status == 404, "clients reach {path}: {}", outside.status);
        ensure!(
            inside.status != 404,
            "whoever runs the pipeline doesn't reach {path}"
        );
    }
    let user = serde_json::json!({});
    let put = http::put(&shop.address, "/v1/users/1", &user).await?;
    ensure!(
        [404, 405].contains(&put.status),
        "clients may change users: {}",
        put.status
    );
    Ok(format!(
        "12 items from {}, 12 neighbors; nothing else for clients",
        recommended["variant"]
    ))
}

/// Who brings no token sees nothing, who may get the pipeline sees its experiment, and who may not sees none.
pub(super) async fn dashboard(_: &mut Shop) -> anyhow::Result<String> {
    let address = dashboard_of_leader().await?;
    for page in ["/experiments", "/experiments/metrics"] {
        let stranger = http::get(&address, page).await?;
        ensure!(
            stranger.status == 401,
            "{page} is shown to anybody: {}",
            stranger.status
        );
    }
    let view = ["--clusterrole=view", "--serviceaccount=shop:onlooker"];
    kubectl(&["create", "serviceaccount", "onlooker"]).await?;
    kubectl(&[&["create", "rolebinding", "onlooker"], view.as_slice()].concat()).await?;
    kubectl(&["create", "serviceaccount", "stranger"]).await?;
    let seen = with_tokens(&address).await;
    let accounts = [
        "serviceaccount/onlooker",
        "serviceaccount/stranger",
        "rolebinding/onlooker",
    ];
    kubectl(&[&["delete"], accounts.as_slice()].concat()).await?;
    seen.map(|()| "401 without a token, 200 with a viewer's, hidden from others".into())
}

async fn with_tokens(address: &str) -> anyhow::Result<()> {
    let token = kubectl(&["create", "token", "onlooker"]).await?;
    let token = token.trim();
    // Browsers and Prometheus know user names and passwords: any name, and the token.
    let password = run(Path::new("base64"), &["--wrap=0"], &format!("any:{token}")).await?;
    for (page, who) in [
        ("/experiments", format!("Bearer {token}")),
        ("/experiments/metrics", format!("Basic {password}")),
    ] {
        let shown = http::get_with(address, page, &format!("authorization: {who}")).await?;
        ensure!(
            shown.status == 200,
            "a viewer is not shown {page}: {}",
            shown.status
        );
    }
    let token = kubectl(&["create", "token", "stranger"]).await?;
    let who = format!("authorization: Bearer {}", token.trim());
    let hidden = http::get_with(address, "/experiments/shop/complete-journey", &who).await?;
    ensure!(
        [403, 404].contains(&hidden.status),
        "an account without rights is shown a page: {}",
        hidden.status
    );
    Ok(())
}

async fn dashboard_of_leader() -> anyhow::Result<String> {
    let leader = install::leader_of("gondola").await?;
    let ip = ["get", "pod", &leader, "--output", "jsonpath={.status.podIP}"];
    Ok(format!("{}:8081", kubectl_in(install::NAMESPACE, &ip).await?))
}
