//! `resolve`: the resolver of a pipeline in a cluster.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _};
use gondola_artifacts::Access;
use gondola_causes::with_causes;
use gondola_crds::RecommenderPipeline;
use gondola_crds::spec::Artifacts;
use gondola_router::access::AccessArguments;
use gondola_router::resolver;
use gondola_server::program::beside_health_checks;
use gondola_wire::resolution::{REPORT_KEY, Resolution, VariantResolution};
use gondola_wire::variables;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use serde_json::json;

/// The field manager of the report.
const MANAGER: &str = "gondola-resolver";
const DEFAULT_POLL: Duration = Duration::from_secs(60);
/// A store that takes longer for a variant's manifests, half a dozen small objects, counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(20);
/// After a refusal that may be temporary, the next lookup comes this soon at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Arguments of `resolve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline's name, in this pod's namespace.
    #[arg(long, env = variables::PIPELINE)]
    pipeline: String,
    /// The ConfigMap to report in.
    #[arg(long, env = variables::REPORT_CONFIG_MAP)]
    report_config_map: String,
    /// URL of the store, if it differs from the spec's: the operator decides where a volume is mounted.
    #[arg(long, env = variables::STORE)]
    store: Option<String>,
    /// `spec.artifacts` that this pod was created for, as JSON. A spec with other values is left to the pod created for
    /// it.
    #[arg(long, env = variables::ARTIFACTS)]
    artifacts: Option<String>,
    #[command(flatten)]
    access: AccessArguments,
    /// Address of health checks.
    #[arg(long, env = variables::LISTEN, default_value = "127.0.0.1:8080")]
    listen: String,
}

/// Looks up and reports until the process is asked to stop.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("no cluster to report to; resolve runs in a pod that the operator creates")?;
    let listen = arguments.listen.clone();
    beside_health_checks(&listen, look_up(arguments, client)).await
}

/// One report after the other: at every change of the spec, and at every poll.
async fn look_up(arguments: Arguments, client: Client) -> anyhow::Result<()> {
    let namespace = client.default_namespace().to_owned();
    let pipelines: Api<RecommenderPipeline> = Api::namespaced(client.clone(), &namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={}", arguments.pipeline));
    let changes = watcher(pipelines, only).default_backoff().applied_objects();
    let mut changes = changes
        .inspect_err(|error| {
            tracing::warn!(
                error = with_causes(error),
                "the watch of the pipeline failed and is restarted"
            )
        })
        .filter_map(|change| std::future::ready(change.ok()))
        .boxed();
    let reports: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let mut reporter = Reporter {
        reports,
        config_map: arguments.report_config_map,
        access: arguments.access.access(),
        store: arguments.store,
        artifacts: arguments
            .artifacts
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .context("--artifacts is not JSON of spec.artifacts")?,
        last: None,
    };
    let Some(mut pipeline) = changes.next().await else {
        bail!("the watch of the pipeline ended");
    };
    loop {
        let wait = reporter.report(&pipeline).await;
        let changed = async {
            // The status changes often, and says nothing new to us.
            let generation = pipeline.metadata.generation;
            loop {
                match changes.next().await {
                    Some(change) if change.metadata.generation == generation => {}
                    change => break change,
                }
            }
        };
        match tokio::time::timeout(wait, changed).await {
            Ok(Some(change)) => pipeline = change,
            Ok(None) => bail!("the watch of the pipeline ended"),
            Err(_) => {}
        }
    }
}

fn poll_every(artifacts: &Artifacts) -> Duration {
    artifacts.poll_every().unwrap_or(DEFAULT_POLL)
}

struct Reporter {
    reports: Api<ConfigMap>,
    config_map: String,
    access: Access,
    store: Option<String>,
    artifacts: Option<Artifacts>,
    /// What was written last, so that the same is not written again.
    last: Option<Resolution>,
}

impl Reporter {
    /// Looks up, writes down what is new, and says when to look again.
    async fn report(&mut self, pipeline: &RecommenderPipeline) -> Duration {
        let generation = pipeline.metadata.generation.unwrap_or_default();
        let mut spec = pipeline.spec.clone();
        if self
            .artifacts
            .as_ref()
            .is_some_and(|artifacts| *artifacts != spec.artifacts.place())
        {
            tracing::info!(
                generation,
                "the spec names another store; the new pod created for it will report"
            );
            return DEFAULT_POLL;
        }
        spec.artifacts.url = self.store.clone().unwrap_or(spec.artifacts.url);
        let resolution = resolver::resolve(&spec, generation, &self.access, PATIENCE).await;
        let poll = poll_every(&pipeline.spec.artifacts);
        let refused = resolution
            .variants
            .values()
            .any(|variant| matches!(variant, VariantResolution::Refused(_)));
        let reported = self
            .last
            .as_ref()
            .is_some_and(|last| resolver::is_reported(last, &resolution));
        if !reported {
            match self.write(&resolution).await {
                Ok(()) => {
                    tracing::info!(generation, refused, "reported");
                    self.last = Some(resolution);
                }
                Err(error) => {
                    tracing::warn!(
                        error = with_causes(&error),
                        "the report could not be written and will be retried"
                    );
                    return LOOK_AGAIN;
                }
            }
        }
        if refused { poll.min(LOOK_AGAIN) } else { poll }
    }

    async fn write(&self, resolution: &Resolution) -> Result<(), kube::Error> {
        let text = serde_json::to_string_pretty(resolution).map_err(kube::Error::SerdeError)?;
        let report = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.config_map},
            "data": {REPORT_KEY: text},
        });
        let parameters = PatchParams::apply(MANAGER).force();
        self.reports
            .patch(&self.config_map, &parameters, &Patch::Apply(&report))
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spec_turns_the_poll_into_a_loop() {
        let every = |interval: &str| {
            let artifacts = format!(r#"{{"url": "memory:///bundles", "pollInterval": "{interval}"}}"#);
            serde_json::from_str(&artifacts).map(|artifacts| poll_every(&artifacts))
        };
        assert!(every("0s").is_err());
        assert!(every("1ms").is_err());
        assert_eq!(every("30s").unwrap(), Duration::from_secs(30));
    }
}
