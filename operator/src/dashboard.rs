//! The dashboard: a read-only page for each experiment, and gauges for Prometheus. Everybody sees the experiments of the
//! namespaces whose pipelines they may read ([`visitor`]).
//!
//! Pages are rendered on request, from the caches, by the same pure step as in a pass. A standby operator has no caches,
//! and says so.

mod gauges;
pub mod visitor;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use gondola_crds::RecommenderPipeline;
use gondola_experiments::page::{Entry, View, index, page};
use gondola_experiments::report::sentence;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt};

use crate::caches::{Caches, Guarded};
use crate::observe;
use crate::pipeline::Pipeline;
use crate::plan::experiment::{Planned, planned};
use visitor::{Refusal, Visitor};

/// The source of the pages, once this operator leads.
#[derive(Clone, Default)]
pub struct Dashboard(Arc<OnceLock<(Caches, Client)>>);

/// A pipeline with an experiment, and the step that it would make now.
struct Shown {
    pipeline: Pipeline,
    planned: Planned,
    now: Timestamp,
}

impl Dashboard {
    /// Makes the caches available to the pages.
    pub fn open(&self, caches: Caches, client: Client) {
        let _ = self.0.set((caches, client));
    }

    fn opened(&self) -> Result<&(Caches, Client), Unseen> {
        self.0.get().ok_or(Unseen::StandsBy)
    }

    /// The experiments of all namespaces that a visitor may see.
    async fn experiments(&self, headers: &HeaderMap) -> Result<Vec<Shown>, Unseen> {
        let (caches, client) = self.opened()?;
        let visitor = Visitor::of(client, headers).await?;
        let pipelines = caches.pipelines.state();
        let with = pipelines.iter().filter_map(|pipeline| pipeline.0.as_ref().ok());
        let with: Vec<_> = with
            .filter(|pipeline| pipeline.spec.experiment.is_some())
            .collect();
        let namespaces: BTreeSet<String> = with.iter().filter_map(|pipeline| pipeline.namespace()).collect();
        let seen = visitor.of_namespaces(namespaces).await?;
        let mut found: Vec<Shown> = with
            .into_iter()
            .filter(|pipeline| {
                pipeline
                    .namespace()
                    .is_some_and(|namespace| seen.contains(&namespace))
            })
            .filter_map(|pipeline| step_of(caches, pipeline))
            .collect();
        found.sort_by_key(|shown| shown.pipeline.names.to_string());
        Ok(found)
    }

    /// One experiment, if a visitor may see it.
    async fn experiment(&self, namespace: &str, name: &str, headers: &HeaderMap) -> Result<Shown, Unseen> {
        let (caches, client) = self.opened()?;
        Visitor::of(client, headers)
            .await?
            .may_see(Some(namespace))
            .await?;
        let key: ObjectRef<Guarded> = ObjectRef::new(name).within(namespace);
        let pipeline = caches.pipelines.get(&key);
        let shown = pipeline.and_then(|pipeline| step_of(caches, pipeline.0.as_ref().ok()?));
        shown.ok_or_else(|| Unseen::Nothing(format!("{namespace}/{name}")))
    }
}

/// Why nothing is shown.
enum Unseen {
    StandsBy,
    Refused(Refusal),
    Nothing(String),
}

impl From<Refusal> for Unseen {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl IntoResponse for Unseen {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::StandsBy => {
                let message = "this operator is on standby; ask the leader\n";
                (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
            }
            Self::Nothing(pipeline) => {
                let message = format!("pipeline {pipeline} has no experiment to show; see /experiments\n");
                (StatusCode::NOT_FOUND, message).into_response()
            }
        }
    }
}

/// A pipeline with the step that its experiment would make now, if it has one that can be run.
fn step_of(caches: &Caches, pipeline: &RecommenderPipeline) -> Option<Shown> {
    pipeline.spec.experiment.as_ref()?;
    let pipeline = Pipeline::try_from(pipeline).ok()?;
    let now = Timestamp::now();
    // Nothing is started here, so it doesn't matter which bundles are served.
    let planned = planned(&pipeline, &observe::cached(caches, &pipeline, now), &[])?.ok()?;
    Some(Shown {
        pipeline,
        planned,
        now,
    })
}

/// `/experiments`, a page and the sums of each below it, and gauges of all.
pub fn router(dashboard: Dashboard) -> Router {
    Router::new()
        .route("/experiments", get(show_all))
        .route("/experiments/metrics", get(metrics))
        .route("/experiments/{namespace}/{name}", get(show))
        .route("/experiments/{namespace}/{name}/statistics.json", get(statistics))
        .with_state(dashboard)
}

async fn show_all(State(dashboard): State<Dashboard>, headers: HeaderMap) -> Result<Response, Unseen> {
    let entry = |Shown {
                     pipeline, planned, ..
                 }: Shown| Entry {
        link: format!("/experiments/{}", pipeline.names),
        pipeline: pipeline.names.to_string(),
        name: planned.settings.name.clone(),
        phase: planned.step.ledger.phase.as_str(),
        sentence: sentence(&planned.settings, &planned.step),
    };
    let experiments = dashboard.experiments(&headers).await?;
    let entries: Vec<Entry> = experiments.into_iter().map(entry).collect();
    Ok(Html(index(&entries)).into_response())
}

async fn metrics(State(dashboard): State<Dashboard>, headers: HeaderMap) -> Result<Response, Unseen> {
    let experiments = dashboard.experiments(&headers).await?;
    Ok(gauges::text(&experiments).into_response())
}

async fn show(
    State(dashboard): State<Dashboard>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Unseen> {
    let shown = dashboard.experiment(&namespace, &name, &headers).await?;
    let page = page(&View {
        pipeline: &shown.pipeline.names.to_string(),
        settings: &shown.planned.settings,
        step: &shown.planned.step,
        evidence: shown.planned.evidence.as_ref(),
        now: shown.now,
        statistics: &format!("/experiments/{namespace}/{name}/statistics.json"),
    });
    Ok(Html(page).into_response())
}

async fn statistics(
    State(dashboard): State<Dashboard>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Unseen> {
    let shown = dashboard.experiment(&namespace, &name, &headers).await?;
    let text = shown
        .planned
        .evidence
        .and_then(|evidence| serde_json::to_string(&evidence).ok());
    let nothing = Unseen::Nothing(format!("{namespace}/{name}"));
    let text = text.ok_or(nothing)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}
