//! The spec: what a platform team requests.
//!
//! Fields that these types don't know are ignored when an object is read from the API server, which prunes them by its schema: an operator
//! must keep working when a newer definition has more. In manifests that people write, an unknown field is an error: see
//! [`from_yaml`](crate::from_yaml).

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Access, SecretSource};
use crate::experiment::Experiment;
use crate::online::Online;
use crate::schema;
use crate::status::RecommenderPipelineStatus;
use crate::store::{Credentials, SecretRef, VolumeClaim};
use crate::text::{BundleRef, CollectorUrl, ENDPOINT, Percent, PollInterval, Temperature, VARIANT_NAME};

/// A recommender: its models and indexes in object storage, how requests are answered, and the variants that users are split between.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gondola.dev",
    version = "v1alpha1",
    kind = "RecommenderPipeline",
    plural = "recommenderpipelines",
    shortname = "recpipe",
    namespaced,
    status = "RecommenderPipelineStatus",
    derive = "PartialEq",
    doc = "A recommender: its models and indexes in object storage, how requests are answered, and the variants that users are split between.",
    validation = Rule::new("self.metadata.name.size() <= 30 && self.metadata.name.matches('^[a-z]([a-z0-9]|-[a-z0-9])*$')").message("metadata.name is part of the names of Services, which have at most 63 characters; use at most 30 lower-case letters, digits and single '-', beginning with a letter"),
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Available","type":"string","jsonPath":".status.conditions[?(@.type=='Available')].status"}"#,
    printcolumn = r#"{"name":"Variants","type":"string","jsonPath":".status.readyVariants"}"#,
    printcolumn = r#"{"name":"Traffic","type":"string","jsonPath":".status.traffic"}"#,
    printcolumn = r#"{"name":"Suspended","type":"boolean","jsonPath":".spec.suspend"}"#,
    printcolumn = r#"{"name":"Experiment","type":"string","jsonPath":".status.experiment.name","priority":1}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.experiment.phase","priority":1}"#,
    printcolumn = r#"{"name":"Enrolled","type":"string","jsonPath":".status.experiment.trafficPercent","priority":1}"#,
    printcolumn = r#"{"name":"Units","type":"string","jsonPath":".status.experiment.units","priority":1}"#,
    printcolumn = r#"{"name":"Lift","type":"string","jsonPath":".status.experiment.lift","priority":1}"#,
    printcolumn = r#"{"name":"Interval","type":"string","jsonPath":".status.experiment.interval","priority":1}"#,
    printcolumn = r#"{"name":"SRM","type":"string","jsonPath":".status.conditions[?(@.type=='SampleRatioMismatch')].reason","priority":1}"#,
    printcolumn = r#"{"name":"Verdict","type":"string","jsonPath":".status.experiment.decision.verdict","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].message","priority":1}"#,
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".status.url","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.variants.all(v, !(v.name in ['router', 'resolver', 'analyzer']))").message("a variant can't be called router, resolver or analyzer, since other pods of the pipeline have these names"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || !has(oldSelf.experiment) || self.experiment.name != oldSelf.experiment.name || (has(self.experiment.restartToken) && (!has(oldSelf.experiment.restartToken) || self.experiment.restartToken != oldSelf.experiment.restartToken)) || (self.experiment.control == oldSelf.experiment.control && self.experiment.arms == oldSelf.experiment.arms && self.experiment.design == oldSelf.experiment.design && self.experiment.metrics == oldSelf.experiment.metrics && self.experiment.store == oldSelf.experiment.store && self.experiment.unitKey == oldSelf.experiment.unitKey && (has(self.experiment.salt) ? has(oldSelf.experiment.salt) && self.experiment.salt == oldSelf.experiment.salt : !has(oldSelf.experiment.salt)) && (has(self.experiment.unit) ? has(oldSelf.experiment.unit) && self.experiment.unit == oldSelf.experiment.unit : !has(oldSelf.experiment.unit)) && (has(self.experiment.holdout) ? has(oldSelf.experiment.holdout) && self.experiment.holdout == oldSelf.experiment.holdout : !has(oldSelf.experiment.holdout)))").message("control, arms, unit, salt, holdout, metrics, design, store and unitKey of an experiment can't change while it runs; give the experiment a new name or a new restartToken, which restarts it"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || !has(oldSelf.experiment) || self.experiment.name != oldSelf.experiment.name || (has(self.experiment.restartToken) && (!has(oldSelf.experiment.restartToken) || self.experiment.restartToken != oldSelf.experiment.restartToken)) || (self.artifacts.url == oldSelf.artifacts.url && self.features == oldSelf.features && self.retrieval == oldSelf.retrieval && (has(self.similarity) ? has(oldSelf.similarity) && self.similarity == oldSelf.similarity : !has(oldSelf.similarity)) && (has(self.ordering) ? has(oldSelf.ordering) && self.ordering == oldSelf.ordering : !has(oldSelf.ordering)))").message("artifacts.url, features, retrieval, similarity and ordering are what an experiment's arms have in common, and can't change while it runs; give the experiment a new name or a new restartToken, which restarts it"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || !has(oldSelf.experiment) || self.experiment.name != oldSelf.experiment.name || (has(self.experiment.restartToken) && (!has(oldSelf.experiment.restartToken) || self.experiment.restartToken != oldSelf.experiment.restartToken)) || self.experiment.arms.all(a, self.variants.exists(v, v.name == a.variant && oldSelf.variants.exists(o, o.name == a.variant && o.scorer == v.scorer && (has(o.retrieval) ? has(v.retrieval) && o.retrieval == v.retrieval : !has(v.retrieval)) && (has(o.device) ? has(v.device) && o.device == v.device : !has(v.device)))))").message("scorer, retrieval and device of a variant that is an arm of an experiment can't change while it runs; give the experiment a new name or a new restartToken, which restarts it"))]
#[x_kube(validation = Rule::new("self.variants.size() == 1 || has(self.control)").message("there are several variants and no control; set spec.control to the variant that the others' users fall back to"))]
#[x_kube(validation = Rule::new("!has(self.control) || self.variants.exists(v, v.name == self.control)").message("spec.control is not the name of a variant; use one of the names in spec.variants"))]
#[x_kube(validation = Rule::new("!has(self.control) || !has(self.experiment) || self.control == self.experiment.control").message("spec.control and spec.experiment.control differ; set both to the same variant"))]
#[x_kube(validation = Rule::new("self.variants.all(v, !has(v.replicas) || v.replicas > 0 || ((!has(self.control) || v.name != self.control) && self.variants.size() > 1 && (!has(self.experiment) || !self.experiment.arms.exists(a, a.variant == v.name))))").message("replicas is 0 for the control or for an arm of the experiment, which users would still be sent to; set it to 1 or more"))]
#[x_kube(validation = Rule::new("self.variants.exists(v, v.weight > 0)").message("no variant has a weight above 0, so nobody would be served; give one variant a weight"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || self.experiment.arms.all(a, self.variants.exists(v, v.name == a.variant))").message("an arm of the experiment names a variant that does not exist; use the names in spec.variants"))]
pub struct RecommenderPipelineSpec {
    /// Where the bundles are.
    pub artifacts: Artifacts,
    /// Raw features of users and items, and the workflow that encodes them.
    pub features: Features,
    /// How candidates are found.
    pub retrieval: Retrieval,
    /// Similar items by text. Default: not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<Similarity>,
    /// Items that may not be recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// How many of the scored candidates are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering: Option<Ordering>,
    /// The variant that other variants' users fall back to, and that answers requests without a user. Required if there are several
    /// variants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 31))]
    pub control: Option<String>,
    /// The variants that users are split between by weight, in any order. A user stays with a variant as long as the weights allow.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub variants: Vec<Variant>,
    /// An A/B experiment between variants. Default: users are split by weight, and nothing is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Experiment>,
    /// The router pods, which assign every user to a variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<Router>,
    /// TLS between routers and variants, both of which show a certificate: a Secret with `tls.crt` and `tls.key` for the name
    /// `PIPELINE.NAMESPACE.svc`, and the authority's `ca.crt`, as cert-manager writes it. Default: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutual_tls: Option<SecretSource>,
    /// Settings for every pod of the pipeline. A variant's own `pods` is merged on top: maps and lists by key; everything else is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodOverrides>,
    /// How new pods of variants replace old ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutLimits>,
    /// Seconds that a rollout may take before it counts as stalled; default: 600. Large models need more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 86_400))]
    pub progress_deadline_seconds: Option<i32>,
    /// Routes from outside the cluster, if the Gateway API is installed. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// Scraping by Prometheus, if its operator is installed. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Spans of requests, for OpenTelemetry. Default: none are sent, and `traceparent` is handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// Who may reach the pods, and what they may reach. Default: no rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkRules>,
    /// Stops the operator from changing anything. Pods keep serving, and a harmful experiment is still rolled back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// What the platform decides about pods. Everything else is up to the operator, so that a pipeline can't request privileges.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodOverrides {
    /// Image of the pods that run models. Default: the one that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Names of Secrets that hold the registry's credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<SecretRef>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are tolerated, such as those of GPU nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Vec<Toleration>,
    /// Which nodes are preferred, and which pods are kept together or apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// The runtime class, for example `nvidia`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
    /// The priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Additional environment variables. Names that start with `GONDOLA_` belong to the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<Variable>,
    /// Log filter, for example `info` or `warn,gondola_router=debug`. Default: `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9_:=,.-]+$"), length(max = 256))]
    pub log: Option<String>,
    /// Additional labels of pods, such as those of a mesh or of a cost center. Keys under `gondola.dev/` and `app.kubernetes.io/` belong
    /// to the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('gondola.dev/') && !key.startsWith('app.kubernetes.io/'))").message("labels under gondola.dev/ and app.kubernetes.io/ belong to the operator; choose another key"))]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// Additional annotations of pods. Keys under `gondola.dev/` belong to the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('gondola.dev/'))").message("annotations under gondola.dev/ belong to the operator; choose another key"))]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// An environment variable.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.name.startsWith('GONDOLA_')").message("variables that start with GONDOLA_ belong to the operator; use fields of the spec, such as pods.log and router.deadlineMilliseconds"))]
pub struct Variable {
    /// Its name.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"), length(max = 128))]
    pub name: String,
    /// Its value. Secrets are mounted as files instead: see `artifacts.credentials`.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// How new pods replace old ones. Default: one new pod at a time, and no old pod stops before a new one answers.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.maxSurge) && has(self.maxUnavailable)) || !(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])").message("maxSurge and maxUnavailable are both 0, so no pod could ever be replaced; set one of them to 1 or more"))]
#[x_kube(validation = Rule::new("!has(self.maxSurge) || has(self.maxUnavailable) || !(string(self.maxSurge) in ['0', '0%'])").message("maxSurge is 0, so an old pod has to stop before a new one starts; set maxUnavailable to 1 or more"))]
pub struct RolloutLimits {
    /// How many pods there may be above the desired number, as a number or a percentage; default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count_or_percentage")]
    pub max_surge: Option<IntOrString>,
    /// How many of the desired pods may be unavailable, as a number or a percentage; default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count_or_percentage")]
    pub max_unavailable: Option<IntOrString>,
}

/// Routes from outside the cluster: an HTTPRoute of the Gateway API. It exposes recommendations and similar items, and nothing else.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// The Gateways that the route attaches to.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub parent_refs: Vec<ParentRef>,
    /// Host names that the route matches. Default: all of the Gateway's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hostnames: Vec<String>,
}

/// A Gateway, or another parent of routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group; default: `gateway.networking.k8s.io`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Kind; default: `Gateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
    /// Namespace; default: the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The listener. Default: every listener that accepts the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// The listener's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
}

/// Scraping by Prometheus: a PodMonitor of the routers and the variants.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Scrape interval, for example `30s`. Default: as Prometheus is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([1-9][0-9]{0,5}(ms|s|m|h))+$"), length(max = 32))]
    pub interval: Option<String>,
    /// Labels of the PodMonitor, by which Prometheus often selects them, for example `release: prometheus`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub labels: BTreeMap<String, String>,
    /// Who may read metrics if `networkPolicy` is set. Default: pods of any namespace with `app.kubernetes.io/name: prometheus`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub from: Vec<NetworkPolicyPeer>,
}

/// Spans of requests: of the router, of the pods that it asks, and of each stage of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// An OpenTelemetry collector of the cluster that takes spans over OTLP and gRPC, as `http://HOST:PORT`. With `networkPolicy`, name it
    /// there under `egress` too.
    pub endpoint: CollectorUrl,
    /// Share of the traces that are kept where a client's `traceparent` does not say; default: 1%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Percent>,
}

/// Who may reach the pods, and what they may reach: NetworkPolicies that deny everything else. DNS, the API server (for pods that need
/// it), the pipeline's own pods and Prometheus are allowed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkRules {
    /// What pods that read or write stores may reach in addition, as in a NetworkPolicy: address ranges, or pods by their labels. Default:
    /// nothing, which is enough for a volume.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub egress: Vec<NetworkPolicyEgressRule>,
}

/// Where the bundles are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.credentials), has(self.serviceAccountName), has(self.volumeClaim)].filter(given, given).size() <= 1").message("more than one of credentials, serviceAccountName and volumeClaim is set; keep the one that the store needs"))]
#[x_kube(validation = Rule::new("!has(self.volumeClaim) || self.url.startsWith('file://')").message("volumeClaim is set, but url is not a file:// URL, so the volume would not be used; remove volumeClaim or change url"))]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !self.url.startsWith('file://')").message("endpoint is set, but url is a file:// URL, which needs none; remove endpoint or change url"))]
pub struct Artifacts {
    /// URL of the store, for example `s3://models/grocery` or `file:///models`.
    #[schemars(length(min = 1, max = 1024))]
    pub url: String,
    /// The pods' service account, in the pipeline's namespace, for stores that use workload identity. Default: the pipeline's own. It must
    /// carry the label `gondola.dev/allow-use: "true"`, so that people who may write pipelines can't use just any account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Endpoint of an S3-compatible store, for example `http://minio:9000`. Default: the one that the URL's scheme implies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ENDPOINT), length(max = 1024))]
    pub endpoint: Option<String>,
    /// A claim for the volume that holds the store. The path of the `file://` URL is the folder inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<VolumeClaim>,
    /// Credentials for the store. Default: the identity of the pods' service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// How often channels are looked up, for example `1m` (the default) or `30s`; 5 seconds or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_interval: Option<PollInterval>,
}

/// Raw features and the workflow that encodes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// The features bundle.
    pub bundle: BundleRef,
    /// Where users and items are kept that are put at run time, and what users do. Default: nowhere, and changes are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<Online>,
}

/// How candidates are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retrieval {
    /// The retrieval bundle: two towers and an index.
    pub bundle: BundleRef,
    /// How many candidates the two-tower search returns per request; default: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub candidates: Option<i32>,
    /// How thoroughly the index is searched. Default: as the bundle says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Additional sources of candidates. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// How thoroughly an index is searched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// Number of lists that an IVF search visits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub nprobe: Option<i32>,
    /// Size of the candidate list that an HNSW search keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub ef_search: Option<i32>,
}

/// Sources of candidates in addition to the two-tower search.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sources {
    /// Items that the user bought before, most often bought first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bought_before: Option<Quota>,
    /// Items bought by people who recently bought the same items as the user, and that the user has not bought; needs neighbors in the
    /// features bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_bought: Option<Quota>,
    /// The most popular items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub popular: Option<Quota>,
    /// Models of who buys what, each a bundle of its own: EASE^R, SLIM, RP3beta, ItemKNN, UserKNN, ALS, BPR, SASRec, or a list for everybody. They
    /// name items that the user has not bought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub trained: Vec<TrainedSource>,
}

/// A trained source of candidates.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(self.name in ['two-tower', 'bought-before', 'co-bought', 'popular'])").message("two-tower, bought-before, co-bought and popular are sources of their own; give the trained one another name"))]
pub struct TrainedSource {
    /// Its name, which explanations of answers use.
    #[schemars(regex(pattern = VARIANT_NAME), length(min = 1, max = 31))]
    pub name: String,
    /// The source bundle.
    pub bundle: BundleRef,
    /// How many items it may add to a request. 0: none, where a scorer reads what it says of those of other sources.
    #[schemars(range(min = 0, max = 10_000))]
    pub candidates: i32,
}

/// How many candidates a source may add.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Number of items per request.
    #[schemars(range(min = 1, max = 10_000))]
    pub candidates: i32,
}

/// Similar items by text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Similarity {
    /// The similarity bundle: text embeddings of items, their index, and the encoder.
    pub bundle: BundleRef,
    /// How thoroughly the index is searched. Default: as the bundle says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
}

/// Items that may not be recommended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filters {
    /// What happens to items that the user bought before; default: `Keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub already_bought: Option<AlreadyBought>,
    /// Ids of items that are never recommended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub blocked_items: Vec<String>,
}

/// What happens to items that the user bought before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AlreadyBought {
    /// They may be recommended again.
    Keep,
    /// They are removed.
    Remove,
}

/// How many of the scored candidates are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ordering {
    /// How many items a request gets if it asks for no number; default: 12.
    #[schemars(range(min = 1, max = 10_000))]
    pub limit: i32,
    /// Draws items at random by their scores, so that lesser-known ones are shown too. Default: best first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    /// Limits how many similar items an answer may have. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
}

/// Draws items by a softmax of their scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sampling {
    /// How random the draw is, as a decimal above 0 such as `"0.5"`; near 0 the best come first. The chances are a softmax: for
    /// probabilities, an item's chance is proportional to its score to the power of 1 / temperature, so that at 1 the scores are the
    /// chances; for other scores (regression, ranking), to exp(score / temperature).
    pub temperature: Temperature,
}

/// Limits how many similar items an answer may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diversity {
    /// A categorical item column of the features bundle, for example `product_type`.
    #[schemars(length(min = 1, max = 256))]
    pub column: String,
    /// How many items in an answer may have the same value in that column. An answer may therefore have fewer items than requested.
    #[schemars(range(min = 1, max = 10_000))]
    pub most: i32,
}

/// One way of answering requests.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.autoscaling) || !has(self.replicas)").message("replicas and autoscaling are both set; remove replicas, which the autoscaler decides"))]
#[x_kube(validation = Rule::new("!has(self.autoscaling) || (has(self.resources) && ((has(self.resources.requests) && 'cpu' in self.resources.requests) || (has(self.resources.limits) && 'cpu' in self.resources.limits)))").message("autoscaling compares CPU usage with the request; set resources.requests.cpu"))]
#[x_kube(validation = Rule::new("!has(self.device) || self.device != 'CUDA' || (has(self.resources) && has(self.resources.limits) && self.resources.limits.exists(name, name.startsWith('nvidia.com/')))").message("device is CUDA, but resources.limits names no GPU; set for example nvidia.com/gpu: 1"))]
pub struct Variant {
    /// Its name; part of the names of its Deployment and its Service.
    #[schemars(regex(pattern = VARIANT_NAME), length(max = 31))]
    pub name: String,
    /// The scorer bundle.
    pub scorer: BundleRef,
    /// Its share of the users, relative to the sum of all weights.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: i32,
    /// Number of pods. Default: one at first, and from then on whatever KEDA or a person sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// Resource requests and limits of each pod, for example one `nvidia.com/gpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// What its networks and its text encoder run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Retrieval for this variant only, which replaces the pipeline's; nothing is merged. Default: the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<Retrieval>,
    /// Scales the number of pods with their load, starting from the current number. Default: no autoscaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Settings for this variant's pods, on top of the pipeline's `pods`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodOverrides>,
}

/// What a variant's models run on; default: `CPU`. `CUDA` needs pods with a GPU, such as those whose `resources.limits` name one
/// `nvidia.com/gpu`. Towers, exact retrieval, neural scorers and the text encoder run there, for requests that are gathered for a
/// moment; forests always run on processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Device {
    /// The processor.
    #[serde(rename = "CPU")]
    Cpu,
    /// An NVIDIA GPU.
    #[serde(rename = "CUDA")]
    Cuda,
}

/// Bounds of the number of pods, and the load that it follows.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas is above maxReplicas; give the smaller number first"))]
pub struct Autoscaling {
    /// Minimum number of pods.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Maximum number of pods.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Target CPU usage, in percent of the request: pods are added above it; default: 70.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_percent: Option<i32>,
}

/// The router pods, which assign every user to a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Router {
    /// Number of pods; default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<i32>,
    /// Resource requests and limits of each pod; default: a tenth of a processor and 64 MiB, at most 512 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// Milliseconds that an answer may take if the client sends no deadline; default: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_milliseconds: Option<i32>,
    /// Who may send requests. Default: everybody who reaches a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

impl Artifacts {
    /// Where the bundles are and how they are reached, without how often channels are looked up.
    pub fn place(&self) -> Self {
        Self {
            poll_interval: None,
            ..self.clone()
        }
    }

    /// How often channels are looked up, if the spec says so.
    pub fn poll_every(&self) -> Option<Duration> {
        self.poll_interval.as_ref().map(PollInterval::duration)
    }
}

impl RecommenderPipelineSpec {
    /// The variant that others are compared with, and that their users fall back to: the one that is named, else the only one.
    pub fn control(&self) -> Option<&Variant> {
        let of_experiment = self.experiment.as_ref().map(|experiment| &experiment.control);
        match self.control.as_ref().or(of_experiment) {
            Some(name) => self.variants.iter().find(|variant| variant.name == *name),
            None => self.variants.first(),
        }
    }

    /// How a variant's candidates are found: its own way, or else the pipeline's.
    pub fn retrieval_of<'a>(&'a self, variant: &'a Variant) -> &'a Retrieval {
        variant.retrieval.as_ref().unwrap_or(&self.retrieval)
    }
}
