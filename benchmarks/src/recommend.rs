//! `recommend`: speed or answers on given bundles, as JSON on stdout.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use gondola_models::device::Device;
use gondola_models::features::{RawTable, UserId, Workflow};
use gondola_models::ordering::Order;
use gondola_models::pipeline::{
    Answer, BoughtRule, RecommendRequest, Variant, VariantFolders, VariantSettings,
};
use gondola_models::retrieval::Retrieval;
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::retrieval::sources::Quotas;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::measure::RequestTimes;
use crate::{RecommendArguments, user_id};

/// The scorers that are measured.
pub(crate) const SCORERS: [&str; 2] = ["dlrm", "forest"];
/// Candidates of a request.
pub(crate) const CANDIDATES: usize = 200;
/// Items of an answer.
pub(crate) const ITEMS: usize = 12;
/// Requests before those that are timed.
const WARM_UP: usize = 100;
/// Users whose neighbors are compared with an exact search's.
const RECALL_USERS: usize = 200;
const SEED: u64 = 3;

pub(crate) fn run(arguments: &RecommendArguments) -> anyhow::Result<()> {
    let variants = SCORERS.map(|scorer| load(&arguments.bundles, scorer, arguments.nprobe));
    let variants = variants.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let json = match arguments.answers {
        Some(users) => answers(&variants, users)?,
        None => {
            let times = time(&variants, arguments.users)?;
            let named = SCORERS.iter().zip(&times);
            let variants: Map<String, Value> = named
                .map(|(name, times)| ((*name).to_owned(), to_json(times)))
                .collect();
            let recall = recall(&arguments.bundles, arguments.nprobe)?;
            json!({"recall_at_200": recall, "variants": variants})
        }
    };
    println!("{json}");
    Ok(())
}

/// A variant of the folders `features`, `two-tower` and the scorer's own, with `item-text` if it is there.
pub(crate) fn load(bundles: &Path, scorer: &str, nprobe: u32) -> anyhow::Result<Variant> {
    let texts = bundles.join("item-text");
    let folders = VariantFolders {
        features: bundles.join("features"),
        retrieval: bundles.join("two-tower"),
        sources: BTreeMap::new(),
        scorer: bundles.join(scorer),
        similarity: texts.exists().then_some(texts),
    };
    let settings = VariantSettings {
        name: scorer.to_owned(),
        quotas: Quotas {
            two_tower: CANDIDATES,
            bought_before: 0,
            co_bought: 0,
            popular: 0,
            trained: Vec::new(),
        },
        search: search(nprobe),
        similarity_search: search(32),
        device: Device::Cpu,
        already_bought: BoughtRule::Keep,
        blocked_items: Vec::new(),
        limit: ITEMS,
        order: Order::BestFirst,
        diversity: None,
    };
    Variant::load(&folders, &settings).with_context(|| format!("cannot load variant {scorer}"))
}

pub(crate) fn search(nprobe: u32) -> SearchParameters {
    SearchParameters {
        nprobe: Some(nprobe),
        ef_search: None,
    }
}

/// Asks all variants for each user in turn, so that what disturbs the machine disturbs them alike.
pub(crate) fn time(variants: &[Variant], requests: usize) -> anyhow::Result<Vec<RequestTimes>> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut times: Vec<RequestTimes> = variants.iter().map(|_| RequestTimes::default()).collect();
    for number in 0..WARM_UP + requests {
        let user = rng.random_range(0..variants[0].users().len());
        for (variant, times) in variants.iter().zip(&mut times) {
            let request = request(user);
            let started = Instant::now();
            let answer = variant.recommend(&request)?;
            let took = started.elapsed();
            check(&answer)?;
            if number >= WARM_UP {
                times.add(took, &answer.timing);
            }
        }
    }
    Ok(times)
}

fn request(user: usize) -> RecommendRequest {
    RecommendRequest {
        user: UserId::from(user_id(user)),
        k: Some(ITEMS),
    }
}

/// A fast answer that is not the whole answer counts for nothing.
fn check(answer: &Answer) -> anyhow::Result<()> {
    anyhow::ensure!(
        answer.items.len() == ITEMS && answer.degraded.is_empty(),
        "an answer has {} items and is degraded by {:?}",
        answer.items.len(),
        answer.degraded
    );
    Ok(())
}

fn to_json(times: &RequestTimes) -> Value {
    let mut rows: Map<String, Value> = Map::new();
    for (name, summary) in times.rows() {
        let name = if name == "whole request" { "total" } else { name };
        rows.insert(name.to_owned(), summary.to_json());
    }
    Value::Object(rows)
}

fn answers(variants: &[Variant], users: usize) -> anyhow::Result<Value> {
    let mut all = Map::new();
    for variant in variants {
        let mut answers = Vec::with_capacity(users);
        for user in 0..users {
            let answer = variant.recommend(&request(user))?;
            let items = answer.items.iter();
            answers.push(json!(
                items
                    .map(|item| json!([item.item, item.score]))
                    .collect::<Vec<_>>()
            ));
        }
        all.insert(variant.name().to_owned(), Value::Array(answers));
    }
    Ok(json!({"answers": all}))
}

/// Which share of the exact 200 nearest items the index finds, over users of the snapshot.
pub(crate) fn recall(bundles: &Path, nprobe: u32) -> anyhow::Result<f64> {
    let features = bundles.join("features");
    let workflow = Workflow::load(&features)?;
    let users = RawTable::read(&features.join("users.parquet"), "user_id")?;
    let items = RawTable::read(&features.join("items.parquet"), "item_id")?;
    let retrieval = Retrieval::load(
        &bundles.join("two-tower"),
        &items,
        &workflow.layout(),
        &search(nprobe),
    )?;
    let index = retrieval.items().index();

    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut queries = Vec::with_capacity(RECALL_USERS * index.dimension());
    for _ in 0..RECALL_USERS {
        let row = workflow.user.encode(&users.row(rng.random_range(0..users.len())));
        queries.extend(retrieval.embed_user(&row, &[])?);
    }
    let mut vectors = vec![0.0; index.len() * index.dimension()];
    for (position, vector) in vectors.chunks_exact_mut(index.dimension()).enumerate() {
        index.reconstruct(position, vector)?;
    }
    Ok(index.recall_against_exact(&vectors, &queries, CANDIDATES)?)
}
