//! What people see of experiments without kubectl: a page for each, read-only, and gauges for Prometheus.
//!
//! Pages are made when somebody asks, from what the caches hold, by the same pure step as a pass makes. Who stands by for the leader
//! has no caches, and says so.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use gondola_crds::RecommenderPipeline;
use gondola_experiments::page::{Entry, View, index, page};
use gondola_experiments::report::sentence;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::caches::Caches;
use crate::plan::experiment::{Planned, planned};

/// What pages are made from, once this operator leads.
#[derive(Clone, Default)]
pub struct Dashboard(Arc<OnceLock<Caches>>);

impl Dashboard {
    /// From now on there is something to show.
    pub fn open(&self, caches: Caches) {
        let _ = self.0.set(caches);
    }

    /// The pipelines that have an experiment, with it.
    fn experiments(&self) -> Option<Vec<(Arc<RecommenderPipeline>, Planned)>> {
        let caches = self.0.get()?;
        let pipelines = caches.pipelines.state().into_iter();
        let mut found: Vec<_> = pipelines
            .filter_map(|pipeline| with_experiment(caches, pipeline))
            .collect();
        found.sort_by_key(|(pipeline, _)| name_of(pipeline));
        Some(found)
    }

    fn experiment(&self, namespace: &str, name: &str) -> Option<(Arc<RecommenderPipeline>, Planned)> {
        let caches = self.0.get()?;
        let pipeline = ObjectRef::new(name).within(namespace);
        with_experiment(caches, caches.pipelines.get(&pipeline)?)
    }

    /// Gauges of all experiments, in Prometheus' text form.
    pub fn metrics(&self) -> String {
        let experiments = self.experiments().unwrap_or_default();
        let mut text = String::new();
        for (name, help) in GAUGES {
            let _ = writeln!(text, "# HELP gondola_experiment_{name} {help}");
            let _ = writeln!(text, "# TYPE gondola_experiment_{name} gauge");
            for (pipeline, planned) in &experiments {
                for (labels, value) in samples(name, planned) {
                    // Names have no character that would need a backslash.
                    let _ = writeln!(
                        text,
                        "gondola_experiment_{name}{{namespace=\"{}\",pipeline=\"{}\",experiment=\"{}\"{labels}}} {value}",
                        pipeline.namespace().unwrap_or_default(),
                        pipeline.name_any(),
                        planned.settings.name,
                    );
                }
            }
        }
        text
    }
}

/// A pipeline with the step that its experiment would make now, if it has one that can be run.
fn with_experiment(
    caches: &Caches,
    pipeline: Arc<RecommenderPipeline>,
) -> Option<(Arc<RecommenderPipeline>, Planned)> {
    let planned = planned(&pipeline, &caches.observe(&pipeline, true))?.ok()?;
    Some((pipeline, planned))
}

/// Gauges and what they mean.
const GAUGES: [(&str, &str); 6] = [
    ("traffic_ratio", "Share of users who take part"),
    ("units", "Users of an arm who were exposed"),
    ("lift_ratio", "Relative improvement of an arm over the control"),
    (
        "lift_low_ratio",
        "Lower end of the interval of the lift, valid at any time",
    ),
    (
        "lift_high_ratio",
        "Upper end of the interval of the lift, valid at any time",
    ),
    (
        "sample_ratio_p",
        "Smallest p of the test that users are shared as planned",
    ),
];

fn samples(gauge: &str, planned: &Planned) -> Vec<(String, f64)> {
    let Planned {
        settings,
        step,
        evidence,
    } = planned;
    let of_experiment = |value: f64| vec![(String::new(), value)];
    let assessment = step.assessment.as_ref();
    let comparisons = assessment.iter().flat_map(|assessment| &assessment.success);
    let labelled = |arm: usize, metric: &str| format!(",arm=\"{}\",metric=\"{metric}\"", settings.arms[arm]);
    match gauge {
        "traffic_ratio" => match &step.routing {
            gondola_experiments::step::Routing::Experiment(routes) => {
                of_experiment(f64::from(routes.traffic_buckets) / 10_000.0)
            }
            gondola_experiments::step::Routing::Everybody(_) => of_experiment(0.0),
        },
        "units" => evidence
            .iter()
            .flat_map(|evidence| &evidence.arms)
            .map(|arm| (format!(",arm=\"{}\"", arm.name), arm.units as f64))
            .collect(),
        "sample_ratio_p" => assessment
            .map(|assessment| of_experiment(assessment.sample_ratio.p))
            .unwrap_or_default(),
        "lift_ratio" => comparisons
            .filter_map(|comparison| {
                let lift = comparison.latest?.lift?;
                Some((labelled(comparison.arm, &comparison.metric), lift))
            })
            .collect(),
        end => comparisons
            .filter_map(|comparison| {
                let interval = comparison.interval?;
                let value = if end == "lift_low_ratio" {
                    interval.low
                } else {
                    interval.high
                };
                Some((labelled(comparison.arm, &comparison.metric), value))
            })
            .collect(),
    }
}

/// `/experiments`, and a page and the sums of each below it.
pub fn router(dashboard: Dashboard) -> Router {
    Router::new()
        .route("/experiments", get(show_all))
        .route("/experiments/{namespace}/{name}", get(show))
        .route("/experiments/{namespace}/{name}/statistics.json", get(statistics))
        .with_state(dashboard)
}

async fn show_all(State(dashboard): State<Dashboard>) -> Response {
    let Some(experiments) = dashboard.experiments() else {
        return stands_by();
    };
    let entry = |(pipeline, planned): (Arc<RecommenderPipeline>, Planned)| Entry {
        link: format!("/experiments/{}", name_of(&pipeline)),
        pipeline: name_of(&pipeline),
        name: planned.settings.name.clone(),
        phase: planned.step.ledger.phase.as_str(),
        sentence: sentence(&planned.settings, &planned.step),
    };
    let entries: Vec<Entry> = experiments.into_iter().map(entry).collect();
    Html(index(&entries)).into_response()
}

async fn show(
    State(dashboard): State<Dashboard>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    if dashboard.0.get().is_none() {
        return stands_by();
    }
    let Some((pipeline, planned)) = dashboard.experiment(&namespace, &name) else {
        return nothing(&namespace, &name);
    };
    let page = page(&View {
        pipeline: &name_of(&pipeline),
        settings: &planned.settings,
        step: &planned.step,
        evidence: planned.evidence.as_ref(),
        now: k8s_openapi::jiff::Timestamp::now().into(),
        statistics: &format!("/experiments/{namespace}/{name}/statistics.json"),
    });
    Html(page).into_response()
}

async fn statistics(
    State(dashboard): State<Dashboard>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let found = dashboard.experiment(&namespace, &name);
    let text = found.and_then(|(_, planned)| serde_json::to_string(&planned.evidence?).ok());
    match text {
        Some(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        None => nothing(&namespace, &name),
    }
}

fn stands_by() -> Response {
    let message = "this operator stands by for the one that leads; ask that one\n";
    (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
}

fn nothing(namespace: &str, name: &str) -> Response {
    let message = format!("pipeline {namespace}/{name} has no experiment to show; see /experiments\n");
    (StatusCode::NOT_FOUND, message).into_response()
}

fn name_of(pipeline: &RecommenderPipeline) -> String {
    format!(
        "{}/{}",
        pipeline.namespace().unwrap_or_default(),
        pipeline.name_any()
    )
}
