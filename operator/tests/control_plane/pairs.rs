//! However a spec came about, its end is the same: applying A and then B leaves what B alone leaves.

use std::collections::BTreeSet;

use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::world::{World, pipeline, until};

const PAIRS: usize = 200;
/// Pairs that run side by side.
const AT_ONCE: usize = 25;

/// A pipeline with any of its fields changed.
fn generated(random: &mut impl Rng) -> Value {
    let names = ["dlrm", "forest", "mlp", "a", "a-very-long-name-of-a-variant-x"];
    let count = random.random_range(1..=3);
    let chosen: Vec<&str> = names.sample(random, count).copied().collect();
    let variants: Vec<_> = chosen
        .iter()
        .map(|name| (*name, random.random_range(1..=100), random.random_range(0..=3)))
        .collect();
    let mut spec = pipeline(&variants);
    let optional = [
        (
            "/spec/pods",
            json!({"nodeSelector": {"pool": "gpu"}, "env": [{"name": "A", "value": "ü"}], "labels": {"team": "search"}}),
        ),
        ("/spec/router", json!({"replicas": 1})),
        (
            "/spec/networkPolicy",
            json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}),
        ),
        ("/spec/networkPolicy", json!({})),
        ("/spec/progressDeadlineSeconds", json!(30)),
        (
            "/spec/ordering",
            json!({"limit": 10000, "sampling": {"temperature": "0.5"}}),
        ),
        (
            "/spec/filters",
            json!({"blockedItems": ["1", "ä"], "alreadyBought": "Remove"}),
        ),
        (
            "/spec/artifacts/credentials",
            json!({"secretRef": {"name": "models"}}),
        ),
        ("/spec/artifacts/endpoint", json!("http://minio:9000")),
        ("/spec/similarity", json!({"bundle": "item-text/1"})),
        (
            "/spec/variants/0/resources",
            json!({"requests": {"cpu": "1000m"}, "limits": {"nvidia.com/gpu": 1}}),
        ),
        ("/spec/rollout", json!({"maxSurge": "25%", "maxUnavailable": 1})),
        (
            "/spec/variants/0/pods",
            json!({"image": "other:1", "tolerations": [{"key": "gpu", "operator": "Exists"}]}),
        ),
    ];
    for (place, value) in optional {
        if random.random_bool(0.3) {
            let (parent, field) = place.rsplit_once('/').unwrap();
            spec.pointer_mut(parent).unwrap()[field] = value;
        }
    }
    // Users are sent to the control, and to arms, whatever happens.
    let experiment_goes_on = chosen.len() > 1 && random.random_bool(0.3);
    for (place, variant) in spec["spec"]["variants"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .enumerate()
    {
        if (place == 0 || experiment_goes_on) && variant["replicas"] == 0 {
            variant["replicas"] = 1.into();
        }
    }
    if experiment_goes_on {
        spec["spec"]["experiment"] = experiment(&chosen);
    } else if random.random_bool(0.3) {
        let first = &mut spec["spec"]["variants"][0];
        first.as_object_mut().unwrap().remove("replicas");
        first["resources"] = json!({"requests": {"cpu": "500m"}});
        first["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 4});
    }
    spec
}

fn experiment(arms: &[&str]) -> Value {
    let arms: Vec<Value> = arms
        .iter()
        .map(|name| json!({"variant": name, "weight": 1}))
        .collect();
    json!({
        "name": "which",
        // What users are split by would have the namespace in it.
        "salt": "which",
        "control": arms[0]["variant"],
        "arms": arms,
        "metrics": {"success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "7d"}]},
        "design": {"units": 5000},
        "store": {"url": "s3://events/grocery", "credentials": {"secretRef": {"name": "events"}}},
        "unitKey": {"secretRef": {"name": "unit-key"}},
    })
}

async fn settle(world: &World, namespace: &str, spec: &Value) -> anyhow::Result<()> {
    world.apply(namespace, spec).await?;
    world.wait_for(namespace, "grocery", "Ready", "True").await?;
    let variants = spec["spec"]["variants"].as_array().unwrap().len();
    // Resolver and router, and the analyzer of an experiment.
    let others = 2 + usize::from(spec["spec"].get("experiment").is_some());
    until("what is too much is gone", || async {
        let dump = world.dump(namespace).await?;
        let deployments = dump.keys().filter(|name| name.starts_with("Deployment ")).count();
        let manifests = dump.values().filter(|object| object["immutable"] == true).count();
        Ok((deployments == variants + others && manifests == variants).then_some(()))
    })
    .await
}

async fn spec(world: &World, namespace: &str) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(
        world.pipelines(namespace).get("grocery").await?.spec,
    )?)
}

/// A variant that was there keeps its users whatever else changes, so that routes may differ in nothing but history.
async fn compare(world: &World, number: usize, first: &Value, second: &Value) -> anyhow::Result<()> {
    let (both, alone) = (format!("both{number}"), format!("alone{number}"));
    settle(world, &both, first).await?;
    if first["spec"].get("experiment").is_some() && second["spec"].get("experiment").is_some() {
        // Arms can't change while an experiment runs: it is taken away first.
        let mut without = first.clone();
        without["spec"].as_object_mut().unwrap().remove("experiment");
        settle(world, &both, &without).await?;
    }
    // Twice: the API server's own apply takes a map with its last field away, even where the map itself is still wanted.
    settle(world, &both, second).await?;
    settle(world, &both, second).await?;
    settle(world, &alone, second).await?;
    assert_eq!(
        spec(world, &both).await?,
        spec(world, &alone).await?,
        "{first} then {second}"
    );
    let done = until("both are the same", || async {
        let (both, alone) = (world.dump(&both).await?, world.dump(&alone).await?);
        Ok((both == alone).then_some(()))
    });
    if done.await.is_err() {
        let (both, alone) = (world.dump(&both).await?, world.dump(&alone).await?);
        let names: BTreeSet<&String> = both.keys().chain(alone.keys()).collect();
        for name in names {
            assert_eq!(both.get(name), alone.get(name), "{name} of {first} then {second}");
        }
    }
    world.delete(&both, "grocery").await?;
    world.delete(&alone, "grocery").await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_spec_after_another_leaves_what_the_second_alone_leaves() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let pairs: Vec<_> = (0..PAIRS)
        .map(|_| (generated(&mut random), generated(&mut random)))
        .collect();
    for (chunk, pairs) in pairs.chunks(AT_ONCE).enumerate() {
        let compared = pairs
            .iter()
            .enumerate()
            .map(|(place, (first, second))| compare(&world, chunk * AT_ONCE + place, first, second));
        futures::future::try_join_all(compared).await?;
        world.server.collect_garbage().await?;
        world.server.traffic().forget();
    }
    eprintln!("pairs compared: {PAIRS}");
    operator.stop().await
}
