//! What is asked, and how the answers should be. Each ask is one function and says what it saw.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use gondola_tests::http;

use crate::grpc;

/// A household of the Complete Journey and its best-known product: bananas.
const USER: &str = "1";
const ITEM: &str = "1082185";
const K: usize = 12;
/// So many users that a variant of a hundredth of them is left out once in twenty thousand checks.
const USERS: usize = 1_000;

/// Asks everything, in the order of the README.
pub(crate) async fn all(address: &str) -> anyhow::Result<()> {
    step("health", health(address)).await?;
    step("recommendations of a known user", recommend(address, USER)).await?;
    step("the same user again, the same variant", sticky(address)).await?;
    step("each variant gets users", each_variant(address)).await?;
    step("similar items", similar(address)).await?;
    step("a user whom nobody knows", recommend(address, "nobody-knows-me")).await?;
    step("a new user", new_user(address)).await?;
    step("a new item", new_item(address)).await?;
    step("k = 0 is refused", refused(address)).await?;
    step("the same over gRPC", over_grpc(address)).await?;
    step("what is loaded", pipeline(address)).await?;
    step("metrics", metrics(address)).await
}

async fn step(what: &str, ask: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<()> {
    let seen = ask.await.with_context(|| format!("FAILED: {what}"))?;
    println!("ok: {what}: {seen}");
    Ok(())
}

async fn health(address: &str) -> anyhow::Result<String> {
    let (alive, ready) = (
        http::get(address, "/healthz").await?,
        http::get(address, "/readyz").await?,
    );
    ensure!((alive.status, ready.status) == (200, 200), "{alive:?}, {ready:?}");
    Ok("alive and ready".to_owned())
}

async fn recommend(address: &str, user: &str) -> anyhow::Result<String> {
    let answer = http::get(
        address,
        &format!("/v1/recommend?user={user}&k={K}&explain=timing"),
    )
    .await?
    .json()?;
    let items = items(&answer)?;
    ensure!(items.len() == K, "{} items instead of {K}: {answer}", items.len());
    ensure!(!answer["timing"].is_null(), "no timing: {answer}");
    Ok(format!(
        "{} items from variant {}, first {}",
        items.len(),
        answer["variant"],
        items[0]
    ))
}

async fn sticky(address: &str) -> anyhow::Result<String> {
    let path = format!("/v1/recommend?user={USER}&k={K}");
    let (first, second) = (
        http::get(address, &path).await?.json()?,
        http::get(address, &path).await?.json()?,
    );
    ensure!(
        first["variant"] == second["variant"],
        "{} then {}",
        first["variant"],
        second["variant"]
    );
    ensure!(
        first["items"] == second["items"],
        "other items: {first} then {second}"
    );
    Ok(first["variant"].to_string())
}

/// Asks for one user after another until each variant that is loaded has answered; gives how often each did.
async fn each_variant(address: &str) -> anyhow::Result<String> {
    let mut answers: BTreeMap<String, usize> = variants(address)
        .await?
        .into_iter()
        .map(|name| (name, 0))
        .collect();
    ensure!(answers.len() > 1, "only {answers:?} are loaded");
    for user in 1..=USERS {
        let answer = http::get(address, &format!("/v1/recommend?user={user}&k=1"))
            .await?
            .json()?;
        ensure!(!items(&answer)?.is_empty(), "no items: {answer}");
        let variant = answer["variant"].as_str().unwrap_or_default();
        *answers
            .get_mut(variant)
            .with_context(|| format!("a variant that is not loaded: {answer}"))? += 1;
        if answers.values().all(|count| *count > 0) {
            return Ok(format!("{answers:?} answers"));
        }
    }
    bail!("{USERS} users were given {answers:?}")
}

async fn similar(address: &str) -> anyhow::Result<String> {
    let answer = http::get(address, &format!("/v1/similar?item={ITEM}&k={K}"))
        .await?
        .json()?;
    let items = items(&answer)?;
    ensure!(items.len() == K, "{} items instead of {K}: {answer}", items.len());
    ensure!(
        !items.contains(&ITEM.to_owned()),
        "an item is similar to itself: {answer}"
    );
    Ok(format!("{} items, first {}", items.len(), items[0]))
}

async fn new_user(address: &str) -> anyhow::Result<String> {
    let put = http::put(address, "/v1/users/demo-check-user", &json!({"features": {}})).await?;
    ensure!((200..300).contains(&put.status), "{put:?}");
    recommend(address, "demo-check-user").await
}

async fn new_item(address: &str) -> anyhow::Result<String> {
    let features = json!({"features": {"product_type": "BANANAS", "product_category": "TROPICAL FRUIT"}});
    let put = http::put(address, "/v1/items/demo-check-item", &features).await?;
    ensure!((200..300).contains(&put.status), "{put:?}");
    let answer = http::get(address, &format!("/v1/similar?item=demo-check-item&k={K}"))
        .await?
        .json()?;
    let items = items(&answer)?;
    ensure!(
        items.len() == K,
        "{} neighbors instead of {K}: {answer}",
        items.len()
    );
    Ok(format!("its nearest neighbor is {}", items[0]))
}

async fn refused(address: &str) -> anyhow::Result<String> {
    let answer = http::get(address, &format!("/v1/recommend?user={USER}&k=0")).await?;
    ensure!(answer.status == 400, "{answer:?}");
    Ok(answer.body)
}

async fn over_grpc(address: &str) -> anyhow::Result<String> {
    let mut client = grpc::connect(address).await?;
    let http = http::get(address, &format!("/v1/recommend?user={USER}&k={K}"))
        .await?
        .json()?;
    let recommended = grpc::recommend(&mut client, USER, K as u32, &http).await?;
    let http = http::get(address, &format!("/v1/similar?item={ITEM}&k={K}"))
        .await?
        .json()?;
    let similar = grpc::similar(&mut client, ITEM, K as u32, &http).await?;
    let refused = grpc::refused(&mut client, USER).await?;
    Ok(format!(
        "{recommended}; {similar} like {ITEM}; refused: {refused}"
    ))
}

async fn pipeline(address: &str) -> anyhow::Result<String> {
    let loaded = http::get(address, "/v1/pipeline").await?.json()?;
    ensure!(loaded.to_string().contains("sha256:"), "no digests: {loaded}");
    Ok(format!("{} variants", variants(address).await?.len()))
}

/// The names of the variants that are loaded.
async fn variants(address: &str) -> anyhow::Result<Vec<String>> {
    let loaded = http::get(address, "/v1/pipeline").await?.json()?;
    let variants = loaded["variants"].as_array();
    let names = variants.map(|variants| variants.iter().map(|variant| variant["name"].as_str()));
    let names: Option<Vec<&str>> = names.and_then(Iterator::collect);
    let names = names.with_context(|| format!("no names of variants: {loaded}"))?;
    Ok(names.into_iter().map(str::to_owned).collect())
}

async fn metrics(address: &str) -> anyhow::Result<String> {
    let metrics = http::get(address, "/metrics").await?;
    ensure!(
        metrics.status == 200 && metrics.body.contains("gondola_"),
        "{metrics:?}"
    );
    Ok(format!("{} lines", metrics.body.lines().count()))
}

/// The ids of an answer's items, all different.
fn items(answer: &Value) -> anyhow::Result<Vec<String>> {
    let items = answer["items"]
        .as_array()
        .with_context(|| format!("no items: {answer}"))?;
    let ids: Option<Vec<String>> = items
        .iter()
        .map(|item| item["item"].as_str().map(str::to_owned))
        .collect();
    let ids = ids.with_context(|| format!("an item without an id: {answer}"))?;
    let different: HashSet<&String> = ids.iter().collect();
    ensure!(different.len() == ids.len(), "an item twice: {answer}");
    Ok(ids)
}
