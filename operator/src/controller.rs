//! The loop: from changes to passes, as long as this operator leads.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use gondola_causes::with_causes;
use kube::Client;
use kube::runtime::controller::{self, Config, ReconcileRequest, applier};

use crate::caches::{Caches, Watches};
use crate::health::Pulse;
use crate::reconcile::{Context, on_error, on_gone, reconcile};

/// Maximum number of passes that run concurrently, each of a different pipeline.
const CONCURRENCY: u16 = 8;
/// Changes within this time make one pass: a rollout touches a dozen objects at once.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Reconciles every watched pipeline until `stop` ends; then waits for the running passes.
pub async fn run(
    watches: &Watches,
    client: Client,
    pulse: &Pulse,
    context: impl FnOnce(Caches) -> Context,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (caches, keys) = Caches::start(&client, watches, pulse.lists());
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
            Err(error) => tracing::warn!(error = with_causes(&error), "a watch failed and is restarted"),
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
                    // A pipeline that was deleted while it waited for its pass.
                    Err(controller::Error::ObjectNotFound(pipeline)) => {
                        tracing::debug!(%pipeline, "is gone");
                        on_gone(
                            pipeline.namespace.as_deref().unwrap_or_default(),
                            &pipeline.name,
                            &context,
                        );
                    }
                    Err(controller::Error::ReconcilerFailed(..)) => {}
                    Err(error) => tracing::warn!(error = with_causes(&error), "the queue failed"),
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
