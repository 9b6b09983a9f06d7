//! A shop that is served as in a cluster: a Redis, two pods of one variant and one of another, and a router in front of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use crate::Args;
use crate::client::{Answer, Client};
use crate::orders;
use crate::processors::command_on;
use crate::program::{Program, free_address};
use crate::redis::Redis;

/// The name of the pipeline.
pub(crate) const PIPELINE: &str = "complete-journey";
const NAMESPACE: &str = "live-check";
/// What names of keys begin with.
pub(crate) const SCOPE: &str = "live-check/complete-journey";
/// Households of the example whom the snapshot knows, numbered from 1.
const HOUSEHOLDS: u64 = 2_400;

/// What every shop is made of.
#[derive(Clone)]
pub(crate) struct Premises {
    programs: PathBuf,
    /// Where all of its programs run, if not on all processors.
    processor: Option<String>,
    store_url: String,
    work: PathBuf,
    pub(crate) redis_server: PathBuf,
    pub(crate) redis_arguments: Vec<String>,
}

impl Premises {
    pub(crate) fn new(args: &Args) -> anyhow::Result<Self> {
        let absolute = |path: &Path| std::path::absolute(path).context("no such path can be");
        Ok(Self {
            programs: absolute(&args.programs)?,
            processor: None,
            store_url: format!("file://{}", absolute(&args.store)?.display()),
            work: absolute(&args.work)?,
            redis_server: args.redis_server.clone(),
            redis_arguments: args.redis.clone(),
        })
    }

    /// An empty folder for a check.
    pub(crate) fn folder(&self, check: &str) -> anyhow::Result<PathBuf> {
        let folder = self.work.join(check);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The same, with all programs on one processor, the only one that they see.
    pub(crate) fn on(&self, processor: &str) -> Self {
        Self {
            processor: Some(processor.to_owned()),
            ..self.clone()
        }
    }

    /// A command that runs a program, without its arguments.
    pub(crate) fn command(&self, program: &Path) -> Vec<String> {
        let processor = self.processor.iter().flat_map(|processor| command_on(processor));
        processor.chain([program.display().to_string()]).collect()
    }

    fn own(&self, program: &str) -> Vec<String> {
        self.command(&self.programs.join(program))
    }
}

/// A shop that is open.
pub(crate) struct Shop {
    pub(crate) redis: Redis,
    /// Two pods of `dlrm`, and one of `forest`.
    pub(crate) pods: [Program; 3],
    router: Program,
    pub(crate) client: Client,
}

impl Shop {
    pub(crate) async fn open(premises: &Premises, work: &Path) -> anyhow::Result<Self> {
        let client = Client::new();
        let redis = Redis::start(premises, work).await?;
        let dlrm = orders::write(&premises.store_url, "dlrm", work).await?;
        let forest = orders::write(&premises.store_url, "forest", work).await?;
        let mut pods = [
            pod(premises, &redis, &dlrm, work.join("dlrm-1.log")).await?,
            pod(premises, &redis, &dlrm, work.join("dlrm-2.log")).await?,
            pod(premises, &redis, &forest, work.join("forest.log")).await?,
        ];
        for pod in &mut pods {
            pod.ready(&client).await?;
        }
        let mut router = router(premises, &pods, work).await?;
        router.ready(&client).await?;
        Ok(Self {
            redis,
            pods,
            router,
            client,
        })
    }

    /// Where clients ask.
    pub(crate) fn front(&self) -> &str {
        &self.router.address
    }

    /// The first pod, through which changes are made.
    pub(crate) fn first(&self) -> &str {
        &self.pods[0].address
    }

    /// The second pod of the same variant, whose answers are to change.
    pub(crate) fn second(&self) -> &str {
        &self.pods[1].address
    }

    /// What the second pod recommends, with everything that there is.
    pub(crate) async fn recommended(&self, user: &str) -> anyhow::Result<Answer> {
        let answer = self.client.recommend(self.second(), user).await?;
        ensure!(
            answer.is_whole() && !answer.items.is_empty(),
            "user {user}: {answer:?}"
        );
        Ok(answer)
    }

    /// Some items of the catalog, each once: what is recommended to the first households.
    pub(crate) async fn some_items(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut items: Vec<String> = Vec::with_capacity(count);
        for number in 0..HOUSEHOLDS {
            for (item, _) in self.recommended(&household(number)).await?.items {
                if !items.contains(&item) {
                    items.push(item);
                }
            }
            if items.len() >= count {
                items.truncate(count);
                return Ok(items);
            }
        }
        bail!("only {} items are recommended to anybody", items.len())
    }
}

/// One of the households whom the snapshot knows, in turn.
pub(crate) fn household(number: u64) -> String {
    (number % HOUSEHOLDS + 1).to_string()
}

async fn pod(premises: &Premises, redis: &Redis, order: &Path, log: PathBuf) -> anyhow::Result<Program> {
    let address = free_address().await?;
    let cache = premises.work.join("bundles").display().to_string();
    let order = order.display().to_string();
    let arguments = [
        "serve",
        "--order",
        &order,
        "--cache",
        &cache,
        "--namespace",
        NAMESPACE,
        "--online-connection",
        &redis.program.address,
        "--listen",
        &address,
    ];
    let mut command = premises.own("gondola-inference");
    command.extend(arguments.map(str::to_owned));
    Program::start(address, command, log)
}

async fn router(premises: &Premises, pods: &[Program; 3], work: &Path) -> anyhow::Result<Program> {
    let address = free_address().await?;
    let [first, second, forest] = pods.each_ref().map(|pod| &pod.address);
    let routes = work.join("routes.json");
    let written = json!({
        "namespace": NAMESPACE,
        "pipeline": PIPELINE,
        "variants": [
            {"name": "dlrm", "weight": 50, "addresses": [first, second]},
            {"name": "forest", "weight": 50, "addresses": [forest]},
        ],
    });
    fs::write(&routes, written.to_string())?;
    let routes = routes.display().to_string();
    let arguments = ["route", "--file", &routes, "--listen", &address];
    let mut command = premises.own("gondola-router");
    command.extend(arguments.map(str::to_owned));
    Program::start(address, command, work.join("router.log"))
}
