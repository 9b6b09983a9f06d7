//! An API server, an operator, and what replaces the rest of a cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gondola_crds::RecommenderPipeline;
use gondola_operator::caches::{Scope, Watches};
use gondola_operator::config::{Config, LogFormat};
use gondola_operator::plan::Images;
use gondola_test_api_server::{ApiServer, Request};
use gondola_wire::resolution::{
    REPORT_KEY, Refusal, RefusalReason, Resolution, ResolvedBundle, VariantBundles, VariantResolution,
};
use gondola_wire::routes::{ROUTES_KEY, Routes};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DeserializeGuard, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{Mutex as TurnLock, MutexGuard, oneshot};
use tokio::task::JoinHandle;

/// How long anything may take: seconds alone, more beside a build.
const PATIENCE: Duration = Duration::from_secs(60);
/// An operator that wrote nothing for so long has nothing to do.
const QUIET: Duration = Duration::from_millis(700);
const LOOK: Duration = Duration::from_millis(30);

/// Everything that a pipeline can own.
const KINDS: [(&str, &str, &str); 9] = [
    ("", "v1", "ConfigMap"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("apps", "v1", "Deployment"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
];

/// What the store holds, by the stand-in of the resolver: a version, or nothing that can be served.
pub(crate) type Bundles = Arc<Mutex<Option<String>>>;

pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) client: Client,
    pub(crate) bundles: Bundles,
    stand_ins: JoinHandle<()>,
    _turn: MutexGuard<'static, ()>,
}

/// One world at a time: some tests say how long a thing may take.
static TURN: TurnLock<()> = TurnLock::const_new(());

impl Drop for World {
    fn drop(&mut self) {
        self.stand_ins.abort();
    }
}

impl World {
    /// A world without an operator; none if there is no API server here.
    pub(crate) async fn start() -> anyhow::Result<Option<Self>> {
        let turn = TURN.lock().await;
        let Some(server) = ApiServer::start().await? else {
            return Ok(None);
        };
        for definition in gondola_crds::definitions() {
            server.install(definition).await?;
        }
        let client = server.client()?;
        let bundles: Bundles = Arc::new(Mutex::new(Some("v1".to_owned())));
        let stand_ins = tokio::spawn(stand_in(client.clone(), Arc::clone(&bundles)));
        Ok(Some(Self {
            server,
            client,
            bundles,
            stand_ins,
            _turn: turn,
        }))
    }

    /// The store holds another version from now on.
    pub(crate) fn publish(&self, version: Option<&str>) {
        *self.bundles.lock().unwrap() = version.map(str::to_owned);
    }

    /// Starts an operator in this process.
    pub(crate) fn operator(&self) -> anyhow::Result<Operator> {
        self.operator_that_relists(Duration::from_secs(600))
    }

    /// Starts an operator in this process that lists everything again after so long.
    pub(crate) fn operator_that_relists(&self, relist: Duration) -> anyhow::Result<Operator> {
        self.start_operator(relist, "127.0.0.1:0")
    }

    /// Starts an operator in this process that can be asked for pages and metrics.
    pub(crate) fn operator_that_listens(&self, address: &str) -> anyhow::Result<Operator> {
        self.start_operator(Duration::from_secs(600), address)
    }

    fn start_operator(&self, relist: Duration, listen: &str) -> anyhow::Result<Operator> {
        let config = Config {
            images: Images {
                router: "gondola-router:test".into(),
                inference: "gondola-inference:test".into(),
                inference_cuda: "gondola-inference-cuda:test".into(),
                training: "gondola-train:test".into(),
                training_ballista: "gondola-train-ballista:test".into(),
            },
            watches: Watches {
                scope: Scope::Cluster,
                relist,
            },
            policy: Default::default(),
            pod_user: Some(65_532),
            lease: "gondola-operator".into(),
            lease_namespace: None,
            identity: "operator-0".into(),
            listen: listen.parse()?,
            log: "info".into(),
            log_format: LogFormat::Text,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let kube = self.server.config()?;
        let running = tokio::spawn(async move {
            let stop = async move { drop(stopped.await) };
            gondola_operator::run(config, kube, stop).await
        });
        Ok(Operator { running, stop })
    }

    pub(crate) fn pipelines(&self, namespace: &str) -> Api<RecommenderPipeline> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// What a user would do with kubectl.
    pub(crate) async fn apply(
        &self,
        namespace: &str,
        pipeline: &Value,
    ) -> anyhow::Result<RecommenderPipeline> {
        let name = pipeline["metadata"]["name"].as_str().context("it has no name")?;
        let parameters = PatchParams::apply("user").force();
        let patch = Patch::Apply(pipeline);
        until("the spec is taken", || async {
            Ok(self
                .pipelines(namespace)
                .patch(name, &parameters, &patch)
                .await
                .ok())
        })
        .await
    }

    /// Waits until a condition is as wanted for the newest generation.
    pub(crate) async fn wait_for(
        &self,
        namespace: &str,
        name: &str,
        condition: &str,
        status: &str,
    ) -> anyhow::Result<RecommenderPipeline> {
        let what = format!("{namespace}/{name} has {condition}={status}");
        let outcome = until(&what, || async {
            let pipeline = self.pipelines(namespace).get(name).await.ok();
            Ok(pipeline.filter(|pipeline| {
                let now = pipeline.status.clone().unwrap_or_default();
                now.observed_generation == pipeline.metadata.generation
                    && now
                        .conditions
                        .iter()
                        .any(|known| known.type_ == condition && known.status == status)
            }))
        })
        .await;
        if outcome.is_err() {
            let now = self.pipelines(namespace).get(name).await?;
            eprintln!("{}", serde_json::to_string(&now)?);
        }
        outcome
    }

    /// Waits until so many pipelines are ready.
    pub(crate) async fn wait_for_all_ready(&self, count: usize, patience: Duration) -> anyhow::Result<()> {
        let all: Api<RecommenderPipeline> = Api::all(self.client.clone());
        let started = Instant::now();
        let is_ready = |pipeline: &RecommenderPipeline| {
            let status = pipeline.status.clone().unwrap_or_default();
            let mut conditions = status.conditions.iter();
            conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        while started.elapsed() < patience {
            let listed = all.list(&ListParams::default()).await?;
            if listed.iter().filter(|pipeline| is_ready(pipeline)).count() == count {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        bail!("not all of {count} pipelines were ready within {patience:?}")
    }

    /// From now on nobody rolls out or resolves.
    pub(crate) fn stop_stand_ins(&self) {
        self.stand_ins.abort();
    }

    /// Somebody rolls out and resolves again.
    pub(crate) fn start_stand_ins(&mut self) {
        self.stand_ins = tokio::spawn(stand_in(self.client.clone(), Arc::clone(&self.bundles)));
    }

    /// Waits until the operator has written nothing for a while, and nothing is left to do.
    pub(crate) async fn wait_until_quiet(&self) -> anyhow::Result<()> {
        let (mut before, mut since) = (self.operator_writes(), Instant::now());
        let started = Instant::now();
        while since.elapsed() < QUIET {
            if started.elapsed() > PATIENCE {
                bail!("the operator wrote for {PATIENCE:?} and did not come to rest");
            }
            tokio::time::sleep(LOOK).await;
            let now = self.operator_writes();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// How many writes of operators arrived so far.
    pub(crate) fn operator_writes(&self) -> usize {
        let writes = self.server.traffic().writes();
        writes.iter().filter(|seen| is_operator(&seen.request)).count()
    }

    pub(crate) async fn delete(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let api = self.pipelines(namespace);
        until("the pipeline is deleted", || async {
            match api.delete(name, &DeleteParams::background()).await {
                Ok(_) => Ok(None),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Some(())),
                Err(_) => Ok(None),
            }
        })
        .await
    }

    /// Everything in a namespace that a pipeline can own, without what differs from run to run.
    pub(crate) async fn dump(&self, namespace: &str) -> anyhow::Result<BTreeMap<String, Value>> {
        let mut all = BTreeMap::new();
        for (group, version, kind) in KINDS {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
            for object in api.list(&ListParams::default()).await?.items {
                let name = object.name_any();
                let object = comparable(serde_json::to_value(object)?, namespace);
                all.insert(format!("{kind} {name}"), object);
            }
        }
        without_what_others_decide(&mut all);
        Ok(all)
    }
}

/// The number of pods that an autoscaler decides.
fn without_what_others_decide(all: &mut BTreeMap<String, Value>) {
    let scaled = all
        .keys()
        .filter_map(|name| name.strip_prefix("HorizontalPodAutoscaler "));
    let scaled: Vec<String> = scaled.map(|name| format!("Deployment {name}")).collect();
    for (_, deployment) in all.iter_mut().filter(|(name, _)| scaled.contains(name)) {
        deployment["spec"]["replicas"] = Value::Null;
        deployment["status"] = Value::Null;
    }
}

/// The routes that routers get.
pub(crate) async fn routes(world: &World, namespace: &str) -> anyhow::Result<Routes> {
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), namespace);
    let data = configs.get("grocery--routes").await?.data.unwrap_or_default();
    Ok(serde_json::from_str(&data[ROUTES_KEY])?)
}

/// An operator in this process.
pub(crate) struct Operator {
    running: JoinHandle<anyhow::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Operator {
    /// Ends it in the middle of whatever it does: it keeps nothing that a process would not lose as well.
    pub(crate) async fn crash(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    /// Asks it to end.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        self.running.await?
    }
}

/// Whether an operator made a request.
pub(crate) fn is_operator(request: &Request) -> bool {
    let agent = request.user_agent.as_deref().unwrap_or_default();
    agent.starts_with("gondola-operator")
}

/// Asks until there is an answer.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if started.elapsed() > PATIENCE {
            bail!("waited {PATIENCE:?}, but not until {what}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A pipeline with variants of the names, weights and numbers of pods; the first is the control.
pub(crate) fn pipeline(variants: &[(&str, u32, i32)]) -> Value {
    let variant = |(name, weight, replicas): &(&str, u32, i32)| json!({"name": name, "scorer": format!("{name}@stable"), "weight": weight, "replicas": replicas});
    let mut pipeline = json!({
        "apiVersion": "gondola.dev/v1alpha1",
        "kind": "RecommenderPipeline",
        "metadata": {"name": "grocery"},
        "spec": {
            "artifacts": {"url": "s3://models/grocery"},
            "features": {"bundle": "features@stable"},
            "retrieval": {"bundle": "two-tower@stable"},
            "variants": variants.iter().map(variant).collect::<Vec<_>>(),
        },
    });
    if variants.len() > 1 {
        pipeline["spec"]["control"] = variants[0].0.into();
    }
    pipeline
}

/// An experiment of variant dlrm and another arm.
pub(crate) fn experiment(control: &str, arm: &str) -> Value {
    json!({
        "name": "which",
        "control": control,
        "arms": [{"variant": "dlrm", "weight": 1}, {"variant": arm, "weight": 1}],
        "metrics": {"success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "7d"}]},
        "design": {"units": 5000},
        "store": {"url": "s3://events/grocery"},
        "unitKey": {"secretRef": {"name": "unit-key"}},
    })
}

fn comparable(mut object: Value, namespace: &str) -> Value {
    let metadata = &mut object["metadata"];
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "generation",
        "namespace",
    ] {
        if let Some(fields) = metadata.as_object_mut() {
            fields.remove(field);
        }
    }
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        // The hash of what was applied has the owner's uid in it.
        annotations.remove("gondola.dev/applied");
    }
    for owner in metadata["ownerReferences"].as_array_mut().into_iter().flatten() {
        owner["uid"] = Value::Null;
    }
    if let Some(status) = object["status"].as_object_mut() {
        status.remove("observedGeneration");
    }
    // What a whole API server would fill in.
    if object["kind"] == "Deployment" && object["spec"]["replicas"].is_null() {
        object["spec"]["replicas"] = 1.into();
    }
    if let Some(data) = object["data"].as_object_mut() {
        // When an experiment began.
        data.remove("ledger.json");
        // Who owns which bucket is history: the fewest users are moved.
        if let Some(Ok(mut routes)) = data
            .get("routes.json")
            .and_then(Value::as_str)
            .map(serde_json::from_str::<Value>)
        {
            for route in routes["variants"].as_array_mut().into_iter().flatten() {
                route["buckets"] = Value::Null;
            }
            data.insert("routes.json".to_owned(), routes.to_string().into());
        }
    }
    // The generation counts edits, and another way has another number of them.
    let text = object.to_string().replace(namespace, "NAMESPACE");
    let report = regex_free_generation(&text);
    serde_json::from_str(&report).expect("it was JSON before")
}

/// The report of the stand-in names the generation, which counts edits: another way has another number of them.
fn regex_free_generation(text: &str) -> String {
    let mark = "\\\"generation\\\":";
    match text.split_once(mark) {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}{mark}0{rest}")
        }
        None => text.to_owned(),
    }
}

/// What kube-controller-manager and the resolver would do.
async fn stand_in(client: Client, bundles: Bundles) {
    loop {
        // A server that is cut off is asked again.
        let _ = roll_out(&client).await;
        let _ = resolve(&client, &bundles).await;
        tokio::time::sleep(LOOK).await;
    }
}

async fn roll_out(client: &Client) -> Result<(), kube::Error> {
    let all: Api<Deployment> = Api::all(client.clone());
    for deployment in all.list(&ListParams::default()).await? {
        let generation = deployment.metadata.generation;
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let status = deployment.status.clone().unwrap_or_default();
        if status.observed_generation == generation && status.ready_replicas == Some(wanted) {
            continue;
        }
        let api: Api<Deployment> =
            Api::namespaced(client.clone(), &deployment.namespace().unwrap_or_default());
        let patch = json!({"status": {
            "observedGeneration": generation, "replicas": wanted, "updatedReplicas": wanted,
            "readyReplicas": wanted, "availableReplicas": wanted,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
        }});
        let parameters = PatchParams::default();
        api.patch_status(&deployment.name_any(), &parameters, &Patch::Merge(&patch))
            .await?;
    }
    Ok(())
}

async fn resolve(client: &Client, bundles: &Bundles) -> Result<(), kube::Error> {
    let all: Api<DeserializeGuard<RecommenderPipeline>> = Api::all(client.clone());
    let readable = all.list(&ListParams::default()).await?;
    for pipeline in readable.into_iter().filter_map(|pipeline| pipeline.0.ok()) {
        let configs: Api<ConfigMap> =
            Api::namespaced(client.clone(), &pipeline.namespace().unwrap_or_default());
        let name = format!("{}--resolution", pipeline.name_any());
        let Some(config) = configs.get_opt(&name).await? else {
            continue;
        };
        let version = bundles.lock().unwrap().clone();
        let text =
            serde_json::to_string(&report(&pipeline, version.as_deref())).map_err(kube::Error::SerdeError)?;
        if config.data.as_ref().and_then(|data| data.get(REPORT_KEY)) == Some(&text) {
            continue;
        }
        let patch = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {REPORT_KEY: text},
        });
        let parameters = PatchParams::apply("gondola-resolver").force();
        configs.patch(&name, &parameters, &Patch::Apply(&patch)).await?;
    }
    Ok(())
}

fn report(pipeline: &RecommenderPipeline, version: Option<&str>) -> Resolution {
    let bundle = |name: &str| ResolvedBundle {
        name: name.into(),
        version: version.unwrap_or_default().into(),
        digest: format!("sha256:{}", version.unwrap_or_default()),
        bytes: 1 << 20,
    };
    let outcome = match version {
        Some(_) => VariantResolution::Resolved(VariantBundles {
            features: bundle("features"),
            retrieval: bundle("two-tower"),
            sources: BTreeMap::new(),
            scorer: bundle("scorer"),
            similarity: None,
        }),
        None => VariantResolution::Refused(Refusal {
            reason: RefusalReason::BundleNotFound,
            message: "features@stable names an unknown bundle".into(),
        }),
    };
    let variants = pipeline.spec.variants.iter();
    Resolution {
        generation: pipeline.metadata.generation.unwrap_or_default(),
        variants: variants
            .map(|variant| (variant.name.clone(), outcome.clone()))
            .collect(),
    }
}
