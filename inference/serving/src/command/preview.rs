//! `preview`: what a variant would bring, by traffic that was logged under another.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use futures::TryStreamExt as _;
use gondola_artifacts::{Reference, Store};
use gondola_crds::experiment::MetricKind;
use gondola_events::answers::{Followed, Log, Unit};
use gondola_events::place::Kind;
use gondola_events::table::TableError;
use gondola_events::unit::{UnitHash, UnitKey};
use gondola_experiments::off_policy::Rules;
use gondola_experiments::settings::{MetricSettings, Settings};
use gondola_models::ordering::Places;
use gondola_models::pipeline::Variant;
use gondola_request::{ItemId, UserId};
use gondola_router::recording::EventStoreArguments;
use gondola_serving::compute::ComputeSettings;
use gondola_serving::preview::preview_metric;
use gondola_serving::preview::report::{Answers, MetricOutcome, Report};
use gondola_serving::preview::rounds::{NOBODY, Shown};
use gondola_wire::role::Role;
use gondola_wire::variables;
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use tokio::task::spawn_blocking;

use super::bundles::BundleArguments;
use super::loading::{self, Models};
use super::manifest::{Pipeline, VariantPlan};

/// Arguments of `preview`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline's manifest, with the experiment whose traffic was logged.
    #[arg(long, short, env = variables::FILE)]
    file: PathBuf,
    /// The variant of the manifest that is previewed. It need not be an arm.
    #[arg(long)]
    variant: String,
    /// Another bundle for it, as ROLE=REFERENCE, for example scorer=forest@canary; may be given for several roles.
    #[arg(long = "bundle", value_parser = other_bundle)]
    bundles: Vec<(Role, Reference)>,
    /// The number of the epoch.
    #[arg(long, default_value_t = 1)]
    epoch: u32,
    /// Only answers to units of this arm; default: of every arm whose order was drawn.
    #[arg(long)]
    arm: Option<String>,
    /// The file, or a folder with the file unit-key, of the key that ids were hashed with.
    #[arg(long, env = variables::UNIT_KEY)]
    unit_key: PathBuf,
    /// How many places of an answer count, from the first on; default: all that were logged. Fewer have more overlap.
    #[arg(long)]
    places: Option<NonZeroUsize>,
    /// Weights are cut to this.
    #[arg(long, default_value_t = Rules::default().max_weight)]
    max_weight: f64,
    /// The most users that are taken, by the order of their hashes, which is chance's.
    #[arg(long, default_value_t = 20_000)]
    users: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Number of threads; default: the number of cores.
    #[arg(long, env = variables::THREADS)]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    events: EventStoreArguments,
    #[command(flatten)]
    store: BundleArguments,
}

fn other_bundle(text: &str) -> Result<(Role, Reference), String> {
    let (role, reference) = text
        .split_once('=')
        .ok_or("give ROLE=REFERENCE, for example scorer=forest@canary")?;
    let role = role.parse::<Role>().map_err(|error| error.to_string())?;
    let reference = reference
        .parse::<Reference>()
        .map_err(|error| error.to_string())?;
    Ok((role, reference))
}

/// Prints what the log says of the variant.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let pipeline = Pipeline::written(&arguments.file, arguments.store.store.clone())?;
    let file = arguments.file.display();
    let experiment = pipeline
        .experiment
        .as_ref()
        .with_context(|| format!("{file} has no spec.experiment; add the one whose traffic was logged"))?;
    let settings = Settings::of(experiment)?;
    let plan = plan(&pipeline, &arguments)?;
    let key = UnitKey::read(&arguments.unit_key)?;
    let log = read_log(&arguments, &pipeline.scope(), &settings, &experiment.store.url).await?;
    let models = loading::load_models(&arguments.store, &pipeline.store, &pipeline.name, &[plan]).await?;
    let models = models.into_iter().next().context("nothing was loaded")?;
    let json = arguments.json;
    let about = About {
        pipeline: pipeline.scope(),
        settings,
        key,
        arguments,
    };
    let report = spawn_blocking(move || judge(&about, &log, &models)).await??;
    match json {
        true => println!("{:#}", report.json()),
        false => print!("{report}"),
    }
    Ok(())
}

/// What is asked.
struct About {
    /// `namespace/name`.
    pipeline: String,
    settings: Settings,
    key: UnitKey,
    arguments: Arguments,
}

/// The variant, with the bundles that it is to have, and on the processor.
fn plan(pipeline: &Pipeline, arguments: &Arguments) -> anyhow::Result<VariantPlan> {
    let mut plan = pipeline.named(&arguments.variant)?.for_scores();
    for (role, reference) in &arguments.bundles {
        let roles: Vec<String> = plan
            .bundles
            .iter()
            .map(|bundle| bundle.role.to_string())
            .collect();
        let bundle = plan.bundles.iter_mut().find(|bundle| bundle.role == *role);
        let bundle = bundle.with_context(|| {
            format!(
                "variant {} has no bundle of the role {role}; it has {}",
                arguments.variant,
                roles.join(", ")
            )
        })?;
        bundle.reference = reference.clone();
    }
    Ok(plan)
}

/// Reads every answer of the epoch, then what their units did.
async fn read_log(
    arguments: &Arguments,
    base: &str,
    settings: &Settings,
    usual_url: &str,
) -> anyhow::Result<Log> {
    let mut events = arguments.events.clone();
    events.events_url.get_or_insert_with(|| usual_url.to_owned());
    let store = events.open()?;
    let mut log = Log::default();
    let exposures = Kind::Exposures {
        experiment: settings.name.clone(),
        epoch: arguments.epoch,
    };
    let arm = arguments.arm.as_deref();
    each_file(&store, base, &exposures, |file| log.take_exposures(file, arm)).await?;
    check_drawn(&log, arguments, base, settings, store.url())?;
    let kinds: Vec<Arc<str>> = settings
        .metrics()
        .map(|metric| metric.outcome.as_str().into())
        .collect();
    each_file(&store, base, &Kind::Outcomes, |file| {
        log.take_outcomes(file, &kinds)
    })
    .await?;
    Ok(log)
}

async fn each_file(
    store: &Store,
    base: &str,
    kind: &Kind,
    mut take: impl FnMut(bytes::Bytes) -> Result<(), TableError>,
) -> anyhow::Result<()> {
    let folder = store.path(&format!("{base}/{}", kind.folder()));
    let cannot = || format!("cannot read {folder} in {}", store.url());
    let listed: Vec<_> = store
        .objects()
        .list(Some(&folder))
        .try_collect()
        .await
        .with_context(cannot)?;
    for file in listed {
        let found = store.objects().get(&file.location).await.with_context(cannot)?;
        let bytes = found.bytes().await.with_context(cannot)?;
        take(bytes).with_context(|| format!("cannot read {}", file.location))?;
    }
    Ok(())
}

fn check_drawn(
    log: &Log,
    arguments: &Arguments,
    base: &str,
    settings: &Settings,
    url: &str,
) -> anyhow::Result<()> {
    let (name, epoch) = (&settings.name, arguments.epoch);
    let of_arm = arguments
        .arm
        .as_ref()
        .map(|arm| format!(" to units of arm {arm}"))
        .unwrap_or_default();
    ensure!(
        log.drawn + log.not_drawn > 0,
        "{url} has no exposures{of_arm} of experiment {name}, epoch {epoch}, of pipeline {base}; name another --epoch, --arm or \
         --events-url, or wait until routers upload them"
    );
    ensure!(
        log.drawn > 0,
        "none of the {} exposures{of_arm} of experiment {name}, epoch {epoch}, has propensities, since their orders were not drawn by \
         chance; set spec.ordering.sampling, log for a while, and preview then",
        log.not_drawn
    );
    Ok(())
}

/// A unit whose user is known, and what the new variant makes of their answers.
struct Chosen<'a> {
    /// Tells it from other units.
    number: u64,
    unit: &'a Unit,
    /// By answer, the items' rows in the new variant's catalog.
    rows: Vec<Vec<u32>>,
    /// By answer.
    places: Vec<Places>,
}

fn judge(about: &About, log: &Log, models: &Models) -> anyhow::Result<Report> {
    let arguments = &about.arguments;
    let mut users = users(log, &models.variant, &about.key)?;
    let known = answers_of(users.iter().map(|(_, unit, _)| *unit));
    users.truncate(arguments.users.max(1));
    let taken = answers_of(users.iter().map(|(_, unit, _)| *unit));
    let threads = arguments.threads.unwrap_or(ComputeSettings::default().threads);
    let chosen = choose_all(&users, log, &models.variant, arguments.places, threads);
    let answered = answers_of(chosen.iter().map(|chosen| chosen.unit));
    let metrics: Vec<MetricOutcome> = about
        .settings
        .metrics()
        .map(|metric| outcome(metric, &chosen, about))
        .collect();
    Ok(Report {
        pipeline: about.pipeline.clone(),
        experiment: about.settings.name.clone(),
        epoch: arguments.epoch,
        arm: arguments.arm.clone(),
        variant: arguments.variant.clone(),
        bundles: models
            .described
            .iter()
            .map(|(role, bundle)| (role.clone(), format!("{} {}", bundle.reference, bundle.version)))
            .collect(),
        answers: Answers {
            logged: log.drawn + log.not_drawn,
            not_drawn: log.not_drawn,
            unknown: log.drawn - known,
            beyond: known - taken,
            failed: taken - answered,
            units: chosen.len(),
        },
        metrics,
        max_weight: arguments.max_weight,
    })
}

type Known<'a> = (UnitHash, &'a Unit, UserId);

/// The units whose users are in the features bundle, by the hashes of their ids.
fn users<'a>(log: &'a Log, variant: &Variant, key: &UnitKey) -> anyhow::Result<Vec<Known<'a>>> {
    let table = variant.users().table();
    let rows: HashMap<UnitHash, usize> = (0..table.len())
        .map(|row| (key.hash(table.id(row)), row))
        .collect();
    let known = log.units().filter_map(|(hash, unit)| {
        let row = rows.get(&hash)?;
        Some((hash, unit, UserId::from(table.id(*row))))
    });
    let known: Vec<Known<'_>> = known.collect();
    if known.is_empty() {
        bail!(
            "none of the {} units is one of the {} users of the features bundle; give the key that ids were hashed with (--unit-key), and \
             preview experiments whose units are users, without unit.header",
            log.units().len(),
            table.len()
        );
    }
    Ok(known)
}

fn answers_of<'a>(units: impl Iterator<Item = &'a Unit>) -> usize {
    units.map(|unit| unit.answers.len()).sum()
}

/// What the variant makes of the answers of each; those for whom it fails are left out.
fn choose_all<'a>(
    users: &[Known<'a>],
    log: &Log,
    variant: &Variant,
    places: Option<NonZeroUsize>,
    threads: NonZeroUsize,
) -> Vec<Chosen<'a>> {
    let rows = rows(log, variant);
    let choose = |(hash, unit, user): &Known<'a>| choose(*hash, unit, user, &rows, variant, places);
    let together = users.len().div_ceil(threads.get()).max(1);
    std::thread::scope(|scope| {
        let started: Vec<_> = users
            .chunks(together)
            .map(|some| scope.spawn(|| some.iter().filter_map(choose).collect::<Vec<_>>()))
            .collect();
        let done = started.into_iter().map(|thread| match thread.join() {
            Ok(chosen) => chosen,
            Err(broken) => std::panic::resume_unwind(broken),
        });
        done.flatten().collect()
    })
}

/// The row of each item of the log in the new variant's catalog.
fn rows(log: &Log, variant: &Variant) -> Vec<u32> {
    let items = variant.items().view();
    let row = |item: &Arc<str>| items.find(&ItemId::from(&**item)).unwrap_or(NOBODY);
    log.items().iter().map(row).collect()
}

fn choose<'a>(
    hash: UnitHash,
    unit: &'a Unit,
    user: &UserId,
    rows: &[u32],
    variant: &Variant,
    places: Option<NonZeroUsize>,
) -> Option<Chosen<'a>> {
    let counted = places.map_or(usize::MAX, NonZeroUsize::get);
    let listed = unit.answers.iter().map(|answer| {
        let shown = answer.items.iter().take(counted);
        shown.map(|item| rows[*item as usize]).collect()
    });
    let listed: Vec<Vec<u32>> = listed.collect();
    let chosen = variant.choices(user, None, &listed);
    let chosen = chosen.inspect_err(
        |error| tracing::warn!(%error, "the variant fails for a user; their answers are left out"),
    );
    Some(Chosen {
        number: hash.short(),
        unit,
        places: chosen.ok()?,
        rows: listed,
    })
}

fn outcome(metric: &MetricSettings, chosen: &[Chosen<'_>], about: &About) -> MetricOutcome {
    let (now, lateness) = (Timestamp::now(), about.settings.cadence.lateness);
    let followed: Vec<_> = chosen
        .iter()
        .map(|chosen| chosen.unit.followed(metric, now, lateness))
        .collect();
    let mut shown = Vec::new();
    for (chosen, followed) in chosen.iter().zip(&followed) {
        for (answer, rewards) in &followed.rewards {
            let counted = chosen.rows[*answer].len();
            shown.push(Shown {
                unit: chosen.number,
                rows: &chosen.rows[*answer],
                chances: &chosen.unit.answers[*answer].chances[..counted],
                rewards: &rewards[..counted],
                places: &chosen.places[*answer],
            });
        }
    }
    let rules = Rules {
        max_weight: about.arguments.max_weight,
        ..Rules::default()
    };
    let said = match metric.kind {
        MetricKind::Ratio => Err(
            "a Ratio is not previewed; make metrics of what it divides, such as a Count of each".to_owned(),
        ),
        _ => match preview_metric(metric, &shown, &rules) {
            Ok(Some(report)) => Ok(report),
            Ok(None) => Err(
                "no answer's window is over yet, so that nothing is known of what followed; wait for it"
                    .to_owned(),
            ),
            Err(error) => Err(error.to_string()),
        },
    };
    let sum = |count: fn(&Followed) -> usize| followed.iter().map(count).sum::<usize>();
    MetricOutcome {
        name: metric.name.clone(),
        young: sum(|followed| followed.young),
        not_shown: sum(|followed| followed.not_shown),
        without_answer: sum(|followed| followed.without_answer),
        said,
    }
}
