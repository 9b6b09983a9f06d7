//! The loops of the two kinds: from changes to passes, as long as this operator leads.

use std::sync::Arc;

use futures::StreamExt as _;
use gondola_causes::with_causes;
use gondola_crds::{RecommendationJob, RecommenderPipeline, RecommenderTraining};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};

use super::kind::RunKind;
use super::names::RUNS_OF;
use super::reconcile::{Context, Guarded, on_error, reconcile};
use crate::backoff::Backoff;
use crate::caches::Scope;
use crate::events::Events;
use crate::plan::Installation;

/// How many passes of a kind run at once.
const CONCURRENCY: u16 = 2;
const DEBOUNCE: std::time::Duration = std::time::Duration::from_millis(200);

/// Reconciles every object of both kinds until `stop` ends; then waits for the running passes.
pub async fn run(
    scope: &Scope,
    client: Client,
    installation: Installation,
    events: Events,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    let context = Arc::new(Context {
        client: client.clone(),
        installation,
        events,
        backoff: Backoff::default(),
    });
    let lists = controller::<RecommendationJob>(scope, &client, stop.clone());
    // A run takes what the pipeline serves when it begins.
    let known = lists.store();
    let lists = lists.watches(
        scope.api::<RecommenderPipeline>(&client),
        watcher::Config::default(),
        move |pipeline| {
            let of_pipeline = known.state().into_iter().filter(move |job| {
                let names = job
                    .0
                    .as_ref()
                    .is_ok_and(|job| job.spec.pipeline == pipeline.name_any());
                names && job.namespace() == pipeline.namespace()
            });
            of_pipeline
                .map(|job| ObjectRef::from_obj(job.as_ref()))
                .collect::<Vec<_>>()
        },
    );
    let trainings = controller::<RecommenderTraining>(scope, &client, stop);
    tokio::join!(
        drive(lists, Arc::clone(&context)),
        drive(trainings, Arc::clone(&context))
    );
}

fn controller<K: RunKind>(
    scope: &Scope,
    client: &Client,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) -> Controller<Guarded<K>> {
    let ours = || watcher::Config::default().labels(RUNS_OF);
    Controller::new(scope.api::<Guarded<K>>(client), watcher::Config::default())
        .watches(scope.api::<Job>(client), ours(), asker::<K, Job>)
        .watches(scope.api::<CronJob>(client), ours(), asker::<K, CronJob>)
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop)
}

/// The object that asks for a Job or a schedule, as the label says; a pass checks who owns what.
fn asker<K: RunKind, C: Resource + ResourceExt>(child: C) -> Option<ObjectRef<Guarded<K>>> {
    let (kind, name) = child.labels().get(RUNS_OF)?.split_once('.')?;
    let ours = kind == K::kind(&()).to_lowercase();
    ours.then(|| ObjectRef::new(name).within(&child.namespace().unwrap_or_default()))
}

async fn drive<K: RunKind>(controller: Controller<Guarded<K>>, context: Arc<Context>) {
    controller
        .run(reconcile::<K>, on_error::<K>, context)
        .for_each(|pass| {
            if let Err(error) = pass {
                tracing::debug!(kind = %K::kind(&()), error = with_causes(&error), "a pass or a watch failed");
            }
            std::future::ready(())
        })
        .await;
}
