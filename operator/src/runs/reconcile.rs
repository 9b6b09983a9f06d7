//! One pass over one object that asks for runs: look, plan, apply, report.

use std::sync::Arc;
use std::time::Duration;

use gondola_causes::with_causes;
use gondola_crds::runs::RunsStatus;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::kind::RunKind;
use super::names::{MetadataError, RunNames};
use super::observed::Observed;
use super::{apply, plan, report};
use crate::apply::STATUS_MANAGER;
use crate::apply::failure::Failure;
use crate::backoff::Backoff;
use crate::events::{self, Events};
use crate::plan::Installation;

/// A pass that takes longer is aborted and retried.
const MAX_PASS: Duration = Duration::from_secs(60);
/// Pods are not watched: what they say at their end, and where executors find the pod that they work for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An object in the API server: one that this release can't read is an error of that object only.
pub type Guarded<K> = DeserializeGuard<K>;

/// What a pass depends on.
pub struct Context {
    /// Writes only while this operator leads.
    pub client: Client,
    /// Settings for all objects.
    pub installation: Installation,
    /// Publishes Kubernetes Events.
    pub events: Events,
    /// How long a failed object waits.
    pub backoff: Backoff,
}

/// Why a pass has to be retried.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// It is not an object of the API server.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// It took too long.
    #[error("the pass did not end within {MAX_PASS:?}")]
    TooLong,
    /// The API server could not be asked.
    #[error("what there is could not be read")]
    Look(#[source] Box<kube::Error>),
    /// An object could not be applied; the status says which.
    #[error(transparent)]
    Incomplete(#[from] Failure),
    /// The status could not be written.
    #[error("the status could not be written")]
    Status(#[source] Box<kube::Error>),
}

/// Brings one object a step closer to its spec, and writes its status. Runs from scratch.
pub async fn reconcile<K: RunKind>(
    object: Arc<Guarded<K>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let pass = async {
        match &object.0 {
            // All objects of ours have an owner, and are deleted with it.
            Ok(object) if object.meta().deletion_timestamp.is_some() => Ok(Action::await_change()),
            Ok(object) => pass(object, &context).await,
            Err(invalid) => {
                tracing::warn!(
                    object = invalid.metadata.name,
                    error = %invalid.error,
                    "this release can't read the object, and leaves it as it is"
                );
                Ok(Action::await_change())
            }
        }
    };
    tokio::time::timeout(MAX_PASS, pass)
        .await
        .unwrap_or(Err(ReconcileError::TooLong))
}

async fn pass<K: RunKind>(object: &K, context: &Context) -> Result<Action, ReconcileError> {
    let Context {
        client, installation, ..
    } = context;
    let names = RunNames::of(object)?;
    let look = |error| ReconcileError::Look(Box::new(error));
    let observed = Observed::look(client, &names).await.map_err(look)?;
    let inputs = object.look(client, &names.namespace).await.map_err(look)?;
    let beside = object.beside(&names, &observed, installation);
    let plan = plan::plan(object, &names, &observed, beside, || {
        object.parts(&names, &inputs, installation)
    });
    let runs = object.runs();
    let failure = apply::apply(client, &names, runs, &plan, &observed).await.err();
    let began = !plan.jobs.is_empty();
    let before = object.status().cloned().unwrap_or_default();
    let report = report::report(
        &names,
        runs,
        &before,
        &plan,
        &observed,
        failure.as_ref(),
        object.output(),
    );
    if report.status != before {
        write_status::<K>(client, &names, &report.status).await?;
        for event in events::between(&before.conditions, &report.findings) {
            context.events.tell(&names.reference(), &event).await;
        }
    }
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    context.backoff.forget(&names.to_string());
    let waits = plan.problem.is_some() || began || !plan.adjusted.is_empty();
    Ok(if waits {
        Action::requeue(LOOK_AGAIN)
    } else {
        Action::await_change()
    })
}

async fn write_status<K: RunKind>(
    client: &Client,
    names: &RunNames,
    status: &RunsStatus,
) -> Result<(), ReconcileError> {
    let api: Api<K> = Api::namespaced(client.clone(), &names.namespace);
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": names.name, "uid": names.uid},
        "status": status,
    });
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    let patched = api
        .patch_status(&names.name, &parameters, &Patch::Apply(&patch))
        .await;
    patched
        .map(drop)
        .map_err(|error| ReconcileError::Status(Box::new(error)))
}

/// When to look again at an object whose pass failed.
pub fn on_error<K: RunKind>(
    object: Arc<Guarded<K>>,
    error: &ReconcileError,
    context: Arc<Context>,
) -> Action {
    let kind = K::kind(&());
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let wait = context.backoff.next(&format!("{kind} {namespace}/{name}"));
    tracing::warn!(
        %kind,
        name,
        namespace,
        error = with_causes(error),
        ?wait,
        "the pass failed and is retried"
    );
    Action::requeue(wait)
}
