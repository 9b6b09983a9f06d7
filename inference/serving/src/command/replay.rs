//! `replay`: answers that were logged, made again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;
use gondola_artifacts::{Digest, Reference, Store, locate};
use gondola_models::pipeline::Variant;
use gondola_server::metrics::OnlineMetrics;
use gondola_serving::live::Live;
use gondola_serving::replay::{LoggedAnswer, Replay, Replayed};
use gondola_wire::role::Role;
use gondola_wire::variables;

use super::bundles::{BundleArguments, WantedBundle};
use super::loading;
use super::manifest::Pipeline;
use super::online::OnlineArguments;

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline's manifest, with the settings by which the answers were made.
    #[arg(long, short, env = variables::FILE)]
    file: PathBuf,
    /// The answers: the JSON of `GET /v1/recommend`, one after the other; `-` is standard input.
    answers: PathBuf,
    /// Scores and chances that differ by no more than this part of them are the same: other processors add in another order.
    #[arg(long, default_value_t = 1e-6)]
    tolerance: f32,
    #[command(flatten)]
    store: BundleArguments,
    #[command(flatten)]
    online: OnlineArguments,
    /// File of the online store of `up`, which must not be running.
    #[arg(long, env = variables::ONLINE_FILE)]
    online_file: Option<PathBuf>,
}

/// What made an answer: the variant's name, and the digests of its bundles by role.
type Maker = (String, BTreeMap<String, String>);

/// Makes every answer again, prints those that come out otherwise, and fails if there are any.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let pipeline = Pipeline::written(&arguments.file, arguments.store.store.clone())?;
    let answers = read(&arguments.answers)?;
    let mut by_maker: BTreeMap<Maker, Vec<(usize, LoggedAnswer)>> = BTreeMap::new();
    for (number, answer) in (1..).zip(answers) {
        let maker = (answer.variant.clone(), answer.bundles.clone());
        by_maker.entry(maker).or_default().push((number, answer));
    }
    let mut count = Count::default();
    for (maker, answers) in by_maker {
        let replay = prepare(&arguments, &pipeline, &maker).await?;
        for (number, answer) in answers {
            let replayed = replay.replay(&answer, arguments.tolerance).await;
            let replayed = replayed.with_context(|| format!("answer {number}, to user {}", answer.user))?;
            count.add(number, &answer, replayed);
        }
    }
    println!("{}", count.in_words());
    ensure!(
        count.other == 0,
        "{} of {} answers are not made again as they were logged; what no digest names may have changed since: the manifest's settings, or \
         what the online store holds of users and items (--online-connection, --online-file)",
        count.other,
        count.all()
    );
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<LoggedAnswer>> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    let answers = serde_json::Deserializer::from_str(&text).into_iter::<LoggedAnswer>();
    let answers = (1..).zip(answers).map(|(number, answer)| {
        answer.with_context(|| {
            format!(
                "answer {number} in {} is no JSON of GET /v1/recommend",
                file.display()
            )
        })
    });
    let answers: Vec<_> = answers.collect::<Result<_, _>>()?;
    ensure!(!answers.is_empty(), "{} has no answers", file.display());
    Ok(answers)
}

/// Loads what made some answers.
async fn prepare(
    arguments: &Arguments,
    pipeline: &Pipeline,
    (variant, digests): &Maker,
) -> anyhow::Result<Replay> {
    let mut plan = pipeline.named(variant)?.for_scores();
    plan.bundles = wanted(arguments, &pipeline.store, digests)
        .await
        .with_context(|| format!("cannot find what variant {variant} served"))?;
    let models = loading::load_models(&arguments.store, &pipeline.store, &pipeline.name, &[plan]).await?;
    let models = models.into_iter().next().context("nothing was loaded")?;
    let variant = Arc::new(models.variant);
    let live = live(arguments, pipeline, &variant).await?;
    Ok(Replay::new(variant, live))
}

/// The bundles of these digests, by role, wherever they are: in the cache, or under any name in the store.
async fn wanted(
    arguments: &Arguments,
    store: &str,
    digests: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<WantedBundle>> {
    let parse = |(role, digest): (&String, &String)| -> anyhow::Result<(Role, Digest)> {
        let role = role.parse()?;
        let digest = digest.parse();
        let digest = digest.with_context(|| format!("{role} has no digest of a bundle"))?;
        Ok((role, digest))
    };
    let parsed: Vec<_> = digests.iter().map(parse).collect::<Result<_, _>>()?;
    let roles = parsed.into_iter().filter(|(role, _)| *role != Role::Similarity);
    let roles: Vec<(Role, Digest)> = roles.collect();
    let located = located(arguments, store, roles.iter().map(|(_, digest)| *digest)).await?;
    let wanted = |(role, digest): (Role, Digest)| {
        let reference = located.get(&digest).cloned();
        let reference = reference.with_context(|| {
            format!(
                "{store} has no bundle with the digest {digest}, which was the {role}; its version was deleted from the store, or is in another one \
                 (--store)"
            )
        })?;
        Ok(WantedBundle {
            role,
            reference,
            digest: Some(digest),
        })
    };
    roles.into_iter().map(wanted).collect()
}

async fn located(
    arguments: &Arguments,
    store: &str,
    digests: impl Iterator<Item = Digest>,
) -> anyhow::Result<BTreeMap<Digest, Reference>> {
    let cache = arguments.store.open_cache()?;
    let (mut located, mut elsewhere) = (BTreeMap::new(), BTreeSet::new());
    for digest in digests {
        match cache.find(digest).await {
            Some(folder) => {
                let manifest = folder.manifest;
                located.insert(digest, Reference::version(&manifest.name, &manifest.version)?);
            }
            None => {
                elsewhere.insert(digest);
            }
        }
    }
    if !elsewhere.is_empty() {
        let store: Store = arguments.store.open_store(store)?;
        located.extend(locate(&store, &elsewhere).await?);
    }
    Ok(located)
}

/// The online store, if one is named on the command line.
async fn live(
    arguments: &Arguments,
    pipeline: &Pipeline,
    variant: &Arc<Variant>,
) -> anyhow::Result<Option<Arc<Live<Variant>>>> {
    let metrics = OnlineMetrics::default();
    let online = match &arguments.online_file {
        Some(file) => {
            ensure!(
                file.is_file(),
                "there is no online store in {}; name the file of `up`",
                file.display()
            );
            arguments.online.file(file, &metrics)?
        }
        None if arguments.online.is_named() => {
            let (order, scope) = (pipeline.online.as_ref(), pipeline.scope());
            let access = arguments.store.access();
            let redis = arguments.online.redis(order, &scope, &access, &metrics);
            match redis.await? {
                Some(online) => online,
                None => return Ok(None),
            }
        }
        None => return Ok(None),
    };
    Ok(Some(online.start(vec![Arc::clone(variant)]).await?))
}

/// How many answers came out how.
#[derive(Default)]
struct Count {
    same: usize,
    other: usize,
    /// Those that the bundles did not make.
    not_theirs: usize,
    /// The largest difference of a number of those that are the same.
    apart: f32,
}

impl Count {
    fn add(&mut self, number: usize, answer: &LoggedAnswer, replayed: Replayed) {
        let LoggedAnswer { user, variant, .. } = answer;
        match replayed {
            Replayed::Same { apart } => {
                self.same += 1;
                self.apart = self.apart.max(apart);
            }
            Replayed::Other(difference) => {
                self.other += 1;
                println!("answer {number}, to user {user} by {variant}: {difference}");
            }
            Replayed::NotTheirs(degraded) => {
                self.not_theirs += 1;
                let degraded = degraded.as_str();
                println!(
                    "answer {number}, to user {user} by {variant}: not looked at, since it was degraded ({degraded})"
                );
            }
        }
    }

    fn all(&self) -> usize {
        self.same + self.other + self.not_theirs
    }

    fn in_words(&self) -> String {
        let numbers = match self.apart {
            0.0 => "every number to the last bit".to_owned(),
            apart => format!("numbers at most {apart:.1e} apart"),
        };
        format!(
            "{} of {} answers are the same again, {numbers}",
            self.same,
            self.all()
        )
    }
}
