//! `batch`: the lists of all users, or of some, written into a folder.

mod source;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Args;
use gondola_artifacts::Access;
use gondola_models::ordering::Order;
use gondola_models::pipeline::Variant;
use gondola_router::own_variant::OwnVariant;
use gondola_serving::batch::audience::Audience;
use gondola_serving::batch::folder::{Folder, Progress};
use gondola_serving::batch::lists::lists;
use gondola_serving::batch::plan::{File, Manifest, Plan, Users};
use gondola_serving::batch::shard::{Part, Shard};
use gondola_serving::batch::{submission, table};
use gondola_serving::compute::ComputeSettings;
use gondola_wire::routes::Routes;
use gondola_wire::variables;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use url::Url;

use super::bundles::BundleArguments;
use super::device::{self, DeviceArguments};
use super::loading::{self, Models};
use super::manifest::VariantPlan;
use source::{Source, Wanted};

/// Arguments of `batch`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    out: Out,
    /// Number of items in a list; default: the number that a request gets which names none.
    #[arg(long)]
    k: Option<usize>,
    /// A file with one user id per line; default: all users of the features bundle.
    #[arg(long)]
    users: Option<PathBuf>,
    /// The routes of the pipeline, as routers read them: only users whom they send to this variant get a list.
    #[arg(long, env = variables::ROUTES)]
    routes: Option<PathBuf>,
    /// Which part of the work to do, as NUMBER/SHARDS, numbered from 0. The last shard to finish writes the manifest.
    #[arg(long, default_value = "0/1")]
    shard: Shard,
    /// Also writes the lists as a submission to the H&M competition, once all shards are done: a CSV file with 12 items a customer.
    #[arg(long)]
    submission: Option<PathBuf>,
    /// Number of threads; default: the number of cores.
    #[arg(long, env = variables::THREADS)]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    bundles: BundleArguments,
}

/// Where lists are written.
#[derive(Debug, Args)]
struct Out {
    /// The folder to write into, or the URL of one in an object store, for example `s3://shop/lists/2026-11-29`.
    #[arg(long, env = variables::OUT)]
    out: String,
    /// Folder of the credentials of that store, with a file for each setting; default: those of the bundles' store with a manifest, and
    /// none with an order, which somebody else than the pipeline's author may have asked for.
    #[arg(long, env = variables::OUT_CREDENTIALS)]
    out_credentials: Option<PathBuf>,
    /// Endpoint of that store, if it is S3-compatible; default: as for credentials.
    #[arg(long, env = variables::OUT_ENDPOINT)]
    out_endpoint: Option<String>,
}

impl Out {
    /// The folder, reached as `usually` where nothing else is said.
    fn open(&self, usually: Access) -> anyhow::Result<Folder> {
        let access = Access {
            credentials: self.out_credentials.clone().or(usually.credentials),
            endpoint: self.out_endpoint.clone().or(usually.endpoint),
            ..Access::default()
        };
        Ok(Folder::open(&url(&self.out)?, &access)?)
    }
}

/// Everything that a shard's lists are made of.
struct Job {
    variant: Variant,
    audience: Audience,
    plan: Plan,
    shard: Shard,
    threads: NonZeroUsize,
}

/// The file of a part.
struct Encoded {
    part: Part,
    users: usize,
    bytes: bytes::Bytes,
}

/// Writes a shard's lists.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut wanted = arguments.source.read(arguments.bundles.store.clone())?;
    arguments.device.apply(&mut wanted.variant);
    let k = arguments.k.unwrap_or(wanted.variant.settings.limit);
    check(&wanted.variant, k, arguments.submission.as_deref())?;
    let usually = match arguments.source.is_ordered() {
        true => Access::default(),
        false => arguments.bundles.access(),
    };
    let folder = arguments.out.open(usually)?;
    let job = Arc::new(prepare(&arguments, wanted, k).await?);
    folder.begin(&job.plan).await?;
    let loaded_in = started.elapsed();
    let files = write(&job, &folder).await?;
    let users: usize = files.iter().map(|file| file.users).sum();
    println!(
        "{users} lists in {:.1} s, after {:.1} s of loading",
        (started.elapsed() - loaded_in).as_secs_f64(),
        loaded_in.as_secs_f64()
    );
    match folder.finish_shard(job.plan.clone(), job.shard, files).await? {
        Progress::Finished(manifest) => finished(&folder, &manifest, arguments.submission.as_deref()).await,
        Progress::Missing(shards) => {
            let shards: Vec<String> = shards.iter().map(Shard::to_string).collect();
            println!(
                "shard {} is done; still missing: {}",
                job.shard,
                shards.join(", ")
            );
            Ok(())
        }
    }
}

async fn finished(folder: &Folder, manifest: &Manifest, submission: Option<&Path>) -> anyhow::Result<()> {
    let (users, files) = (manifest.plan.users.count, manifest.files.len());
    println!("{}: {users} users in {files} files", folder.url());
    if let Some(path) = submission {
        submission::write(folder, manifest, path).await?;
        println!("submission in {}", path.display());
    }
    Ok(())
}

fn check(variant: &VariantPlan, k: usize, submission: Option<&Path>) -> anyhow::Result<()> {
    let name = &variant.settings.name;
    if let Order::Sampled { temperature } = variant.settings.order {
        bail!(
            "variant {name} draws the order of its items (spec.ordering.sampling, temperature {temperature}), so that no list would be the \
             one that is answered; name another variant, or remove the sampling"
        );
    }
    ensure!(
        submission.is_none() || k >= submission::ITEMS,
        "--submission needs {} items, and a list has {k}; set --k {}",
        submission::ITEMS,
        submission::ITEMS
    );
    Ok(())
}

/// The URL of a folder or of a URL.
fn url(out: &str) -> anyhow::Result<String> {
    if out.contains("://") {
        return Ok(out.to_owned());
    }
    let path = std::path::absolute(out).with_context(|| format!("--out {out:?} is not a folder"))?;
    let url = Url::from_directory_path(path).expect("an absolute path is a URL");
    Ok(url.into())
}

async fn prepare(arguments: &Arguments, wanted: Wanted, k: usize) -> anyhow::Result<Job> {
    let Wanted {
        namespace,
        pipeline,
        store,
        variant: wanted,
    } = wanted;
    let (order, device) = (wanted.order.clone(), device::name(wanted.settings.device));
    let models = loading::load_models(&arguments.bundles, &store, &pipeline, &[wanted]).await?;
    let Models { described, variant } = models.into_iter().next().context("nothing was loaded")?;
    // Refuses a number of items that no list can have, before anything is written.
    variant.popular(Some(k))?;
    let name = format!("{namespace}/{pipeline}");
    let users = variant.users().table();
    let mut audience = match &arguments.users {
        None => Audience::everybody(users, &name),
        Some(path) => Audience::listed(path, users, &name)?,
    };
    if let Some(path) = &arguments.routes {
        let own = own_variant(path)?;
        audience = audience.only(users, |user| own.of(user) == order.name);
    }
    let digests = described.into_iter().map(|(role, bundle)| (role, bundle.digest));
    let plan = Plan {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: name,
        variant: order,
        device: device.map(str::to_owned),
        bundles: digests.collect(),
        k,
        users: Users {
            count: audience.len(),
            digest: audience.digest(),
        },
        shards: arguments.shard.of(),
    };
    Ok(Job {
        variant,
        audience,
        plan,
        shard: arguments.shard,
        threads: arguments.threads.unwrap_or(ComputeSettings::default().threads),
    })
}

/// Who gets which variant, as the routes in a file say.
fn own_variant(path: &Path) -> anyhow::Result<OwnVariant> {
    let wrong = || format!("cannot use the routes in {}", path.display());
    let text = std::fs::read_to_string(path).with_context(wrong)?;
    let routes: Routes = serde_json::from_str(&text).with_context(wrong)?;
    OwnVariant::new(&routes).with_context(wrong)
}

/// Makes one part after the other, and writes each while the next is made. A part without users has no file.
async fn write(job: &Arc<Job>, folder: &Folder) -> anyhow::Result<Vec<File>> {
    let (sender, mut made) = mpsc::channel(1);
    let making = spawn_blocking({
        let job = Arc::clone(job);
        move || make(&job, &sender)
    });
    let mut files = Vec::new();
    while let Some(Encoded { part, users, bytes }) = made.recv().await {
        files.push(folder.write_part(part, users, bytes).await?);
    }
    making.await??;
    Ok(files)
}

fn make(job: &Job, made: &mpsc::Sender<Encoded>) -> anyhow::Result<()> {
    for part in job.shard.parts() {
        let members = job.audience.part(part);
        if members.is_empty() {
            continue;
        }
        let lists = lists(&job.variant, members, job.plan.k, job.threads)?;
        let bytes = table::encode(&lists, &job.plan.bundles)
            .with_context(|| format!("cannot make {}", part.place()))?;
        let users = lists.len();
        // Whoever stopped receiving has an error to report.
        if made.blocking_send(Encoded { part, users, bytes }).is_err() {
            break;
        }
    }
    Ok(())
}
