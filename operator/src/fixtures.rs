//! A pipeline and a cluster for tests: what is planned is there at once, and runs or does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use gondola_crds::RecommenderPipeline;
use gondola_wire::memory::{MEMORY_KEY, Memory};
use gondola_wire::resolution::{
    REPORT_KEY, Refusal, RefusalReason, Resolution, ResolvedBundle, VariantBundles, VariantResolution,
};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetStatus,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::apply::Applied;
use crate::kinds::ByName;
use crate::names::Component;
use crate::observed::Observed;
use crate::pipeline::Pipeline;
use crate::plan::{Images, Installation, Plan, plan};
use crate::report;

const PIPELINE: &str = "\
apiVersion: gondola.dev/v1alpha1
kind: RecommenderPipeline
metadata: {name: grocery, namespace: shop, uid: 8f2f, generation: 1}
spec:
  artifacts: {url: 's3://models/grocery', credentials: {secretRef: {name: models-s3}}, endpoint: 'http://minio:9000'}
  features: {bundle: features@stable}
  retrieval: {bundle: two-tower@stable, candidates: 200}
  similarity: {bundle: item-text@stable}
  control: dlrm
  variants:
  - {name: dlrm, scorer: dlrm@stable, weight: 50, replicas: 2, resources: {limits: {nvidia.com/gpu: 1}}}
  - {name: forest, scorer: forest@stable, weight: 50, resources: {requests: {cpu: 500m}}, autoscaling: {minReplicas: 2, maxReplicas: 5}}
";

/// A pipeline with a variant on GPUs and one that is scaled.
pub(crate) fn pipeline() -> RecommenderPipeline {
    gondola_crds::from_yaml(PIPELINE).expect("the fixture is a pipeline")
}

/// As a pass works with it.
pub(crate) fn checked(pipeline: &RecommenderPipeline) -> Pipeline {
    Pipeline::try_from(pipeline).expect("the fixture has what the API server gives")
}

const EXPERIMENT: &str = "  experiment:
    name: dlrm-vs-forest
    control: forest
    arms: [{variant: dlrm, weight: 50}, {variant: forest, weight: 50}]
    traffic: {ramp: [{percent: 5%, hold: 1h}]}
    metrics:
      success: [{name: purchase, type: Conversion, event: purchase, window: 7d}]
    design: {units: 5000}
    promotion: Automatic
    store: {url: 's3://events/grocery', credentials: {secretRef: {name: events-s3}}}
    unitKey: {secretRef: {name: unit-key}}
";

/// The same with an experiment between its variants.
pub(crate) fn with_experiment() -> RecommenderPipeline {
    let control = PIPELINE.replace("  control: dlrm\n", "  control: forest\n");
    gondola_crds::from_yaml(&format!("{control}{EXPERIMENT}")).expect("the fixture is a pipeline")
}

/// The same with all that secures a pipeline.
pub(crate) fn secured() -> RecommenderPipeline {
    let mut pipeline = with_experiment();
    let source = |name: &str| json!({"secretRef": {"name": name}});
    let router = json!({"access": {
        "tls": source("shop-tls"),
        "apiKeys": source("shop-keys"),
        "jwt": {"issuer": "https://login.example", "audience": "gondola", "keys": {"configMapRef": {"name": "issuer"}}},
        "limits": {"requestsPerSecond": 100, "burst": 200, "concurrency": 20},
        "cors": {"origins": ["https://shop.example", "https://b.example"]},
        "forcedArms": source("shop-arms"),
    }});
    pipeline.spec.router = serde_json::from_value(router).expect("it is a router");
    pipeline.spec.mutual_tls = serde_json::from_value(source("shop-pods")).expect("it is a source");
    pipeline.spec.gateway =
        serde_json::from_value(json!({"parentRefs": [{"name": "public"}]})).expect("it is a gateway");
    pipeline.spec.monitoring = serde_json::from_value(json!({})).expect("it is monitoring");
    let tracing = json!({"endpoint": "http://collector.observability:4317", "sampling": "2.5%"});
    pipeline.spec.tracing = serde_json::from_value(tracing).expect("it is tracing");
    pipeline
}

/// The same with its text changed, and of the next generation.
pub(crate) fn changed(from: &str, to: &str) -> RecommenderPipeline {
    assert!(PIPELINE.contains(from), "{from:?} is not in the fixture");
    let mut pipeline =
        gondola_crds::from_yaml(&PIPELINE.replace(from, to)).expect("the fixture is a pipeline");
    pipeline.metadata.generation = Some(2);
    pipeline
}

pub(crate) fn installation() -> Installation {
    Installation {
        images: Images {
            router: "gondola-router:test".into(),
            inference: "gondola-inference:test".into(),
            inference_cuda: "gondola-inference-cuda:test".into(),
            training: "gondola-train:test".into(),
            training_ballista: "gondola-train-ballista:test".into(),
        },
        pod_user: Some(65_532),
        ..Installation::default()
    }
}

/// Bundles of a version.
pub(crate) fn bundles(version: &str) -> VariantBundles {
    let bundle = |name: &str| ResolvedBundle {
        name: name.into(),
        version: version.into(),
        digest: format!(
            "sha256:{}",
            crate::names::short_hash(&format!("{name}{version}")).repeat(8)
        ),
        bytes: 100 << 20,
    };
    VariantBundles {
        features: bundle("features"),
        retrieval: bundle("two-tower"),
        sources: BTreeMap::new(),
        scorer: bundle("scorer"),
        similarity: Some(bundle("item-text")),
    }
}

pub(crate) fn refusal() -> VariantResolution {
    VariantResolution::Refused(Refusal {
        reason: RefusalReason::ContractMismatch,
        message: "dlrm@stable was built for another workflow".into(),
    })
}

/// A cluster that applies every plan at once.
pub(crate) struct Cluster {
    pub(crate) observed: Observed,
}

impl Cluster {
    pub(crate) fn empty() -> Self {
        let observed = Observed {
            account_allowed: true,
            ..Observed::default()
        };
        Self { observed }
    }

    /// The resolver reports for the pipeline's generation; `of` says what became of each variant.
    pub(crate) fn report(
        &mut self,
        pipeline: &RecommenderPipeline,
        of: impl Fn(&str) -> VariantResolution,
    ) -> &mut Self {
        let variants = pipeline.spec.variants.iter();
        let resolution = Resolution {
            generation: pipeline.metadata.generation.unwrap(),
            variants: variants
                .map(|variant| (variant.name.clone(), of(&variant.name)))
                .collect(),
        };
        let name = checked(pipeline).names.resolution();
        let mut config = self.observed.children.configs.get(&name).map_or_else(
            || crate::plan::resolver::config_map(&checked(pipeline)),
            |config| config.as_ref().clone(),
        );
        let text = serde_json::to_string(&resolution).unwrap();
        config.data = Some(BTreeMap::from([(REPORT_KEY.to_owned(), text)]));
        self.observed.children.configs.insert(name, Arc::new(config));
        self.look_in_store(pipeline);
        self
    }

    /// The analyzer found nothing in the experiment's store of how it ended before.
    fn look_in_store(&mut self, pipeline: &RecommenderPipeline) {
        let Some(experiment) = &pipeline.spec.experiment else {
            return;
        };
        let mut config = crate::plan::experiment::evidence(&checked(pipeline));
        let memory = serde_json::to_string(&Memory::nothing(experiment.name.as_str())).unwrap();
        config.data = Some(BTreeMap::from([(MEMORY_KEY.to_owned(), memory)]));
        self.observed
            .children
            .configs
            .insert(config.name_any(), Arc::new(config));
    }

    pub(crate) fn plan(&self, pipeline: &RecommenderPipeline) -> Plan {
        plan(&checked(pipeline), &self.observed, &installation())
    }

    /// Everything that is planned is there, and nothing else; Deployments have their pods as `ready` says.
    pub(crate) fn obey(&mut self, pipeline: &RecommenderPipeline, ready: impl Fn(&str) -> bool) -> Plan {
        let plan = self.plan(pipeline);
        let children = plan.children.clone();
        let kept = plan.kept.clone();
        let names = checked(pipeline).names;
        let stays = |name: &String, object: &ConfigMap| {
            let others = [names.resolution(), names.evidence()];
            others.contains(name) || kept.keeps(object, &kept.names.configs)
        };
        let configs = std::mem::take(&mut self.observed.children.configs);
        self.observed.children.configs = by_name(children.configs);
        let others = configs.into_iter().filter(|(name, config)| stays(name, config));
        self.observed.children.configs.extend(others);
        self.observed.children.accounts = by_name(children.accounts);
        self.observed.children.services = by_name(children.services);
        let deployments = std::mem::take(&mut self.observed.children.deployments);
        let stays = |deployment: &Deployment| kept.keeps(deployment, &kept.names.deployments);
        self.observed.children.deployments = by_name(children.deployments);
        for (name, old) in &deployments {
            // The number of pods is nobody's who applies.
            if let Some(new) = self.observed.children.deployments.get_mut(name) {
                Arc::make_mut(new).spec.replicas = old.spec.replicas;
            } else if stays(old) {
                self.observed
                    .children
                    .deployments
                    .insert(name.clone(), Arc::clone(old));
            }
        }
        for scale in &plan.scales {
            if let Some(deployment) = self.observed.children.deployments.get_mut(&scale.deployment) {
                Arc::make_mut(deployment).spec.replicas = Some(scale.replicas);
            }
        }
        for (name, deployment) in &mut self.observed.children.deployments {
            let deployment = Arc::make_mut(deployment);
            let wanted = *deployment.spec.replicas.get_or_insert(1);
            let count = if ready(name) { wanted } else { 0 };
            let template = Some(&deployment.spec.template);
            let same = deployments.get(name).map(|old| &old.spec.template) == template;
            let progressing = |reason: &str| DeploymentCondition {
                type_: Some("Progressing".into()),
                reason: Some(reason.into()),
                ..DeploymentCondition::default()
            };
            // Rolled out is sticky, as Kubernetes has it.
            let before = deployments
                .get(name)
                .filter(|_| same)
                .and_then(|old| old.status.clone()?.conditions);
            let conditions = match (ready(name), before) {
                (true, _) => vec![progressing("NewReplicaSetAvailable")],
                (false, Some(before)) => before,
                (false, None) => vec![progressing("ReplicaSetUpdated")],
            };
            deployment.status = Some(DeploymentStatus {
                replicas: Some(wanted),
                updated_replicas: Some(wanted),
                ready_replicas: Some(count),
                available_replicas: Some(count),
                conditions: Some(conditions),
                ..DeploymentStatus::default()
            });
            self.observed
                .replica_sets
                .extend(replica_set(name, deployment, count));
        }
        plan
    }

    /// What is true now, given that everything could be applied. Written into the pipeline, as the API server would.
    pub(crate) fn status(&self, pipeline: &mut RecommenderPipeline) {
        let plan = self.plan(pipeline);
        let applied = Applied::default();
        pipeline.status = Some(report::report(&checked(pipeline), &self.observed, &plan, &applied).status);
    }
}

/// What a Deployment makes of its template: one ReplicaSet a template, which stays when the next one comes.
fn replica_set(name: &str, deployment: &Deployment, ready: i32) -> Option<(String, Arc<ReplicaSet>)> {
    let template = deployment.spec.template.clone();
    let hash = crate::names::short_hash(&serde_json::to_string(&template).ok()?);
    let mut set = ReplicaSet::default();
    set.metadata.name = Some(format!("{name}-{hash}"));
    set.metadata.labels = template.metadata.as_ref()?.labels.clone();
    set.spec.template = Some(template);
    set.status = Some(ReplicaSetStatus {
        ready_replicas: Some(ready),
        ..ReplicaSetStatus::default()
    });
    Some((set.name_any(), Arc::new(set)))
}

fn by_name<K: Resource<DynamicType = ()> + Clone>(objects: Vec<K>) -> ByName<K> {
    objects
        .into_iter()
        .map(|object| (object.name_any(), Arc::new(object)))
        .collect()
}

/// The status and the reason of a condition; nothing if there is none.
pub(crate) fn condition<'a>(pipeline: &'a RecommenderPipeline, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = &pipeline.status.as_ref()?.conditions;
    let condition = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((&condition.status, &condition.reason))
}

/// The name of a variant's Deployment.
pub(crate) fn deployment_of(pipeline: &RecommenderPipeline, variant: &str) -> String {
    checked(pipeline).names.component(Component::Variant(variant))
}
