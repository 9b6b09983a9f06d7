//! `scorers`: scoring alone. Every scorer is asked the same requests in turn, each of a user and 200 candidates, in one
//! thread.
//!
//! What a request pays for is timed: the user's part and each candidate's. What is known of items was computed when they
//! were loaded, as it is where they are served.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use gondola_models::features::{EncodedRow, RawTable, Schema, Workflow};
use gondola_models::items::Items;
use gondola_models::scoring::{self, CandidateBatch, Loaded};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::ScorersArguments;
use crate::measure::Times;
use crate::recommend::CANDIDATES;

/// How often all requests are asked before they are timed, and while they are.
const WARM_UP_ROUNDS: usize = 1;
const ROUNDS: usize = 4;
const SEED: u64 = 17;

/// Prints times and scores of the requests in a file, as `scorers.py` reads them.
pub(crate) fn run(arguments: &ScorersArguments) -> anyhow::Result<()> {
    let asked = File::open(&arguments.requests)
        .with_context(|| format!("cannot read {}", arguments.requests.display()))?;
    let asked: Vec<(usize, Vec<u32>)> = serde_json::from_reader(BufReader::new(asked))
        .with_context(|| format!("{} holds no requests", arguments.requests.display()))?;
    let scorers = Scorers::load(&arguments.bundles, &arguments.scorers)?;
    let requests = scorers.requests(asked)?;
    let mut json = Map::new();
    for (ready, times) in scorers.ready.iter().zip(scorers.time(&requests)?) {
        let mut scores = Vec::with_capacity(requests.len());
        for request in &requests {
            let mut of_request = Vec::new();
            scorers.score(ready, request, &mut of_request)?;
            scores.push(of_request);
        }
        let found = json!({"times": times.summary().to_json(), "scores": scores});
        json.insert(ready.name.clone(), found);
    }
    println!("{}", Value::Object(json));
    Ok(())
}

/// Scorers that stand ready for the users and items of one features bundle.
pub(crate) struct Scorers {
    workflow: Workflow,
    users: RawTable,
    ready: Vec<Ready>,
}

/// A scorer, and the items as it keeps them.
struct Ready {
    name: String,
    loaded: Loaded,
    items: Items,
}

/// What is asked: an encoded user, and rows of the snapshot's items.
pub(crate) struct Request {
    user: EncodedRow,
    candidates: Vec<u32>,
    /// Nobody bought anything: what the workflow's pair features are does not change how long scoring takes.
    pairs: Vec<f32>,
}

impl Scorers {
    /// Loads the bundles of these names, beside `features`.
    pub(crate) fn load<S: AsRef<str>>(bundles: &Path, names: &[S]) -> anyhow::Result<Self> {
        let features = bundles.join("features");
        let (workflow, schema) = (Workflow::load(&features)?, Schema::load(&features)?);
        let ready = names.iter().map(|name| {
            let name = name.as_ref();
            let loaded = scoring::load(&bundles.join(name), &workflow.layout())
                .with_context(|| format!("cannot load scorer {name}"))?;
            let table = RawTable::read(&features.join("items.parquet"), "item_id")?;
            let encoded = workflow.item.encode_table(&table);
            Ok(Ready {
                name: name.to_owned(),
                items: Items::new(table, encoded, &schema.popularity, &loaded),
                loaded,
            })
        });
        Ok(Self {
            ready: ready.collect::<anyhow::Result<_>>()?,
            users: RawTable::read(&features.join("users.parquet"), "user_id")?,
            workflow,
        })
    }

    /// The names, in the order in which they were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.ready.iter().map(|ready| ready.name.as_str())
    }

    /// Requests of random users and candidates.
    pub(crate) fn random_requests(&self, count: usize) -> anyhow::Result<Vec<Request>> {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let items = self.item_count() as u32;
        let mut draw = || {
            let user = rng.random_range(0..self.users.len());
            (
                user,
                (0..CANDIDATES).map(|_| rng.random_range(0..items)).collect(),
            )
        };
        self.requests((0..count).map(|_| draw()).collect())
    }

    /// Requests of rows of users and of items.
    fn requests(&self, asked: Vec<(usize, Vec<u32>)>) -> anyhow::Result<Vec<Request>> {
        let (users, items) = (self.users.len(), self.item_count());
        let known = |user: usize, candidates: &[u32]| {
            user < users && candidates.iter().all(|item| (*item as usize) < items)
        };
        let request = |(user, candidates): (usize, Vec<u32>)| {
            anyhow::ensure!(
                known(user, &candidates),
                "a request of user {user} names a row beyond the {users} users and {items} items"
            );
            Ok(Request {
                user: self.workflow.user.encode(&self.users.row(user)),
                pairs: vec![0.0; candidates.len() * self.workflow.pair.len()],
                candidates,
            })
        };
        asked.into_iter().map(request).collect()
    }

    fn item_count(&self) -> usize {
        self.ready.first().map_or(0, |ready| ready.items.snapshot_len())
    }

    /// The times of each scorer, in the order of their names.
    pub(crate) fn time(&self, requests: &[Request]) -> anyhow::Result<Vec<Times>> {
        let mut all: Vec<Times> = self.ready.iter().map(|_| Times::default()).collect();
        let mut scores = Vec::new();
        for round in 0..WARM_UP_ROUNDS + ROUNDS {
            for request in requests {
                for (ready, times) in self.ready.iter().zip(&mut all) {
                    let started = Instant::now();
                    self.score(ready, request, &mut scores)?;
                    if round >= WARM_UP_ROUNDS {
                        times.add(started.elapsed());
                    }
                }
            }
        }
        Ok(all)
    }

    fn score(&self, ready: &Ready, request: &Request, scores: &mut Vec<f32>) -> anyhow::Result<()> {
        let view = ready.items.view();
        let blocks: Vec<&[f32]> = request.candidates.iter().map(|item| view.block(*item)).collect();
        let candidates = CandidateBatch {
            blocks: &blocks,
            pairs: &request.pairs,
            pair_width: self.workflow.pair.len(),
        };
        ready.loaded.scorer.score(&request.user, &candidates, scores)?;
        Ok(())
    }
}
