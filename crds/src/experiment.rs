//! The spec of an A/B experiment: who takes part, what is measured, and when it is decided.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::{Place, SecretRef};
use crate::text::{EventType, Factor, HeaderName, Length, Name, Percent, Period, Probability, Salt, Token};

/// An A/B experiment between variants. While it runs, participants are split by the arms' weights, and everybody else gets the control;
/// the variants' own weights are not used.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.arms.exists(a, a.variant == self.control)").message("experiment.control is not one of experiment.arms; add an arm with the control's name"))]
pub struct Experiment {
    /// Its name. A new name is a new experiment, which splits users differently.
    pub name: Name,
    /// The variant that the others are compared with, and that their users fall back to.
    #[schemars(length(min = 1, max = 31))]
    pub control: String,
    /// The variants that are compared, and their shares of the participants.
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["variant".into()]))]
    pub arms: Vec<Arm>,
    /// Whose behavior is compared. Default: the user that a request names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The salt of the hash that splits users; default: `namespace/pipeline/name`, so that a pipeline that moves to another namespace
    /// splits its users differently. Letters, digits and `.`, `_`, `/`, `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
    /// Users who are kept out of every experiment that names the same holdout. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Holdout>,
    /// How many users take part, and in which stages. Default: 1 % for an hour, 5 % for a day, 20 % for a day, then all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What is measured.
    pub metrics: Metrics,
    /// Bounds on errors and latency, which act within minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<Operations>,
    /// How it is decided.
    pub design: Design,
    /// What happens when an arm wins; default: `Manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
    /// Where exposures and outcomes are stored, as Parquet: routers and the analyzer write there.
    pub store: Place,
    /// The key that user ids are hashed with before they leave a pod.
    pub unit_key: UnitKey,
    /// Intervals of recording and analysis. Default: values fit for production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cadence: Option<Cadence>,
    /// A new value restarts the experiment, with the same users and without the data so far; this is the only way to continue after a
    /// rollback.
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
    /// Its share of the participants, relative to the sum of all arms' weights.
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

/// Users who are kept out of experiments, so that the combined effect of experiments can be measured.
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
    /// The final share of users, for example `50%`; default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Smaller shares on the way there, ascending. Default: `1%` for `1h`, `5%` for `24h`, `20%` for `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ramp: Option<Vec<Stage>>,
    /// Minimum time at the final share before an arm can win; default: `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Length>,
}

/// A share of users on the way to all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// The share of users who take part, for example `5%`.
    pub percent: Percent,
    /// Minimum time at this share.
    pub hold: Length,
}

/// What is measured.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// What an arm must improve to win. Higher is better.
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
#[x_kube(validation = Rule::new("self.type == 'Ratio' ? has(self.numerator) && has(self.denominator) && !has(self.event) : has(self.event) && !has(self.numerator) && !has(self.denominator)").message("a Ratio needs numerator and denominator, and no event; every other metric needs only event"))]
pub struct Metric {
    /// Its name.
    pub name: Name,
    /// How outcomes become a number.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// Type of the outcomes that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventType>,
    /// For a ratio: type of the outcomes in the numerator, such as `click`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerator: Option<EventType>,
    /// For a ratio: type of the outcomes in the denominator, such as `impression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<EventType>,
    /// How long after a user's first exposure outcomes count, for example `7d`. A user counts once this time is over.
    pub window: Length,
    /// The relative improvement that a winner must exceed with statistical certainty; default: `0%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_effect: Option<Percent>,
    /// Uses what users did before the experiment to detect smaller effects. Default: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuped: Option<Cuped>,
    /// Upper bound of a user's sum, as a decimal such as `"500"`, so that a few very large sums don't dominate. Choose it from data
    /// collected before the experiment. Default: no bound.
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
    /// Outcomes of one type divided by outcomes of another, over all users.
    Ratio,
}

/// Variance reduction by what users did before their first exposure (Deng, Xu, Kohavi and Walker, WSDM 2013).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cuped {
    /// How far back before the first exposure the same outcomes are counted, for example `28d`.
    pub lookback: Length,
}

/// A metric that an arm must not harm.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == 'Ratio' ? has(self.numerator) && has(self.denominator) && !has(self.event) : has(self.event) && !has(self.numerator) && !has(self.denominator)").message("a Ratio needs numerator and denominator, and no event; every other metric needs only event"))]
pub struct Guardrail {
    /// Its name.
    pub name: Name,
    /// How outcomes become a number.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// Type of the outcomes that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventType>,
    /// For a ratio: type of the outcomes in the numerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerator: Option<EventType>,
    /// For a ratio: type of the outcomes in the denominator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<EventType>,
    /// How long after a user's first exposure outcomes count.
    pub window: Length,
    /// The relative loss that is tolerated, for example `2%`.
    pub margin: Percent,
    /// Upper bound of a user's sum. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Factor>,
}

/// Bounds on errors and latency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operations {
    /// An arm with a larger share of errors in two successive 30-second ticks, with 50 requests or more in each, is rolled back; default:
    /// `5%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_rate: Option<Percent>,
    /// How many times the control's share of errors, fallbacks and empty answers an arm may have; default: `1.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<Factor>,
    /// What counts as slow. Default: 300 ms, at most 1.2 times as often as the control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The chance of a false alarm over the whole experiment; default: `0.01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Probability>,
}

/// What counts as slow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// An answer that takes longer is slow, for example `300ms`.
    pub slo: Length,
    /// How many times the control's share of slow answers an arm may have; default: `1.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Factor>,
}

/// How it is decided.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.units) || (has(self.minDetectableLift) && has(self.baseline))").message("a plan is missing; set minDetectableLift and baseline, or units"))]
pub struct Design {
    /// When the data may decide; default: `Hybrid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The chance that a variant wins although it is not better; default: `0.05`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Probability>,
    /// The chance that an improvement of `minDetectableLift` is found; default: `0.8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Probability>,
    /// The smallest relative improvement that matters, for example `5%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_detectable_lift: Option<Percent>,
    /// The control's expected mean of the first success metric: for a conversion its rate, such as `"0.03"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Factor>,
    /// The standard deviation of the first success metric between users, which planning needs for everything but conversions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Factor>,
    /// How many users each arm needs. Default: computed from the numbers above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 1_000_000_000))]
    pub units: Option<i64>,
    /// Minimum time before an arm can win, rounded up to whole weeks if it is a day or more; default: `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_duration: Option<Length>,
    /// Maximum duration; default: `42d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Length>,
    /// Arms whose 90 % interval of the lift is within plus or minus this are called equivalent. Default: none are.
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

/// What happens when an arm wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Promotion {
    /// It is reported, and the experiment continues until the spec is changed.
    #[default]
    Manual,
    /// Everybody gets it. The spec stays as it is, and the status says what to change.
    Automatic,
}

/// The key that ids are hashed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitKey {
    /// A Secret in the pipeline's namespace with the key `unit-key`: at least 16 random bytes. With another key, everybody counts as a new
    /// user.
    pub secret_ref: SecretRef,
}

/// Intervals of recording and analysis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cadence {
    /// How long a router buffers events before it writes them; default: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush: Option<Period>,
    /// How late an event may arrive and still count; default: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Length>,
    /// How often events are analyzed; default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Period>,
    /// The time that one point of the results over time covers; default: `24h`.
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
