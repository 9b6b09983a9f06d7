//! One pass over one pipeline: observe, plan, apply, report.

use std::sync::Arc;
use std::time::Duration;

use gondola_crds::{RecommenderPipeline, RecommenderPipelineStatus};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Api, Client, Resource, ResourceExt};

use crate::apply::{self, Applied, StatusOutcome};
use crate::backoff::Backoff;
use crate::caches::Caches;
use crate::events::{self, Events};
use crate::metrics::Metrics;
use crate::plan::names::ALLOW_USE;
use crate::plan::{Installation, Plan};
use crate::{plan, report};

/// A pass that takes longer is given up, and made again: a few dozen requests of some seconds at most.
const LONGEST: Duration = Duration::from_secs(60);
/// What the caches did not know yet has arrived after this time, most likely.
const CATCH_UP: Duration = Duration::from_millis(500);

/// What a pass works with.
pub struct Context {
    /// Writes only while this operator leads.
    pub client: Client,
    /// What is there.
    pub caches: Caches,
    /// What holds for all pipelines.
    pub installation: Installation,
    /// Tells people of changes.
    pub events: Events,
    /// How long a pipeline waits that failed.
    pub backoff: Backoff,
    /// What happened, in numbers.
    pub metrics: Metrics,
}

/// Why a pass has to be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server failed before anything could be decided.
    #[error("the API server could not be asked")]
    Api(#[source] Box<kube::Error>),
    /// It took too long.
    #[error("the pass did not end within {LONGEST:?}")]
    TooLong,
    /// Something could not be brought about; the status says what.
    #[error("{0}")]
    Incomplete(String),
    /// The status could not be written.
    #[error("the status could not be written")]
    Status(#[source] Box<kube::Error>),
}

/// Brings one pipeline a step nearer to its spec, and writes down what is true now.
///
/// Runs from scratch: nothing depends on why it was called, or on how far an earlier pass came.
pub async fn reconcile(
    pipeline: Arc<RecommenderPipeline>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let _timer = context.metrics.pass();
    let pass = pass(&pipeline, &context);
    tokio::time::timeout(LONGEST, pass)
        .await
        .unwrap_or(Err(ReconcileError::TooLong))
}

async fn pass(pipeline: &RecommenderPipeline, context: &Context) -> Result<Action, ReconcileError> {
    if pipeline.meta().deletion_timestamp.is_some() {
        // Everything of ours has an owner, and goes with it.
        return Ok(Action::await_change());
    }
    let allowed = account_allowed(&context.client, pipeline).await?;
    let observed = context.caches.observe(pipeline, allowed);
    let plan = plan::plan(pipeline, &observed, &context.installation);
    let applied = if pipeline.spec.suspend || plan.objection.is_some() {
        Applied::default()
    } else {
        apply::children(&context.client, pipeline, &plan, &observed).await
    };
    context.metrics.wrote(applied.writes());
    if applied.is_outdated() {
        return Ok(Action::requeue(CATCH_UP));
    }
    let status = report::status(pipeline, &observed, &plan, &applied, Timestamp::now());
    let outcome = apply::status(&context.client, pipeline, &status)
        .await
        .map_err(|error| ReconcileError::Status(Box::new(error)))?;
    match outcome {
        StatusOutcome::Outdated => return Ok(Action::requeue(CATCH_UP)),
        StatusOutcome::Unchanged => {}
        StatusOutcome::Written => {
            context.metrics.wrote(1);
            tell_changes(pipeline, &status, context).await;
        }
    }
    next_look(pipeline, &plan, &applied, context)
}

async fn tell_changes(pipeline: &RecommenderPipeline, status: &RecommenderPipelineStatus, context: &Context) {
    let before = pipeline.status.clone().unwrap_or_default();
    for event in events::between(&before.conditions, &status.conditions) {
        context.events.tell(pipeline, &event).await;
    }
}

fn next_look(
    pipeline: &RecommenderPipeline,
    plan: &Plan,
    applied: &Applied,
    context: &Context,
) -> Result<Action, ReconcileError> {
    if let Some(failure) = applied.first_failure() {
        return Err(ReconcileError::Incomplete(failure.with_cause()));
    }
    context.backoff.forget(&pipeline.uid().unwrap_or_default());
    // Time alone moves an experiment; all else is a change that a watch sees.
    Ok(match plan.next_step() {
        Some(moment) => Action::requeue(moment.since(Timestamp::now().into()).max(CATCH_UP)),
        None => Action::await_change(),
    })
}

/// Whether pods may run as the service account that the spec names: its owner says so with a label. Else whoever may write
/// pipelines could borrow any account of the namespace.
async fn account_allowed(client: &Client, pipeline: &RecommenderPipeline) -> Result<bool, ReconcileError> {
    let Some(name) = &pipeline.spec.artifacts.service_account_name else {
        return Ok(true);
    };
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &pipeline.namespace().unwrap_or_default());
    let account = api
        .get_metadata_opt(name)
        .await
        .map_err(|error| ReconcileError::Api(Box::new(error)))?;
    Ok(account.is_some_and(|account| {
        account
            .labels()
            .get(ALLOW_USE)
            .is_some_and(|value| value == "true")
    }))
}

/// When to look again at a pipeline whose pass failed.
pub fn on_error(pipeline: Arc<RecommenderPipeline>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let wait = context.backoff.next(&pipeline.uid().unwrap_or_default());
    context.metrics.failed();
    tracing::warn!(
        pipeline = pipeline.name_any(),
        namespace = pipeline.namespace(),
        %error,
        ?wait,
        "the pass is made again"
    );
    Action::requeue(wait)
}
