//! One pass over one pipeline: observe, plan, apply, report.

use std::sync::Arc;
use std::time::Duration;

use gondola_causes::with_causes;
use gondola_wire::time::since;
use k8s_openapi::jiff::Timestamp;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use kube::{Client, Resource, ResourceExt};

use crate::apply::admission::Admission;
use crate::apply::failure::Failure;
use crate::apply::status::{self, StatusOutcome};
use crate::apply::{self, Applied};
use crate::backoff::Backoff;
use crate::caches::{Caches, Guarded};
use crate::events::{self, Events};
use crate::finding::Finding;
use crate::metrics::Metrics;
use crate::observed::Observed;
use crate::pipeline::{Pipeline, PipelineError};
use crate::plan::{Installation, Plan};
use crate::{observe, plan, report};

/// A pass that takes longer is aborted and retried: it makes a few dozen requests of a few seconds at most.
const MAX_PASS: Duration = Duration::from_secs(60);
/// By this time, out-of-date caches have most likely caught up.
const CATCH_UP: Duration = Duration::from_millis(500);
/// Interval for looking again at pods that wait without a reason in their status: events of pods are not watched.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The dependencies of a pass.
pub struct Context {
    /// Writes only while this operator leads.
    pub client: Client,
    /// What is there.
    pub caches: Caches,
    /// Settings for all pipelines.
    pub installation: Installation,
    /// What the cluster's admission changes about our objects.
    pub admission: Admission,
    /// Publishes Kubernetes Events.
    pub events: Events,
    /// How long a failed pipeline waits.
    pub backoff: Backoff,
    /// The operator's metrics.
    pub metrics: Metrics,
}

/// Why a pass has to be retried.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// It is not an object of the API server.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// It took too long.
    #[error("the pass did not end within {MAX_PASS:?}")]
    TooLong,
    /// An object could not be applied; the status says which.
    #[error(transparent)]
    Incomplete(#[from] Failure),
    /// The status could not be written.
    #[error("the status could not be written")]
    Status(#[source] Box<kube::Error>),
}

/// Brings one pipeline a step closer to its spec, and writes its status.
///
/// Runs from scratch: nothing depends on why it was called, or on how far an earlier pass came.
pub async fn reconcile(pipeline: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let _timer = context.metrics.pass();
    let pass = async {
        match &pipeline.0 {
            // All objects of ours have an owner, and are deleted with it.
            Ok(pipeline) if pipeline.meta().deletion_timestamp.is_some() => Ok(Action::await_change()),
            Ok(pipeline) => pass(&Pipeline::try_from(pipeline)?, &context).await,
            Err(invalid) => report_invalid(invalid, &context).await,
        }
    };
    tokio::time::timeout(MAX_PASS, pass)
        .await
        .unwrap_or(Err(ReconcileError::TooLong))
}

async fn pass(pipeline: &Pipeline, context: &Context) -> Result<Action, ReconcileError> {
    let observed = observe::pipeline(&context.client, &context.caches, pipeline).await;
    let plan = plan::plan(pipeline, &observed, &context.installation);
    let applied = apply(pipeline, &plan, &observed, context).await;
    context.metrics.wrote(applied.writes());
    if applied.is_outdated() {
        return Ok(Action::requeue(CATCH_UP));
    }
    let report = report::report(pipeline, &observed, &plan, &applied);
    let outcome = status::write(&context.client, pipeline, &report.status)
        .await
        .map_err(|error| ReconcileError::Status(Box::new(error)))?;
    match outcome {
        StatusOutcome::Outdated => return Ok(Action::requeue(CATCH_UP)),
        StatusOutcome::Unchanged => {}
        StatusOutcome::Written => {
            context.metrics.wrote(1);
            tell_changes(pipeline, &report.findings, context).await;
        }
    }
    next_look(pipeline, &observed, &plan, applied, context)
}

async fn apply(pipeline: &Pipeline, plan: &Plan, observed: &Observed, context: &Context) -> Applied {
    let Context {
        client, admission, ..
    } = context;
    if plan.objection.is_some() {
        Applied::default()
    } else if pipeline.spec.suspend {
        apply::safety(client, admission, pipeline, plan, observed).await
    } else {
        apply::children(client, admission, pipeline, plan, observed).await
    }
}

/// Handles an object that this release can't read: its status says so, and nothing else is touched.
async fn report_invalid(invalid: &InvalidObject, context: &Context) -> Result<Action, ReconcileError> {
    let conditions = report::invalid::conditions(invalid, Timestamp::now());
    status::write_conditions(&context.client, &invalid.metadata, &conditions)
        .await
        .map_err(|error| ReconcileError::Status(Box::new(error)))?;
    Ok(Action::await_change())
}

async fn tell_changes(pipeline: &Pipeline, findings: &[(&'static str, Finding)], context: &Context) {
    for event in events::between(&pipeline.status.conditions, findings) {
        context.events.tell(&pipeline.reference(), &event).await;
    }
}

fn next_look(
    pipeline: &Pipeline,
    observed: &Observed,
    plan: &Plan,
    applied: Applied,
    context: &Context,
) -> Result<Action, ReconcileError> {
    if let Some(failure) = applied.into_first_failure() {
        return Err(ReconcileError::Incomplete(failure));
    }
    context.backoff.forget(&pipeline.names.to_string());
    // Only an experiment moves with time; everything else is a change that a watch sees, except events of pods.
    let experiment = plan
        .next_step()
        .map(|moment| since(observed.now, moment).max(CATCH_UP));
    let pods = observed.waits_for_pods().then_some(LOOK_AGAIN);
    Ok(match experiment.into_iter().chain(pods).min() {
        Some(wait) => Action::requeue(wait),
        None => Action::await_change(),
    })
}

/// When to look again at a pipeline whose pass failed.
pub fn on_error(pipeline: Arc<Guarded>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let namespace = pipeline.namespace().unwrap_or_default();
    let wait = context
        .backoff
        .next(&format!("{namespace}/{}", pipeline.name_any()));
    context.metrics.failed();
    tracing::warn!(
        pipeline = pipeline.name_any(),
        namespace,
        error = with_causes(error),
        ?wait,
        "the pass failed and is retried"
    );
    Action::requeue(wait)
}

/// Forgets a deleted pipeline.
pub fn on_gone(namespace: &str, name: &str, context: &Context) {
    context.backoff.forget(&format!("{namespace}/{name}"));
}
