//! Who gets which variant, and variants that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gondola_tests::http;

use super::Shop;
use crate::kubectl::{PATIENCE, apply, field, pods, ready, until};
use crate::manifest::{self, NAME};

/// Users whose variants are looked up.
const USERS: u32 = 200;
/// What is promised of a change of weights.
const WEIGHTS_WITHIN: Duration = Duration::from_secs(2);

/// The variant of each user.
type Assigned = BTreeMap<u32, String>;

/// The variant of each user, as one router gives it.
async fn assigned(router: &str) -> anyhow::Result<Assigned> {
    let mut variants = BTreeMap::new();
    for user in 1..=USERS {
        let path = format!("/v1/recommend?user={user}&k=1");
        let answer = http::get(router, &path).await?.json()?;
        variants.insert(user, answer["variant"].as_str().unwrap_or_default().to_owned());
    }
    Ok(variants)
}

/// How many users have a variant.
fn share(seen: &Assigned, variant: &str) -> usize {
    seen.values().filter(|found| *found == variant).count()
}

/// How many users moved from a variant to another, for each pair.
fn moves(before: &Assigned, after: &Assigned) -> BTreeMap<(String, String), usize> {
    let mut moves = BTreeMap::new();
    for (user, then) in before {
        let now = &after[user];
        if then != now {
            *moves.entry((then.clone(), now.clone())).or_default() += 1;
        }
    }
    moves
}

async fn routers() -> anyhow::Result<Vec<String>> {
    let routers: Vec<String> = pods("router").await?.values().map(|pod| pod.reads()).collect();
    ensure!(
        routers.len() == 2,
        "there are other routers than two: {routers:?}"
    );
    Ok(routers)
}

pub(super) async fn sticky(_: &mut Shop) -> anyhow::Result<String> {
    let mut seen = Vec::new();
    for address in routers().await? {
        seen.push(assigned(&address).await?);
    }
    ensure!(seen[0] == seen[1], "the routers disagree");
    let variants: BTreeSet<&String> = seen[0].values().collect();
    ensure!(variants.len() == 2, "only {variants:?} get users");
    Ok(format!("{USERS} users, {variants:?}"))
}

/// More for the forest: every router follows in time, and only those move who have to.
pub(super) async fn change_weights(shop: &mut Shop) -> anyhow::Result<String> {
    let routers = routers().await?;
    let before = assigned(&routers[0]).await?;
    let mut manifest = shop.manifest.clone();
    manifest::variant(&mut manifest, "dlrm")?["weight"] = 20.into();
    manifest::variant(&mut manifest, "forest")?["weight"] = 80.into();
    apply(&manifest).await?;
    let changed = Instant::now();
    let goal = share(&before, "forest") + 1;
    let mut followed = Duration::ZERO;
    for address in &routers {
        until("a router follows", WEIGHTS_WITHIN, async || {
            Ok((share(&assigned(address).await?, "forest") > goal).then_some(()))
        })
        .await?;
        followed = followed.max(changed.elapsed());
    }
    let moved = moves(&before, &assigned(&routers[0]).await?);
    let expected = ("dlrm".to_owned(), "forest".to_owned());
    ensure!(
        moved.keys().all(|pair| *pair == expected),
        "users of the growing variant were moved: {moved:?}"
    );
    Ok(format!(
        "{} of {USERS} users moved, none the wrong way, after {followed:.1?}",
        moved[&expected]
    ))
}

/// Weights that pass one another: as many move as have to, and the one in the middle keeps its users.
pub(super) async fn three(shop: &mut Shop) -> anyhow::Result<String> {
    let weighted = |first, second, third| {
        let variants = [
            ("dlrm", "dlrm", first),
            ("forest", "forest", second),
            ("second", "forest", third),
        ];
        manifest::with_variants(&shop.manifest, &variants)
    };
    apply(&weighted(50, 30, 20)).await?;
    ready().await?;
    let address = &routers().await?[0];
    let before = assigned(address).await?;
    apply(&weighted(20, 30, 50)).await?;
    let goal = share(&before, "second") + 1;
    until("a router follows", WEIGHTS_WITHIN, async || {
        Ok((share(&assigned(address).await?, "second") > goal).then_some(()))
    })
    .await?;
    let moved = moves(&before, &assigned(address).await?);
    let expected = ("dlrm".to_owned(), "second".to_owned());
    let count = moved.values().sum::<usize>();
    ensure!(
        moved.keys().all(|pair| *pair == expected),
        "others moved as well: {moved:?}"
    );
    // 60 of 200 are meant; a sample of 200 is within 18 of it in 99.5 of 100 cases.
    ensure!(
        (42..=78).contains(&count),
        "{count} of {USERS} users moved, and 30 % have to"
    );
    Ok(format!(
        "{count} of {USERS} users moved, all of them from dlrm to second"
    ))
}

/// The order of a list means nothing.
pub(super) async fn reorder(shop: &mut Shop) -> anyhow::Result<String> {
    let address = &routers().await?[0];
    let before = assigned(address).await?;
    let mut manifest = shop.manifest.clone();
    let variants = manifest["spec"]["variants"].as_array_mut();
    variants.context("it has no variants")?.reverse();
    apply(&manifest).await?;
    ready().await?;
    let order = field(&format!("recommenderpipeline/{NAME}"), ".spec.variants[*].name").await?;
    ensure!(order == "forest dlrm", "the order was not changed: {order}");
    tokio::time::sleep(WEIGHTS_WITHIN).await;
    let moved = moves(&before, &assigned(address).await?);
    ensure!(moved.is_empty(), "users moved: {moved:?}");
    Ok("nobody moved".into())
}

/// `[dlrm, forest]` becomes `[challenger, forest]`: dlrm serves until the challenger does.
pub(super) async fn replace(shop: &mut Shop) -> anyhow::Result<String> {
    become_variants(shop, &[("forest", "forest", 50), ("challenger", "dlrm", 50)]).await
}

/// `[forest]` becomes `[challenger]`: everything that serves is replaced, the control with it.
pub(super) async fn replace_the_only_one(shop: &mut Shop) -> anyhow::Result<String> {
    let first = become_variants(shop, &[("forest", "forest", 1)]).await?;
    let second = become_variants(shop, &[("challenger", "dlrm", 1)]).await?;
    Ok(format!("{first}; {second}"))
}

pub(super) async fn rename_both(shop: &mut Shop) -> anyhow::Result<String> {
    become_variants(shop, &[("champion", "dlrm", 50), ("challenger", "forest", 50)]).await
}

/// Applies other variants, and waits until they serve and no pod of another is left.
async fn become_variants(shop: &Shop, variants: &[(&str, &str, u32)]) -> anyhow::Result<String> {
    let started = Instant::now();
    apply(&manifest::with_variants(&shop.manifest, variants)).await?;
    ready().await?;
    let took = started.elapsed();
    let names: BTreeSet<&str> = variants.iter().map(|(name, ..)| *name).collect();
    for gone in ["dlrm", "forest", "challenger", "champion"]
        .into_iter()
        .filter(|name| !names.contains(name))
    {
        until(&format!("{gone} is gone"), PATIENCE, async || {
            Ok(pods(gone).await?.is_empty().then_some(()))
        })
        .await?;
    }
    let seen: BTreeSet<String> = assigned(&shop.address).await?.into_values().collect();
    ensure!(
        seen.iter().map(String::as_str).collect::<BTreeSet<_>>() == names,
        "{seen:?} serve"
    );
    Ok(format!("{names:?} serve after {took:.1?}"))
}
