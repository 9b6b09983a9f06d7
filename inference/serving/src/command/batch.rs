//! `batch`: the lists of all users, or of some, written into a folder.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Args;
use gondola_artifacts::Kind;
use gondola_models::ordering::Order;
use gondola_models::pipeline::Variant;
use gondola_serving::batch::audience::Audience;
use gondola_serving::batch::folder::{Folder, Progress};
use gondola_serving::batch::lists::lists;
use gondola_serving::batch::plan::{File, Manifest, Plan, Users};
use gondola_serving::batch::shard::{Part, Shard};
use gondola_serving::batch::{submission, table};
use gondola_serving::compute::ComputeSettings;
use gondola_wire::variables;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use url::Url;

use super::bundles::BundleArguments;
use super::device::{self, DeviceArguments};
use super::loading::{self, Models};
use super::manifest::{Pipeline, VariantPlan};

/// Arguments of `batch`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The manifest of the pipeline, as YAML.
    #[arg(long, env = variables::FILE)]
    file: PathBuf,
    /// The variant whose lists are written; default: the control.
    #[arg(long)]
    variant: Option<String>,
    /// The folder to write into, or the URL of one in an object store, for example `s3://shop/lists/2026-11-29`.
    #[arg(long)]
    out: String,
    /// Number of items in a list; default: the number that a request gets which names none.
    #[arg(long)]
    k: Option<usize>,
    /// A file with one user id per line; default: all users of the features bundle.
    #[arg(long)]
    users: Option<PathBuf>,
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
    let pipeline = Pipeline::written(&arguments.file, arguments.bundles.store.clone())?;
    let mut wanted = variant(&pipeline, arguments.variant.as_deref())?;
    arguments.device.apply(&mut wanted);
    let k = arguments.k.unwrap_or(wanted.settings.limit);
    check(&wanted, k, arguments.submission.as_deref())?;
    let folder = Folder::open(&url(&arguments.out)?, &arguments.bundles.access())?;
    let job = Arc::new(prepare(&arguments, &pipeline, wanted, k).await?);
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

/// The variant that is asked for, without what a list does not need. Its settings say what it runs on.
fn variant(pipeline: &Pipeline, name: Option<&str>) -> anyhow::Result<VariantPlan> {
    let name = name.unwrap_or(&pipeline.control);
    let mut variants = pipeline.variants.iter();
    let Some(found) = variants.find(|variant| variant.settings.name == name) else {
        let known: Vec<&str> = pipeline
            .variants
            .iter()
            .map(|variant| &*variant.settings.name)
            .collect();
        bail!(
            "--variant {name} is not in the manifest, which has {}",
            known.join(", ")
        );
    };
    let mut found = found.clone();
    found.bundles.retain(|bundle| bundle.kind != Kind::Similarity);
    (found.order.similarity_search, found.order.device) = (None, None);
    Ok(found)
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

async fn prepare(
    arguments: &Arguments,
    pipeline: &Pipeline,
    wanted: VariantPlan,
    k: usize,
) -> anyhow::Result<Job> {
    let (order, device) = (wanted.order.clone(), device::name(wanted.settings.device));
    let models = loading::load_models(&arguments.bundles, &pipeline.store, &pipeline.name, &[wanted]).await?;
    let Models { described, variant } = models.into_iter().next().context("nothing was loaded")?;
    // Refuses a number of items that no list can have, before anything is written.
    variant.popular(Some(k))?;
    let name = format!("{}/{}", pipeline.namespace, pipeline.name);
    let users = variant.users().table();
    let audience = match &arguments.users {
        None => Audience::everybody(users, &name),
        Some(path) => Audience::listed(path, users, &name)?,
    };
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
