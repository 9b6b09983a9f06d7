//! The experiment of a pipeline that runs on this machine: what operator and analyzer do in a cluster, in one loop.
//!
//! Each round reads the router's counts, analyzes events if it is time, makes a step, and applies it to the router.
//! Ledger and evidence are files, so that a program that is restarted continues. The page shows the same as the
//! operator's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwapOption;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use gondola_causes::with_causes;
use gondola_crds::experiment::Experiment;
use gondola_crds::experiment_status::ExperimentStatus;
use gondola_events::analysis::{Analyzer, Rounds, Rules};
use gondola_experiments::operations::TICK_SECONDS;
use gondola_experiments::page::{View, page};
use gondola_experiments::report::{self, sentence};
use gondola_experiments::settings::Settings;
use gondola_experiments::step::{Inputs, Routing, Step, step};
use gondola_router::experiment::Recording;
use gondola_router::recording::EventStoreArguments;
use gondola_router::watch::CurrentRouter;
use gondola_router::{Backend, Router};
use gondola_server::experimenter::Experimenter as _;
use gondola_wire::evidence::Evidence;
use gondola_wire::ledger::Ledger;
use gondola_wire::memory::{Ending, Memory};
use jiff::Timestamp;

/// What the experiment shares its users among.
pub(super) struct Served {
    pub(super) namespace: String,
    pub(super) pipeline: String,
    pub(super) control: String,
    pub(super) backends: Vec<Backend>,
}

/// The experiment of this machine's pipeline.
pub(super) struct LocalExperiment {
    settings: Settings,
    served: Served,
    router: Arc<CurrentRouter>,
    recording: Arc<Recording>,
    folder: PathBuf,
    analyzer: Analyzer,
    ledger: Option<Ledger>,
    evidence: Option<Evidence>,
    analyzed: Option<Instant>,
    rounds: Option<(Rules, Rounds)>,
    routing: Option<Routing>,
    shown: Arc<Shown>,
}

/// What the page shows.
#[derive(Default)]
struct Shown(ArcSwapOption<Snapshot>);

/// A step as people see it.
struct Snapshot {
    page: String,
    status: ExperimentStatus,
    evidence: Option<Evidence>,
}

impl LocalExperiment {
    /// Prepares an experiment whose records are in the folder of `store`.
    pub(super) fn new(
        experiment: &Experiment,
        served: Served,
        recording: Arc<Recording>,
        store: &EventStoreArguments,
    ) -> anyhow::Result<Self> {
        let settings = Settings::of(experiment).context("spec.experiment")?;
        let base = format!("{}/{}", served.namespace, served.pipeline);
        let folder = store.folder(&base);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot use {}", folder.display()))?;
        Ok(Self {
            analyzer: Analyzer::new(store.open()?, base, folder.clone()),
            ledger: read(&folder.join("ledger.json")),
            evidence: read(&folder.join("evidence.json")),
            settings,
            served,
            router: Arc::default(),
            recording,
            folder,
            analyzed: None,
            rounds: None,
            routing: None,
            shown: Arc::default(),
        })
    }

    /// Makes the first step, so that there is a router; gives it.
    pub(super) fn open(&mut self) -> anyhow::Result<Arc<CurrentRouter>> {
        self.step()?;
        Ok(Arc::clone(&self.router))
    }

    /// The page, and status and sums as JSON.
    pub(super) fn pages(&self) -> axum::Router {
        axum::Router::new()
            .route("/", get(show_page))
            .route("/status.json", get(show_status))
            .route("/statistics.json", get(show_sums))
            .with_state(Arc::clone(&self.shown))
    }

    /// One round after the other, for as long as it is polled.
    pub(super) async fn run(mut self) {
        let wait = self
            .settings
            .cadence
            .analysis
            .min(Duration::from_secs(TICK_SECONDS));
        loop {
            tokio::time::sleep(wait).await;
            if let Err(error) = self.round().await {
                tracing::warn!(error = format!("{error:#}"), "a round of the experiment failed");
            }
        }
    }

    async fn round(&mut self) -> anyhow::Result<()> {
        self.observe();
        if self
            .analyzed
            .is_none_or(|made| made.elapsed() >= self.settings.cadence.analysis)
            && let Some((rules, _)) = &self.rounds
        {
            let now = Timestamp::now();
            self.evidence = Some(self.analyzer.analyze(rules, now).await?);
            self.analyzed = Some(Instant::now());
        }
        if let (Some((_, rounds)), Some(evidence)) = (&self.rounds, &mut self.evidence) {
            rounds.complete(evidence);
            write(&self.folder.join("evidence.json"), evidence)?;
        }
        self.step()
    }

    /// Asks the router what its arms did.
    fn observe(&mut self) {
        let Some(ledger) = &self.ledger else { return };
        let Some(started) = ledger.started_at else { return };
        let goes_on = |rules: &Rules| rules.epoch == ledger.epoch && rules.experiment == ledger.experiment;
        if !self.rounds.as_ref().is_some_and(|(rules, _)| goes_on(rules)) {
            let rules = Rules::new(&self.settings, ledger.epoch, started);
            let rounds = Rounds::new(&rules, self.evidence.as_ref());
            self.rounds = Some((rules, rounds));
        }
        if let Some((_, rounds)) = &mut self.rounds {
            let said = vec![("local".to_owned(), self.router.report())];
            rounds.observe(said, &self.settings.operations);
        }
    }

    fn step(&mut self) -> anyhow::Result<()> {
        let names = self.served.backends.iter().map(|backend| backend.name.clone());
        let ready: BTreeSet<String> = names.collect();
        let inputs = Inputs {
            now: Timestamp::now(),
            namespace: &self.served.namespace,
            pipeline: &self.served.pipeline,
            ready: &ready,
            routers: 1,
            only_weighted_variant: None,
            evidence: self.evidence.as_ref(),
            memory: Some(&self.memory()),
            served: None,
            suspended: false,
        };
        let step = step(&self.settings, self.ledger.as_ref(), &inputs);
        // What is decided is remembered before anybody acts on it.
        if self.ledger.as_ref() != Some(&step.ledger) {
            write(&self.folder.join("ledger.json"), &step.ledger)?;
            let said = sentence(&self.settings, &step);
            tracing::info!(
                phase = step.ledger.phase.as_str(),
                stage = step.ledger.stage,
                said,
                "experiment"
            );
        }
        if self.routing.as_ref() != Some(&step.routing) {
            self.router.set(self.router_of(&step.routing)?);
            self.routing = Some(step.routing.clone());
        }
        self.show(&step);
        self.ledger = Some(step.ledger);
        Ok(())
    }

    /// What is remembered of how it ended: the ledger's own file is in the same folder as the events.
    fn memory(&self) -> Memory {
        Memory {
            ending: self.ledger.as_ref().and_then(Ending::of),
            ..Memory::nothing(&self.settings.name)
        }
    }

    fn router_of(&self, routing: &Routing) -> anyhow::Result<Router> {
        let Served {
            namespace,
            pipeline,
            control,
            backends,
        } = &self.served;
        let mut backends = backends.clone();
        if let Routing::Everybody(variant) = routing {
            for backend in &mut backends {
                backend.weight = u32::from(backend.name == *variant);
            }
        }
        let router = Router::new(namespace, pipeline, control, backends)?;
        Ok(match routing {
            Routing::Experiment(routes) => router.with_experiment(routes, Arc::clone(&self.recording))?,
            Routing::Everybody(_) => router.with_recording(Arc::clone(&self.recording)),
        })
    }

    fn show(&self, step: &Step) {
        let page = page(&View {
            pipeline: &format!("{}/{}", self.served.namespace, self.served.pipeline),
            settings: &self.settings,
            step,
            evidence: self.evidence.as_ref(),
            now: Timestamp::now(),
            statistics: "statistics.json",
        });
        self.shown.0.store(Some(Arc::new(Snapshot {
            page,
            status: report::status(&self.settings, step, self.evidence.as_ref()),
            evidence: self.evidence.clone(),
        })));
    }
}

async fn show_page(State(shown): State<Arc<Shown>>) -> Response {
    answer(&shown, |snapshot| Some(Html(snapshot.page.clone())))
}

async fn show_status(State(shown): State<Arc<Shown>>) -> Response {
    answer(&shown, |snapshot| Some(Json(snapshot.status.clone())))
}

async fn show_sums(State(shown): State<Arc<Shown>>) -> Response {
    answer(&shown, |snapshot| snapshot.evidence.clone().map(Json))
}

fn answer<R: IntoResponse>(shown: &Shown, of: impl Fn(&Snapshot) -> Option<R>) -> Response {
    match shown.0.load().as_deref().and_then(of) {
        Some(found) => found.into_response(),
        None => (StatusCode::NOT_FOUND, "nothing was analyzed yet\n").into_response(),
    }
}

/// What was written before; nothing where it can't be read, which is as if there had been nothing.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let text = std::fs::read_to_string(path).ok()?;
    serde_json::from_str(&text)
        .inspect_err(
            |error| tracing::warn!(path = %path.display(), error = with_causes(error), "is not as it should be, and not used"),
        )
        .ok()
}

/// Writes a new file, and atomically replaces the old one.
fn write(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, serde_json::to_vec(value)?)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
