//! The loop: from changes to passes, as long as this operator leads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::core::GroupVersionKind;
use kube::runtime::controller::{self, Config, ReconcileRequest, applier};
use kube::{Client, discovery};

use crate::caches::{Caches, Watches};
use crate::health::Pulse;
use crate::plan::extensions::Extension;
use crate::reconcile::{Context, on_error, reconcile};

/// Passes of different pipelines that run side by side.
const CONCURRENCY: u16 = 8;
/// Changes that come together make one pass: a rollout touches a dozen objects within a blink.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// The APIs that this cluster has beside Kubernetes' own.
pub async fn extensions(client: &Client) -> BTreeSet<Extension> {
    let mut found = BTreeSet::new();
    for extension in Extension::ALL {
        let resource = extension.resource();
        let kind = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        if discovery::pinned_kind(client, &kind).await.is_ok() {
            found.insert(extension);
        }
    }
    found
}

/// Reconciles every pipeline that is watched until `stop` ends; then ends the passes that are under way.
pub async fn run(
    watches: &Watches,
    client: Client,
    pulse: &Pulse,
    context: impl FnOnce(Caches) -> Context,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let found = extensions(&client).await;
    let (caches, keys) = Caches::start(&client, watches, found);
    let pipelines = caches.pipelines.clone();
    let filled = caches.clone();
    let context = Arc::new(context(caches));

    // Keys are read from the start, since that is what fills the caches; passes wait until all are full.
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    let reading = keys.for_each(move |key| {
        match key {
            Ok(key) => {
                drop(sender.unbounded_send(Ok::<_, std::convert::Infallible>(ReconcileRequest::from(key))))
            }
            Err(error) => tracing::warn!(%error, "a watch failed; it is made again"),
        }
        std::future::ready(())
    });
    let passing = async {
        if filled.filled().await.is_err() {
            return;
        }
        pulse.set_ready();
        let configuration = Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY);
        let passes = applier(
            |pipeline, context| Box::pin(reconcile(pipeline, context)),
            on_error,
            Arc::clone(&context),
            pipelines,
            receiver.take_until(stop),
            configuration,
        );
        passes
            .for_each(|pass| {
                match pass {
                    Ok((pipeline, _)) => tracing::debug!(%pipeline, "looked at"),
                    // A pipeline that went while it waited for its pass.
                    Err(controller::Error::ObjectNotFound(pipeline)) => tracing::debug!(%pipeline, "is gone"),
                    Err(controller::Error::ReconcilerFailed(..)) => {}
                    Err(error) => tracing::warn!(%error, "the queue failed"),
                }
                std::future::ready(())
            })
            .await;
    };
    tokio::select! {
        () = reading => tracing::error!("all watches ended"),
        () = passing => {}
        // Passes run in this same task: while one keeps it from moving, the pulse does not beat.
        () = pulse.keep_beating() => {}
    }
}
