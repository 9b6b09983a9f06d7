//! `analyze`: the analyzer of a pipeline's experiment in a cluster.
//!
//! It polls the routers every half minute for the counts of their arms, reads new events at every analysis, and reports the result
//! in a ConfigMap, from which the operator decides. What the operator decided for good it keeps in the store at once. A pod that starts
//! again continues from that report and from the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use gondola_artifacts::Store;
use gondola_causes::with_causes;
use gondola_crds::RecommenderPipeline;
use gondola_events::analysis::{Analyzer, Rounds, Rules};
use gondola_experiments::epoch;
use gondola_experiments::operations::TICK_SECONDS;
use gondola_experiments::settings::Settings;
use gondola_router::recording::EventStoreArguments;
use gondola_router::watch::{ADMIN_PORT, slice_addresses};
use gondola_server::program::beside_health_checks;
use gondola_server::tls;
use gondola_wire::evidence::{EVIDENCE_KEY, Evidence};
use gondola_wire::memory::{Ending, MEMORY_KEY, Memory};
use gondola_wire::router_report::{REPORT_PATH, RouterReport};
use gondola_wire::variables;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use object_store::ObjectStoreExt as _;
use serde_json::json;

/// The field manager of the report.
const MANAGER: &str = "gondola-analyzer";
/// A router that takes longer counts as not answering.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest report of a router, in bytes.
const MAX_REPORT: usize = 1 << 20;
/// What a ConfigMap holds, with a margin.
const MAX_EVIDENCE: usize = 900 << 10;

/// Arguments of `analyze`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline's name, in this pod's namespace.
    #[arg(long, env = variables::PIPELINE)]
    pipeline: String,
    /// The ConfigMap to report in.
    #[arg(long, env = variables::EVIDENCE_CONFIG_MAP)]
    evidence_config_map: String,
    /// The Service of the routers.
    #[arg(long, env = variables::ROUTER_SERVICE)]
    router_service: String,
    /// File with the certificate that routers show: they are asked over TLS, and only who has its key is believed.
    #[arg(long, env = variables::ROUTERS_CERTIFICATE)]
    routers_certificate: Option<PathBuf>,
    #[command(flatten)]
    store: EventStoreArguments,
    /// Address of health checks.
    #[arg(long, env = variables::LISTEN, default_value = "127.0.0.1:8080")]
    listen: String,
}

/// Analyzes until the process is asked to stop.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("no cluster to report to; analyze runs in a pod that the operator creates")?;
    let listen = arguments.listen.clone();
    beside_health_checks(&listen, analyse_all(arguments, client)).await
}

/// One round after the other. A failure is logged, and the next round catches up.
async fn analyse_all(arguments: Arguments, client: Client) -> anyhow::Result<()> {
    let namespace = client.default_namespace().to_owned();
    let mut work = Work {
        pipelines: Api::namespaced(client.clone(), &namespace),
        configs: Api::namespaced(client.clone(), &namespace),
        slices: Api::namespaced(client, &namespace),
        http: http_client(arguments.routers_certificate.as_deref())?,
        base: format!("{namespace}/{}", arguments.pipeline),
        arguments,
        epoch: None,
        memory: None,
    };
    loop {
        let wait = work.round().await.unwrap_or_else(|error| {
            tracing::warn!(
                error = format!("{error:#}"),
                "a round failed; the next one will catch up"
            );
            Duration::from_secs(5)
        });
        work.rest(wait).await;
    }
}

/// Asks routers, in plain text or over TLS.
type Http = HttpClient<HttpsConnector<HttpConnector>, Empty<bytes::Bytes>>;

fn http_client(certificate: Option<&Path>) -> anyhow::Result<Http> {
    // Without a certificate nothing is asked over TLS.
    let config = match certificate {
        Some(certificate) => tls::client_of_the_owner(certificate)?,
        None => tls::client_of_nobody(),
    };
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(HttpClient::builder(TokioExecutor::new()).build(connector))
}

struct Work {
    arguments: Arguments,
    /// The pipeline's folder in the store.
    base: String,
    pipelines: Api<RecommenderPipeline>,
    configs: Api<ConfigMap>,
    slices: Api<EndpointSlice>,
    http: Http,
    epoch: Option<Epoch>,
    /// What the store remembers of the experiment of a name.
    memory: Option<Memory>,
}

/// State that is kept between the rounds of one epoch.
struct Epoch {
    settings: Settings,
    rules: Rules,
    analyzer: Analyzer,
    rounds: Rounds,
    /// What the last analysis found, and when it was made.
    found: Option<(Evidence, Instant)>,
}

impl Work {
    /// Asks, analyzes if it is time, and reports. Gives how long to wait until the next round.
    async fn round(&mut self) -> anyhow::Result<Duration> {
        let pipeline = self.pipelines.get(&self.arguments.pipeline).await?;
        self.remember(&pipeline).await?;
        let Some((settings, rules)) = asked_for(&pipeline)? else {
            // It has not begun.
            self.epoch = None;
            return Ok(Duration::from_secs(1));
        };
        let routers = self.ask_routers().await?;
        let mut epoch = self.enter(settings, rules).await?;
        epoch.rounds.observe(routers, &epoch.settings.operations);
        let analysis = epoch.settings.cadence.analysis;
        let due = epoch
            .found
            .as_ref()
            .is_none_or(|(_, made)| made.elapsed() >= analysis);
        if due {
            let now = Timestamp::now();
            let evidence = epoch.analyzer.analyze(&epoch.rules, now).await?;
            epoch.found = Some((evidence, Instant::now()));
        }
        if let Some((evidence, _)) = &mut epoch.found {
            epoch.rounds.complete(evidence);
            if due {
                evidence.results = self.keep(epoch.analyzer.store(), &epoch.rules, evidence).await;
            }
            self.report(evidence).await?;
        }
        self.epoch = Some(epoch);
        Ok(analysis.min(Duration::from_secs(TICK_SECONDS)))
    }

    /// Waits for the next round, or until there is an end to keep.
    async fn rest(&self, wait: Duration) {
        let is_to_keep = |pipeline: Option<&RecommenderPipeline>| {
            let ending = pipeline.and_then(ending);
            ending.is_some_and(|ending| {
                self.memory.as_ref().and_then(|memory| memory.ending.as_ref()) != Some(&ending)
            })
        };
        let decided = await_condition(self.pipelines.clone(), &self.arguments.pipeline, is_to_keep);
        if let Ok(Err(error)) = tokio::time::timeout(wait, decided).await {
            tracing::warn!(error = with_causes(&error), "the pipeline can't be watched");
            tokio::time::sleep(wait).await;
        }
    }

    /// Looks how the experiment ended before, once, and keeps how it ended now: both outlive the pipeline.
    async fn remember(&mut self, pipeline: &RecommenderPipeline) -> anyhow::Result<()> {
        let experiment = pipeline.spec.experiment.as_ref();
        let experiment = experiment.context("the pipeline no longer has an experiment")?;
        let name = experiment.name.as_str();
        let store = self.arguments.store.open()?;
        let place = store.path(&format!("{}/results/{name}/ending.json", self.base));
        if self
            .memory
            .as_ref()
            .is_none_or(|memory| memory.experiment != name)
        {
            let ending = match store.objects().get(&place).await {
                Ok(found) => Some(serde_json::from_slice(&found.bytes().await?)?),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => {
                    return Err(error).context("cannot read from the store how the experiment ended before");
                }
            };
            let memory = Memory {
                experiment: name.to_owned(),
                ending,
                last_epoch: self.last_epoch(&store, name).await?,
            };
            self.say_remembered(memory).await?;
        }
        if let (Some(memory), Some(ended)) = (&self.memory, ending(pipeline))
            && memory.ending.as_ref() != Some(&ended)
        {
            let kept = store.objects().put(&place, serde_json::to_vec(&ended)?.into());
            kept.await
                .context("cannot write to the store how the experiment ended")?;
            let memory = Memory {
                ending: Some(ended),
                ..memory.clone()
            };
            self.say_remembered(memory).await?;
        }
        Ok(())
    }

    /// Reports what the store remembers, together with the last evidence: the operator waits for it.
    async fn say_remembered(&mut self, memory: Memory) -> anyhow::Result<()> {
        let mut data = vec![(MEMORY_KEY, serde_json::to_string(&memory)?)];
        data.extend(self.reported().await?.map(|text| (EVIDENCE_KEY, text)));
        self.write(&data).await?;
        self.memory = Some(memory);
        Ok(())
    }

    /// The last epoch of an experiment of which statistics were kept.
    async fn last_epoch(&self, store: &Store, experiment: &str) -> anyhow::Result<Option<u32>> {
        let folder = store.path(&format!("{}/results/{experiment}", self.base));
        let files = store.objects().list_with_delimiter(Some(&folder)).await;
        let files = files.context("cannot list the epochs in the store")?;
        let epoch =
            |file: &object_store::ObjectMeta| file.location.filename()?.strip_suffix(".json")?.parse().ok();
        Ok(files.objects.iter().filter_map(epoch).max())
    }

    /// The current epoch, or a new one, with what was reported of it before.
    async fn enter(&mut self, settings: Settings, rules: Rules) -> anyhow::Result<Epoch> {
        let same = |epoch: &Epoch| {
            let of = |rules: &Rules| (rules.experiment.clone(), rules.epoch, rules.started);
            of(&epoch.rules) == of(&rules)
        };
        if let Some(epoch) = self.epoch.take().filter(same) {
            return Ok(Epoch {
                settings,
                rules,
                ..epoch
            });
        }
        let reported = self.reported().await?;
        let reported = reported.and_then(|text| Evidence::parse(&text).ok());
        let rounds = Rounds::new(&rules, reported.as_ref());
        let store = self.arguments.store.open()?;
        Ok(Epoch {
            analyzer: Analyzer::new(store, self.base.clone(), self.arguments.store.folder(&self.base)),
            settings,
            rules,
            rounds,
            found: None,
        })
    }

    /// The evidence that was reported last, as it is in the ConfigMap.
    async fn reported(&self) -> anyhow::Result<Option<String>> {
        let config = self.configs.get(&self.arguments.evidence_config_map).await?;
        Ok(config.data.and_then(|mut data| data.remove(EVIDENCE_KEY)))
    }

    /// What each router says, by its address.
    async fn ask_routers(&self) -> anyhow::Result<Vec<(String, Option<RouterReport>)>> {
        let of_service = ListParams::default().labels(&format!(
            "kubernetes.io/service-name={}",
            self.arguments.router_service
        ));
        let slices = self.slices.list(&of_service).await?;
        let mut addresses: Vec<String> = slices
            .iter()
            .flat_map(|slice| slice_addresses(slice, ADMIN_PORT))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        let asks = addresses.into_iter().map(|address| async move {
            let report = self.ask(&address).await;
            let report = report.inspect_err(|error| {
                tracing::warn!(
                    address,
                    error = with_causes(error.as_ref()),
                    "a router did not answer"
                )
            });
            (address, report.ok())
        });
        Ok(futures::future::join_all(asks).await)
    }

    async fn ask(&self, address: &str) -> anyhow::Result<RouterReport> {
        let scheme = match self.arguments.routers_certificate {
            Some(_) => "https",
            None => "http",
        };
        let uri = format!("{scheme}://{address}{REPORT_PATH}").parse()?;
        let ask = async {
            let response = self.http.get(uri).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_REPORT).collect();
            let body = body.await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            if !status.is_success() {
                bail!("it answers {status}");
            }
            Ok(serde_json::from_slice(&body)?)
        };
        tokio::time::timeout(PATIENCE, ask).await?
    }

    /// Writes the statistics to the store, for analysts.
    async fn keep(&self, store: &Store, rules: &Rules, evidence: &Evidence) -> Option<String> {
        let place = format!("{}/results/{}/{}.json", self.base, rules.experiment, rules.epoch);
        let bytes = serde_json::to_vec(evidence).ok()?;
        let put = store.objects().put(&store.path(&place), bytes.into()).await;
        put.inspect_err(|error| {
            tracing::warn!(
                error = with_causes(error),
                "the statistics could not be written to the store"
            )
        })
        .ok()?;
        Some(format!("{}/{place}", store.url().trim_end_matches('/')))
    }

    async fn report(&self, evidence: &Evidence) -> anyhow::Result<()> {
        let text = serde_json::to_string(evidence)?;
        if text.len() > MAX_EVIDENCE {
            bail!(
                "the evidence has {} bytes, and a ConfigMap holds {MAX_EVIDENCE}; choose a longer cadence.look",
                text.len()
            );
        }
        let memory = serde_json::to_string(&self.memory)?;
        self.write(&[(EVIDENCE_KEY, text), (MEMORY_KEY, memory)]).await
    }

    /// Writes all that the ConfigMap holds: what is left out goes.
    async fn write(&self, data: &[(&str, String)]) -> anyhow::Result<()> {
        let name = &self.arguments.evidence_config_map;
        let data: BTreeMap<&str, &String> = data.iter().map(|(key, text)| (*key, text)).collect();
        let report = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": data,
        });
        let parameters = PatchParams::apply(MANAGER).force();
        self.configs
            .patch(name, &parameters, &Patch::Apply(&report))
            .await?;
        Ok(())
    }
}

/// How the pipeline's experiment ended, if it did. A status of an earlier spec may describe the end of an earlier epoch.
fn ending(pipeline: &RecommenderPipeline) -> Option<Ending> {
    let experiment = pipeline.spec.experiment.as_ref()?;
    let status = pipeline.status.as_ref()?;
    let of_spec = status.observed_generation == pipeline.metadata.generation;
    let status = status.experiment.as_ref().filter(|_| of_spec)?;
    let of_name = status.name == experiment.name.as_str();
    of_name.then(|| Ending::of(&epoch::from_status(status, experiment.restart_token.clone())))?
}

/// The running experiment, and what counts in it; `None` before it has begun.
fn asked_for(pipeline: &RecommenderPipeline) -> anyhow::Result<Option<(Settings, Rules)>> {
    let experiment = pipeline
        .spec
        .experiment
        .as_ref()
        .context("the pipeline no longer has an experiment")?;
    let settings = Settings::of(experiment)?;
    let status = pipeline
        .status
        .as_ref()
        .and_then(|status| status.experiment.as_ref());
    let begun = status.and_then(|status| {
        let of_spec = status.name == experiment.name.as_str();
        let started = status.start_time.as_ref()?.parse().ok()?;
        let epoch = u32::try_from(status.epoch).ok()?;
        of_spec.then(|| Rules::new(&settings, epoch, started))
    });
    Ok(begun.map(|rules| (settings, rules)))
}
