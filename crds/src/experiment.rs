//! What a platform team asks of an A/B experiment: who takes part, what is measured, and when it is decided.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::{Credentials, SecretRef, VolumeClaim};
use crate::text::{
    ENDPOINT, EventType, Factor, HeaderName, Length, Name, Percent, Period, Probability, Salt, Token,
};

/// An A/B experiment between variants. While it runs, who takes part is split by the arms' weights, and everybody else gets
/// the control; the variants' own weights are not used.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.arms.exists(a, a.variant == self.control)").message("experiment.control is none of experiment.arms; add an arm with the control's name"))]
pub struct Experiment {
    /// Its name. Another name is another experiment, which splits users in another way.
    pub name: Name,
    /// The variant that the others are compared with, and that their users fall back to.
    #[schemars(length(min = 1, max = 31))]
    pub control: String,
    /// The variants that are compared, and their shares of those who take part.
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["variant".into()]))]
    pub arms: Vec<Arm>,
    /// Whose behavior is compared. Left out: the user that a request names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// What users are split by; `namespace/pipeline/name` where it is left out, so that a pipeline that moves to another namespace
    /// splits its users in another way. Letters, digits and `.`, `_`, `/`, `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
    /// Users who are kept out of every experiment that names the same holdout. Left out: nobody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Holdout>,
    /// How many users take part, and in which steps. Left out: 1 % for an hour, 5 % for a day, 20 % for a day, then all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What is measured.
    pub metrics: Metrics,
    /// Bounds on errors and latency, which act within minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<Operations>,
    /// How it is decided.
    pub design: Design,
    /// What becomes of an arm that wins; `Manual` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
    /// Where exposures and outcomes are kept.
    pub store: EventStore,
    /// The key that ids of users are hashed with before they leave a pod.
    pub unit_key: UnitKey,
    /// How often things are done. Left out: as in production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cadence: Option<Cadence>,
    /// Another text here starts the experiment again, with the same users and without the data so far: the only way on after
    /// a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_token: Option<Token>,
}

/// A variant in an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Arm {
    /// Name of one of `spec.variants`.
    #[schemars(length(min = 1, max = 32))]
    pub variant: String,
    /// Its share of those who take part, relative to the sum of all arms' weights.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: i32,
}

/// Whose behavior is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unit {
    /// The request's header (gRPC: metadata) with the id, such as `x-visitor-id`. One kind of id for the whole experiment.
    pub header: HeaderName,
}

/// Users who are kept out of experiments, so that the sum of what experiments changed can be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holdout {
    /// Its name; experiments of a namespace that name it keep out the same users.
    pub name: Name,
    /// The share of all users, for example `2%`.
    pub percent: Percent,
}

/// How many users take part.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// The share of users in the end, for example `50%`; all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Smaller shares on the way there, ascending. Left out: `1%` for `1h`, `5%` for `24h`, `20%` for `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ramp: Option<Vec<Stage>>,
    /// How long the last share is kept at least before an arm can win; `24h` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Length>,
}

/// A share of users on the way to all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// The share of users who take part, for example `5%`.
    pub percent: Percent,
    /// How long it stays at least.
    pub hold: Length,
}

/// What is measured.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// What an arm must improve to win. More is better.
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub success: Vec<Metric>,
    /// What an arm must not harm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub guardrails: Vec<Guardrail>,
}

/// A number for each user, from the user's outcomes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == 'Ratio' ? has(self.numerator) && has(self.denominator) && !has(self.event) : has(self.event) && !has(self.numerator) && !has(self.denominator)").message("a Ratio needs numerator and denominator, and no event; every other metric needs event alone"))]
pub struct Metric {
    /// Its name.
    pub name: Name,
    /// How outcomes become a number.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// Type of the outcomes that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventType>,
    /// Of a ratio: type of the outcomes above the line, such as `click`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerator: Option<EventType>,
    /// Of a ratio: type of the outcomes below the line, such as `impression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<EventType>,
    /// How long after a user's first exposure outcomes count, for example `7d`. A user counts when it is over.
    pub window: Length,
    /// The relative improvement that a winner must exceed for certain; `0%` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_effect: Option<Percent>,
    /// Uses what users did before, to see smaller effects. Left out: not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuped: Option<Cuped>,
    /// The most that a user's sum counts for, as a decimal such as `"500"`, so that a few very large ones don't drown the
    /// rest. Choose it from data before the experiment. Left out: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Factor>,
}

/// How a user's outcomes become a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MetricKind {
    /// Whether there was one.
    Conversion,
    /// How many there were.
    Count,
    /// The sum of their values.
    Sum,
    /// How many of one type, of how many of another, over all users.
    Ratio,
}

/// Variance reduction by what users did before their first exposure (Deng, Xu, Kohavi and Walker, WSDM 2013).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cuped {
    /// How long before the first exposure the same outcomes are counted, for example `28d`.
    pub lookback: Length,
}

/// A metric that an arm must not harm.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == 'Ratio' ? has(self.numerator) && has(self.denominator) && !has(self.event) : has(self.event) && !has(self.numerator) && !has(self.denominator)").message("a Ratio needs numerator and denominator, and no event; every other metric needs event alone"))]
pub struct Guardrail {
    /// Its name.
    pub name: Name,
    /// How outcomes become a number.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// Type of the outcomes that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventType>,
    /// Of a ratio: type of the outcomes above the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerator: Option<EventType>,
    /// Of a ratio: type of the outcomes below the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<EventType>,
    /// How long after a user's first exposure outcomes count.
    pub window: Length,
    /// The relative loss that is tolerated, for example `2%`.
    pub margin: Percent,
    /// The most that a user's sum counts for. Left out: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Factor>,
}

/// Bounds on errors and latency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operations {
    /// An arm with a larger share of errors in two successive ticks of 30 seconds, at 50 requests or more each, is rolled
    /// back; `5%` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_rate: Option<Percent>,
    /// How many times the control's share of errors, fallbacks and empty answers an arm may have; `1.2` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<Factor>,
    /// What counts as slow. Left out: 300 ms, at most 1.2 times as often as the control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The chance of a false alarm over the whole experiment; `0.01` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Probability>,
}

/// What counts as slow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// An answer that takes longer is slow, for example `300ms`.
    pub slo: Length,
    /// How many times the control's share of slow answers an arm may have; `1.2` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Factor>,
}

/// How it is decided.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.units) || (has(self.minDetectableLift) && has(self.baseline))").message("a plan is missing; give minDetectableLift and baseline, or units"))]
pub struct Design {
    /// When data may decide; `Hybrid` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The chance that a variant wins which is not better; `0.05` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Probability>,
    /// The chance that an improvement of `minDetectableLift` is found; `0.8` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Probability>,
    /// The smallest relative improvement that matters, for example `5%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_detectable_lift: Option<Percent>,
    /// The control's mean of the first success metric, as far as it is known before: for a conversion its rate, such as
    /// `"0.03"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Factor>,
    /// The standard deviation of the first success metric between users, which planning needs for all but conversions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Factor>,
    /// How many users each arm needs. Left out: computed from the numbers above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 1_000_000_000))]
    pub units: Option<i64>,
    /// The shortest time until an arm wins, rounded up to whole weeks where it is a day or more; `7d` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_duration: Option<Length>,
    /// The longest time until it is over; `42d` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Length>,
    /// Arms whose 90 % interval of the lift lies within plus or minus this are called equivalent. Left out: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivalence_margin: Option<Percent>,
}

/// When data may decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Method {
    /// At any time by a confidence sequence with a fifth of alpha, and once, at the planned number of users, by Welch's test
    /// with the rest.
    #[default]
    Hybrid,
    /// At any time, by a confidence sequence alone.
    Sequential,
    /// Once, at the planned number of users, by Welch's test alone.
    Fixed,
}

/// What becomes of an arm that wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Promotion {
    /// It is reported, and the experiment goes on until the spec is changed.
    #[default]
    Manual,
    /// Everybody gets it. The spec stays as it is, and the status says what to change.
    Automatic,
}

/// Where exposures and outcomes are kept, as Parquet.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.volumeClaim) || !has(self.credentials)").message("credentials and volumeClaim are both given; give the one that the store needs"))]
#[x_kube(validation = Rule::new("!has(self.volumeClaim) || self.url.startsWith('file://')").message("volumeClaim is given, but url is not a file:// URL, so that the volume would not be used; leave one out"))]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !self.url.startsWith('file://')").message("endpoint is given, but url is a file:// URL, which needs none; leave one out"))]
pub struct EventStore {
    /// URL of the store, for example `s3://events/grocery`. The pipeline's pods write there.
    #[schemars(length(min = 1, max = 1024))]
    pub url: String,
    /// Where an S3-compatible store answers. Left out: as the URL's scheme says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ENDPOINT), length(max = 1024))]
    pub endpoint: Option<String>,
    /// A claim for the volume that holds the store, in routers and analyzer. The path of the `file://` URL is the folder inside of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<VolumeClaim>,
    /// Credentials of the store. Left out: the identity of the pods' service accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// The key that ids are hashed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitKey {
    /// A Secret in the pipeline's namespace with the key `unit-key`: at least 16 random bytes. Another key makes other
    /// users of all.
    pub secret_ref: SecretRef,
}

/// How often things are done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cadence {
    /// How long a router gathers events until it writes them; `60s` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush: Option<Period>,
    /// How late an event may come and still count; `1h` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Length>,
    /// How often events are analyzed; `5m` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Period>,
    /// How long one point of the course over time covers; `24h` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Period>,
}

impl Guardrail {
    /// The metric that is guarded.
    pub fn metric(&self) -> Metric {
        Metric {
            name: self.name.clone(),
            kind: self.kind,
            event: self.event.clone(),
            numerator: self.numerator.clone(),
            denominator: self.denominator.clone(),
            window: self.window.clone(),
            min_effect: None,
            cuped: None,
            cap: self.cap.clone(),
        }
    }
}
