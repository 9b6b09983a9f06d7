//! The rules of the schema as plain Rust, for programs that read a manifest without an API server.

use std::collections::HashSet;
use std::fmt;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::experiment::{EventStore, Experiment, Guardrail, MetricKind};
use crate::spec::duration;
use crate::spec::{
    Artifacts, BundleRef, Device, Filters, Ordering, PodOverrides, RecommenderPipeline,
    RecommenderPipelineSpec, Retrieval, RolloutLimits, Sampling, Search, Variant,
};

/// Why a manifest can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not YAML, or not of a pipeline's form.
    #[error("the manifest is not a valid RecommenderPipeline")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// It is something else.
    #[error(
        "the manifest is a {found}; give one of apiVersion gondola.dev/v1alpha1 and kind RecommenderPipeline"
    )]
    Kind {
        /// Its kind and API version.
        found: String,
    },
    /// It breaks rules.
    #[error("the pipeline breaks {} of the rules: {}", .0.len(), Joined(.0))]
    Rules(Vec<Violation>),
}

/// A rule that a spec breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which field, as a path.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

struct Joined<'a>(&'a [Violation]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, violation) in self.0.iter().enumerate() {
            write!(f, "{}{violation}", if position == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Reads one manifest that a person wrote, and checks it against every rule: a field that nobody knows is an error.
pub fn from_yaml(yaml: &str) -> Result<RecommenderPipeline, ManifestError> {
    let (pipeline, unknown) = read(yaml)?;
    let mut violations: Vec<Violation> = unknown.into_iter().map(unknown_field).collect();
    violations.extend(pipeline.spec.violations());
    match violations {
        violations if violations.is_empty() => Ok(pipeline),
        violations => Err(ManifestError::Rules(violations)),
    }
}

/// Reads the manifest that an operator wrote for its pods. Fields that only a newer release knows are ignored, so that a pod of an
/// older image starts.
pub fn from_manifest(text: &str) -> Result<RecommenderPipeline, ManifestError> {
    let (pipeline, _) = read(text)?;
    match pipeline.spec.violations() {
        violations if violations.is_empty() => Ok(pipeline),
        violations => Err(ManifestError::Rules(violations)),
    }
}

/// A manifest, and the fields that no type knows, as paths.
fn read(yaml: &str) -> Result<(RecommenderPipeline, Vec<String>), ManifestError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Type {
        #[serde(default)]
        api_version: String,
        #[serde(default)]
        kind: String,
    }
    let wrap = |error| ManifestError::Yaml(Box::new(error));
    let Type { api_version, kind } = serde_saphyr::from_str(yaml).map_err(wrap)?;
    if (api_version.as_str(), kind.as_str()) != ("gondola.dev/v1alpha1", "RecommenderPipeline") {
        return Err(ManifestError::Kind {
            found: format!("{kind:?} of {api_version:?}"),
        });
    }
    // Read as itself first: its errors name lines.
    let pipeline: RecommenderPipeline = serde_saphyr::from_str(yaml).map_err(wrap)?;
    let value: serde_json::Value = serde_saphyr::from_str(yaml).map_err(wrap)?;
    let mut unknown = Vec::new();
    // It was read a moment ago, so that this can only tell of fields.
    let _ = serde_ignored::deserialize::<_, _, RecommenderPipeline>(value, |path| {
        let path = path.to_string().replace(".?", "");
        // They were looked at before there was a type to read.
        if path != "apiVersion" && path != "kind" {
            unknown.push(path);
        }
    });
    Ok((pipeline, unknown))
}

fn unknown_field(field: String) -> Violation {
    Violation {
        field,
        problem: "is not a field of this release; look for a typing error, or leave it out".to_owned(),
    }
}

impl RecommenderPipelineSpec {
    /// Every rule that this spec breaks, in the order of its fields.
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = Violations::default();
        violations.artifacts(&self.artifacts);
        violations.bundle("spec.features.bundle", &self.features.bundle);
        violations.retrieval("spec.retrieval", &self.retrieval);
        if let Some(similarity) = &self.similarity {
            violations.bundle("spec.similarity.bundle", &similarity.bundle);
            violations.search("spec.similarity.search", similarity.search.as_ref());
        }
        violations.filters(self.filters.as_ref());
        violations.ordering(self.ordering.as_ref());
        violations.variants(&self.variants);
        violations.control(self);
        if let Some(pods) = &self.pods {
            violations.pods("spec.pods", pods);
        }
        violations.rollout(self.rollout.as_ref());
        if let Some(experiment) = &self.experiment {
            violations.experiment(experiment, &self.variants);
        }
        let routers = self.router.as_ref().and_then(|router| router.replicas);
        violations.range("spec.router.replicas", routers, 1, 100);
        let deadline = self
            .router
            .as_ref()
            .and_then(|router| router.deadline_milliseconds);
        violations.range("spec.router.deadlineMilliseconds", deadline, 1, 60_000);
        violations.0
    }
}

#[derive(Default)]
struct Violations(Vec<Violation>);

/// One check for each part of the spec. Bounds are those of the schema, and a test holds both together.
impl Violations {
    fn artifacts(&mut self, artifacts: &Artifacts) {
        self.length("spec.artifacts.url", &artifacts.url, 1024);
        if let Some(credentials) = &artifacts.credentials {
            self.length(
                "spec.artifacts.credentials.secretRef.name",
                &credentials.secret_ref.name,
                253,
            );
        }
        let interval = artifacts.poll_interval.as_deref();
        if let Some(interval) = interval.filter(|interval| !is_poll_interval(interval)) {
            let problem = format!(
                "{interval:?} is not a length of time of 5 seconds or more; write for example 30s, 1m or 1h"
            );
            self.add("spec.artifacts.pollInterval", problem);
        }
        let given = [
            artifacts.credentials.is_some(),
            artifacts.service_account_name.is_some(),
            artifacts.volume_claim.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() > 1 {
            let problem = "more than one of credentials, serviceAccountName and volumeClaim is given; give the one that the store needs";
            self.add("spec.artifacts", problem);
        }
        self.place(
            "spec.artifacts",
            &artifacts.url,
            artifacts.endpoint.as_deref(),
            artifacts.volume_claim.is_some(),
        );
    }

    /// What a store's URL has to do with the rest of what is said of it.
    fn place(&mut self, field: &str, url: &str, endpoint: Option<&str>, claim: bool) {
        let is_file = url.starts_with("file://");
        if claim && !is_file {
            let problem = "volumeClaim is given, but url is not a file:// URL, so that the volume would not be used; leave one out";
            self.add(field, problem);
        }
        if endpoint.is_some() && is_file {
            self.add(
                field,
                "endpoint is given, but url is a file:// URL, which needs none; leave one out",
            );
        }
        if let Some(endpoint) = endpoint.filter(|endpoint| !is_endpoint(endpoint)) {
            let problem = format!("{endpoint:?} is not an address; write for example http://minio:9000");
            self.add(&format!("{field}.endpoint"), problem);
        }
    }

    fn control(&mut self, spec: &RecommenderPipelineSpec) {
        let named = spec.control.as_deref();
        let names: Vec<&str> = spec
            .variants
            .iter()
            .map(|variant| variant.name.as_str())
            .collect();
        if named.is_none() && names.len() > 1 {
            let problem = "there are several variants and no control; name in spec.control the variant that the others' users fall back to";
            self.add("spec.control", problem);
        }
        if let Some(control) = named.filter(|control| !names.contains(control)) {
            self.add(
                "spec.control",
                format!("{control:?} names no variant; use one of {names:?}"),
            );
        }
        let other = spec
            .experiment
            .as_ref()
            .map(|experiment| experiment.control.as_str());
        if named.is_some() && other.is_some() && named != other {
            self.add(
                "spec.control",
                "spec.control and spec.experiment.control differ; give both the same variant",
            );
        }
        let arms = spec.experiment.iter().flat_map(|experiment| &experiment.arms);
        let arms: Vec<&str> = arms.map(|arm| arm.variant.as_str()).collect();
        for variant in spec.variants.iter().filter(|variant| variant.replicas == Some(0)) {
            if spec.control().is_some_and(|control| control.name == variant.name)
                || arms.contains(&variant.name.as_str())
            {
                let problem = "replicas is 0 for the control or for an arm of the experiment, which users would still be sent to; give it 1 or more";
                self.add(&format!("spec.variants[{}].replicas", variant.name), problem);
            }
        }
    }

    fn pods(&mut self, field: &str, pods: &PodOverrides) {
        for variable in pods
            .env
            .iter()
            .filter(|variable| variable.name.starts_with("GONDOLA_"))
        {
            let problem = format!(
                "{:?}: variables that start with GONDOLA_ are the operator's; use the fields of the spec, such as pods.log and router.deadlineMilliseconds",
                variable.name
            );
            self.add(&format!("{field}.env"), problem);
        }
    }

    fn rollout(&mut self, rollout: Option<&RolloutLimits>) {
        let Some(RolloutLimits {
            max_surge,
            max_unavailable,
        }) = rollout
        else {
            return;
        };
        let zero = |limit: &IntOrString| match limit {
            IntOrString::Int(count) => *count == 0,
            IntOrString::String(text) => matches!(text.as_str(), "0" | "0%"),
        };
        let surge = max_surge.as_ref().is_some_and(zero);
        if surge && max_unavailable.as_ref().is_none_or(zero) {
            let problem = "maxSurge is 0, so that an old pod has to go before a new one comes; give maxUnavailable 1 or more";
            self.add("spec.rollout", problem);
        }
    }

    fn retrieval(&mut self, field: &str, retrieval: &Retrieval) {
        self.bundle(&format!("{field}.bundle"), &retrieval.bundle);
        self.range(&format!("{field}.candidates"), retrieval.candidates, 1, 10_000);
        self.search(&format!("{field}.search"), retrieval.search.as_ref());
        let Some(sources) = &retrieval.sources else {
            return;
        };
        for (name, quota) in [
            ("boughtBefore", &sources.bought_before),
            ("coBought", &sources.co_bought),
            ("popular", &sources.popular),
        ] {
            let candidates = quota.as_ref().map(|quota| quota.candidates);
            self.range(
                &format!("{field}.sources.{name}.candidates"),
                candidates,
                1,
                10_000,
            );
        }
    }

    fn search(&mut self, field: &str, search: Option<&Search>) {
        if let Some(search) = search {
            self.range(&format!("{field}.nprobe"), search.nprobe, 1, 65_536);
            self.range(&format!("{field}.efSearch"), search.ef_search, 1, 65_536);
        }
    }

    fn ordering(&mut self, ordering: Option<&Ordering>) {
        let Some(ordering) = ordering else {
            return;
        };
        self.range("spec.ordering.limit", Some(ordering.limit), 1, 10_000);
        if let Some(Sampling { temperature }) = &ordering.sampling
            && !is_temperature(&temperature.0)
        {
            let problem = format!(
                "{:?} is not a temperature; write a decimal above 0 and at most 1000, for example \"0.5\"",
                temperature.0
            );
            self.add("spec.ordering.sampling.temperature", problem);
        }
        if let Some(diversity) = &ordering.diversity {
            self.length("spec.ordering.diversity.column", &diversity.column, 256);
            self.range("spec.ordering.diversity.most", Some(diversity.most), 1, 10_000);
        }
    }

    fn filters(&mut self, filters: Option<&Filters>) {
        let blocked = filters.map_or(&[][..], |filters| &filters.blocked_items);
        if blocked.len() > 1000 {
            let problem = format!("{} items are blocked; block at most 1000", blocked.len());
            self.add("spec.filters.blockedItems", problem);
        }
        for item in blocked {
            self.length("spec.filters.blockedItems", item, 256);
        }
    }

    fn variants(&mut self, variants: &[Variant]) {
        if !(1..=16).contains(&variants.len()) {
            let problem = format!("there are {} variants; give from 1 to 16", variants.len());
            self.add("spec.variants", problem);
        }
        if !variants.iter().any(|variant| variant.weight > 0) {
            let problem =
                "no variant has a weight above 0, so nobody would be served; give one variant a weight";
            self.add("spec.variants", problem);
        }
        let mut seen = HashSet::new();
        for variant in variants {
            if !seen.insert(&variant.name) {
                let problem = format!(
                    "two variants are called {:?}; give each its own name",
                    variant.name
                );
                self.add("spec.variants", problem);
            }
            self.variant(&format!("spec.variants[{}]", variant.name), variant);
        }
    }

    fn variant(&mut self, field: &str, variant: &Variant) {
        if !is_variant_name(&variant.name) {
            let problem = format!(
                "{:?} can't be part of a Deployment's name; use at most 31 lower-case letters, digits and single '-', beginning with a letter and ending with a letter or digit",
                variant.name
            );
            self.add(&format!("{field}.name"), problem);
        }
        if ["router", "resolver", "analyzer"].contains(&variant.name.as_str()) {
            let problem = "a variant can't be called router, resolver or analyzer, which are the names of other pods of the pipeline";
            self.add(&format!("{field}.name"), problem);
        }
        if let Some(autoscaling) = &variant.autoscaling
            && autoscaling.min_replicas > autoscaling.max_replicas
        {
            let problem = "minReplicas is above maxReplicas; give the smaller number first";
            self.add(&format!("{field}.autoscaling"), problem);
        }
        self.scaling(field, variant);
        if let Some(pods) = &variant.pods {
            self.pods(&format!("{field}.pods"), pods);
        }
        self.bundle(&format!("{field}.scorer"), &variant.scorer);
        self.range(&format!("{field}.weight"), Some(variant.weight), 0, 1_000_000);
        self.range(&format!("{field}.replicas"), variant.replicas, 0, 1000);
        if let Some(retrieval) = &variant.retrieval {
            self.retrieval(&format!("{field}.retrieval"), retrieval);
        }
    }

    fn scaling(&mut self, field: &str, variant: &Variant) {
        let asks_for = |resource: &str| {
            let resources = variant.resources.iter();
            let mut quantities = resources.flat_map(|resources| [&resources.requests, &resources.limits]);
            quantities.any(|quantities| {
                quantities
                    .iter()
                    .flatten()
                    .any(|(name, _)| name.starts_with(resource))
            })
        };
        if variant.autoscaling.is_some() && variant.replicas.is_some() {
            let problem =
                "replicas and autoscaling are both given; leave replicas out, which the autoscaler decides";
            self.add(field, problem);
        }
        if variant.autoscaling.is_some() && !asks_for("cpu") {
            let problem = "autoscaling follows the share of requested processors that are busy; give resources.requests.cpu";
            self.add(field, problem);
        }
        if variant.device == Some(Device::Cuda) && !asks_for("nvidia.com/") {
            let problem =
                "device is CUDA, but resources.limits names no GPU; give for example nvidia.com/gpu: 1";
            self.add(field, problem);
        }
    }

    /// Its texts were checked when they were read.
    fn experiment(&mut self, experiment: &Experiment, variants: &[Variant]) {
        self.arms(experiment, variants);
        let EventStore {
            url,
            endpoint,
            volume_claim,
            credentials,
        } = &experiment.store;
        self.length("spec.experiment.store.url", url, 1024);
        self.place(
            "spec.experiment.store",
            url,
            endpoint.as_deref(),
            volume_claim.is_some(),
        );
        if credentials.is_some() && volume_claim.is_some() {
            let problem = "credentials and volumeClaim are both given; give the one that the store needs";
            self.add("spec.experiment.store", problem);
        }
        let secrets = [
            credentials
                .as_ref()
                .map(|credentials| &credentials.secret_ref.name),
            volume_claim.as_ref().map(|claim| &claim.name),
            Some(&experiment.unit_key.secret_ref.name),
        ];
        for name in secrets.into_iter().flatten() {
            self.length("spec.experiment (name of a Secret or claim)", name, 253);
        }
        let ramp = experiment
            .traffic
            .as_ref()
            .and_then(|traffic| traffic.ramp.as_ref());
        self.count("spec.experiment.traffic.ramp", ramp.map_or(0, Vec::len), 0, 8);
        let metrics = &experiment.metrics;
        self.count("spec.experiment.metrics.success", metrics.success.len(), 1, 4);
        self.count(
            "spec.experiment.metrics.guardrails",
            metrics.guardrails.len(),
            0,
            4,
        );
        let guarded = metrics.guardrails.iter().map(Guardrail::metric);
        for metric in metrics.success.iter().cloned().chain(guarded) {
            let complete = match metric.kind {
                MetricKind::Ratio => {
                    metric.numerator.is_some() && metric.denominator.is_some() && metric.event.is_none()
                }
                MetricKind::Conversion | MetricKind::Count | MetricKind::Sum => {
                    metric.event.is_some() && metric.numerator.is_none() && metric.denominator.is_none()
                }
            };
            if !complete {
                let problem = "a Ratio needs numerator and denominator, and no event; every other metric needs event alone";
                self.add(&format!("spec.experiment.metrics[{}]", metric.name), problem);
            }
        }
        let design = &experiment.design;
        if let Some(units) = design.units {
            self.range("spec.experiment.design.units", Some(units), 100, 1_000_000_000);
        } else if design.min_detectable_lift.is_none() || design.baseline.is_none() {
            let problem = "a plan is missing; give minDetectableLift and baseline, or units";
            self.add("spec.experiment.design", problem);
        }
    }

    fn arms(&mut self, experiment: &Experiment, variants: &[Variant]) {
        let arms = &experiment.arms;
        self.count("spec.experiment.arms", arms.len(), 2, 8);
        if !arms.iter().any(|arm| arm.variant == experiment.control) {
            let problem = format!(
                "{:?} is none of experiment.arms; add an arm with the control's name",
                experiment.control
            );
            self.add("spec.experiment.control", problem);
        }
        for (place, arm) in arms.iter().enumerate() {
            let field = format!("spec.experiment.arms[{}]", arm.variant);
            if !variants.iter().any(|variant| variant.name == arm.variant) {
                let names: Vec<_> = variants.iter().map(|variant| &variant.name).collect();
                let problem = format!("{:?} names no variant; use one of {names:?}", arm.variant);
                self.add(&format!("{field}.variant"), problem);
            }
            if arms[..place].iter().any(|other| other.variant == arm.variant) {
                self.add(&field, "two arms are of one variant; leave one out");
            }
            self.range(&format!("{field}.weight"), Some(arm.weight), 1, 1_000_000);
        }
    }

    fn count(&mut self, field: &str, length: usize, least: usize, most: usize) {
        if !(least..=most).contains(&length) {
            self.add(field, format!("has {length} entries; give {least} to {most}"));
        }
    }

    fn bundle(&mut self, field: &str, bundle: &BundleRef) {
        if !is_bundle(&bundle.0) {
            let problem = format!(
                "{:?} is not a reference to a bundle; write name@channel or name/version",
                bundle.0
            );
            self.add(field, problem);
        }
    }

    fn length(&mut self, field: &str, text: &str, most: usize) {
        match text.chars().count() {
            0 => self.add(
                field,
                "is empty; write what it names, or leave the field out if it may be",
            ),
            length if length > most => {
                self.add(
                    field,
                    format!("has {length} characters; at most {most} are allowed"),
                );
            }
            _ => {}
        }
    }

    fn range(&mut self, field: &str, number: Option<impl Into<i64>>, least: i64, most: i64) {
        if let Some(number) = number
            .map(Into::into)
            .filter(|number| !(least..=most).contains(number))
        {
            self.add(field, format!("{number} is not from {least} to {most}"));
        }
    }

    fn add(&mut self, field: &str, problem: impl Into<String>) {
        self.0.push(Violation {
            field: field.to_owned(),
            problem: problem.into(),
        });
    }
}

/// `http://` or `https://`, a host without a user, and perhaps a path.
fn is_endpoint(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    text.len() <= 1024
        && rest.is_some_and(|rest| {
            let host = rest.split('/').next().unwrap_or_default();
            !host.is_empty() && !host.contains(['@', '?', '#'])
        })
}

fn is_bundle(text: &str) -> bool {
    let Some(at) = text.find(['@', '/']) else {
        return false;
    };
    let (name, target) = (&text[..at], &text[at + 1..]);
    let in_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let in_target = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    is_made_of(name, 63, in_name) && is_made_of(target, 128, in_target)
}

/// Whether a text has allowed bytes alone, and letters or digits at both ends.
fn is_made_of(text: &str, most: usize, allowed: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    bytes.len() <= most
        && bytes.iter().all(|&byte| allowed(byte))
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
}

fn is_variant_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let starts_with_letter = text.starts_with(|first: char| first.is_ascii_lowercase());
    // Names of children are joined with two hyphens, so that none can be read in two ways.
    is_made_of(text, 31, allowed) && starts_with_letter && !text.contains("--")
}

/// A decimal with at most three places, above 0 and at most 1000.
fn is_temperature(text: &str) -> bool {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = || {
        text.parse::<f32>()
            .is_ok_and(|number| number > 0.0 && number <= 1000.0)
    };
    let plain = whole == "0" || !whole.starts_with('0');
    digits(whole, 4) && digits(places, 3) && plain && number()
}

/// The same as the schema's pattern: one number above 0 and one unit, 5 seconds or more.
fn is_poll_interval(text: &str) -> bool {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let length = duration(text).unwrap_or_default();
    (1..=6).contains(&digits.len())
        && text.len() == digits.len() + 1
        && !text.starts_with('0')
        && length >= std::time::Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const GOOD: &str = "\
apiVersion: gondola.dev/v1alpha1
kind: RecommenderPipeline
metadata: {name: grocery}
spec:
  artifacts: {url: 's3://models/grocery'}
  features: {bundle: features@stable}
  retrieval: {bundle: two-tower@stable, sources: {boughtBefore: {candidates: 100}}}
  control: dlrm
  variants:
  - {name: dlrm, scorer: dlrm@stable, weight: 50}
  - {name: forest, scorer: forest@stable, weight: 50}
";

    #[track_caller]
    fn check(from: &str, to: &str, message: &str) {
        assert!(GOOD.contains(from));
        let error = from_yaml(&GOOD.replace(from, to)).expect_err("the manifest should be refused");
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let text = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        assert!(text.contains(message), "{text:?} does not say {message:?}");
    }

    #[test]
    fn a_good_manifest_is_read() {
        let pipeline = from_yaml(GOOD).unwrap();
        assert_eq!(pipeline.spec.control().unwrap().name, "dlrm");
    }

    #[test]
    fn what_breaks_a_rule_is_named_with_a_way_out() {
        check(
            "kind: RecommenderPipeline",
            "kind: Pod",
            "give one of apiVersion gondola.dev/v1alpha1",
        );
        check(
            "features@stable",
            "features",
            "spec.features.bundle: \"features\" is not a reference to a bundle; write name@channel",
        );
        check("weight: 50", "weight: 0", "no variant has a weight above 0");
        check("name: forest", "name: dlrm", "two variants are called \"dlrm\"");
        check(
            "candidates: 100",
            "candidates: 0",
            "sources.boughtBefore.candidates: 0 is not from 1 to 10000",
        );
        check(
            "  variants:",
            &experiment("variant: forest", "variant: rf"),
            "\"rf\" names no variant; use one of",
        );
        check(
            "name: forest",
            "name: Forest",
            "spec.variants[Forest].name: \"Forest\" can't be part of a Deployment's name",
        );
        check(
            "url: 's3://models/grocery'",
            "url: ''",
            "spec.artifacts.url: is empty",
        );
        check(
            "grocery'}",
            "grocery', pollInterval: 5}",
            "spec.artifacts.pollInterval: \"5\" is not a length of time of 5 seconds or more; write for example 30s",
        );
        check(
            "  variants:",
            "  router: {replicas: 0}\n  variants:",
            "spec.router.replicas: 0 is not from 1 to 100",
        );
        check(
            "  variants:",
            "  varients: []\n  variants:",
            "spec.varients: is not a field of this release",
        );
        check(
            "weight: 50",
            "wieght: 50, weight: 50",
            "spec.variants.0.wieght: is not a field",
        );
        check("spec:", "spec: [", "not a valid RecommenderPipeline");
        check(
            "  control: dlrm\n",
            "",
            "there are several variants and no control",
        );
        check(
            "control: dlrm",
            "control: mlp",
            "\"mlp\" names no variant; use one of",
        );
    }

    #[test]
    fn bundles_names_and_times_have_their_form() {
        for good in ["a@b", "two-tower@stable", "item.text/2026-11-24_1", "a/3F9a"] {
            assert!(is_bundle(good), "{good:?} was refused");
        }
        for bad in [
            "", "a", "@b", "a@", "A@b", "a@b@c", "a/b/c", "../a@b", "a/..", "-a@b", "a@b-", "a b@c", "ä@b",
        ] {
            assert!(!is_bundle(bad), "{bad:?} was taken");
        }
        for (good, bad) in [
            ("1m", ""),
            ("30s", "30"),
            ("5s", "4s"),
            ("1h", "0h"),
            ("2d", "1w"),
            ("10s", "250ms"),
            ("999999s", "1000000s"),
        ] {
            assert!(is_poll_interval(good), "{good:?} was refused");
            assert!(!is_poll_interval(bad), "{bad:?} was taken");
        }
        for (good, bad) in [
            ("0.5", "0"),
            ("1", "01"),
            ("1000", "1000.1"),
            ("12.125", "1."),
            ("0.001", "0.0001"),
        ] {
            assert!(is_temperature(good), "{good:?} was refused");
            assert!(!is_temperature(bad), "{bad:?} was taken");
        }
        for (good, bad) in [
            ("a", ""),
            ("dlrm-2", "2-dlrm"),
            ("forest", "forest-"),
            ("rf", "RF"),
            ("a-b", "a--b"),
        ] {
            assert!(is_variant_name(good), "{good:?} was refused");
            assert!(!is_variant_name(bad), "{bad:?} was taken");
        }
    }

    /// The rules of the schema as the API server evaluates them, and those of this module, agree.
    #[test]
    fn rules_written_in_cel_refuse_what_is_refused_here() {
        let good: RecommenderPipeline = serde_saphyr::from_str(GOOD).unwrap();
        kube::core::cel::validate_cel(&good).unwrap();
        for (from, to, message) in [
            ("weight: 50", "weight: 0", "no variant has a weight above 0"),
            (
                "  variants:",
                &experiment("variant: forest", "variant: rf"),
                "names no variant",
            ),
            (
                "  variants:",
                &experiment("control: dlrm", "control: rf"),
                "is none of experiment.arms",
            ),
            (
                "  variants:",
                &experiment("event: purchase", "numerator: click"),
                "a Ratio needs numerator and denominator, and no event",
            ),
            (
                "  variants:",
                &experiment("units: 5000", "minDuration: 7d"),
                "a plan is missing",
            ),
            (
                "name: forest",
                "name: router",
                "can't be called router, resolver or analyzer",
            ),
            (
                "name: forest,",
                "name: forest, autoscaling: {minReplicas: 2, maxReplicas: 1},",
                "minReplicas is above maxReplicas",
            ),
            (
                "  control: dlrm\n",
                "",
                "there are several variants and no control",
            ),
            ("control: dlrm", "control: mlp", "names no variant"),
            (
                "name: forest,",
                "name: forest, autoscaling: {minReplicas: 2, maxReplicas: 4},",
                "give resources.requests.cpu",
            ),
            (
                "name: forest,",
                "name: forest, replicas: 2, resources: {requests: {cpu: '1'}}, autoscaling: {minReplicas: 2, maxReplicas: 4},",
                "replicas and autoscaling are both given",
            ),
            ("name: forest,", "name: forest, device: CUDA,", "names no GPU"),
            (
                "name: dlrm,",
                "name: dlrm, replicas: 0,",
                "replicas is 0 for the control",
            ),
            (
                "grocery'}",
                "grocery', serviceAccountName: a, credentials: {secretRef: {name: b}}}",
                "more than one of credentials, serviceAccountName and volumeClaim",
            ),
            (
                "grocery'}",
                "grocery', volumeClaim: {name: models}}",
                "volumeClaim is given, but url is not a file:// URL",
            ),
            (
                "'s3://models/grocery'}",
                "'file:///models', endpoint: 'http://minio'}",
                "endpoint is given, but url is a file:// URL",
            ),
            (
                "  variants:",
                "  pods: {env: [{name: GONDOLA_STORE, value: 'http://mine'}]}\n  variants:",
                "variables that start with GONDOLA_ are the operator's",
            ),
            (
                "  variants:",
                "  rollout: {maxSurge: 0}\n  variants:",
                "maxSurge is 0, so that an old pod has to go",
            ),
        ] {
            check(from, to, message);
            let bad: RecommenderPipeline = serde_saphyr::from_str(&GOOD.replace(from, to)).unwrap();
            let errors = kube::core::cel::validate_cel(&bad).unwrap_err().to_string();
            assert!(errors.contains(message), "{errors:?} does not say {message:?}");
        }
    }

    const EXPERIMENT: &str = "{name: first, control: dlrm, arms: [{variant: dlrm, weight: 50}, {variant: forest, weight: 50}], \
        metrics: {success: [{name: purchase, type: Conversion, event: purchase, window: 7d}]}, design: {units: 5000}, \
        store: {url: 's3://events/grocery'}, unitKey: {secretRef: {name: unit-key}}}";

    /// What stands in the place of `variants:` where a pipeline has this experiment, changed.
    fn experiment(from: &str, to: &str) -> String {
        assert!(EXPERIMENT.contains(from), "{from}");
        format!("  experiment: {}\n  variants:", EXPERIMENT.replace(from, to))
    }

    #[test]
    fn what_is_compared_stays_while_an_experiment_runs() {
        let with = |from: &str, to: &str| -> RecommenderPipeline {
            serde_saphyr::from_str(&GOOD.replace("  variants:", &experiment(from, to))).unwrap()
        };
        let first = with("name: first", "name: first");
        for (from, to) in [
            ("variant: forest, weight: 50", "variant: forest, weight: 10"),
            ("units: 5000", "units: 500"),
            ("window: 7d", "window: 1d"),
            ("name: first", "name: first, salt: other"),
            ("s3://events/grocery", "s3://events/elsewhere"),
            ("name: unit-key", "name: another-key"),
        ] {
            let changed = with(from, to);
            let errors = kube::core::cel::validate_cel_update(&changed, &first).unwrap_err();
            assert!(errors.to_string().contains("which starts it again"), "{errors}");
        }
        for (from, to) in [
            ("dlrm@stable", "dlrm@canary"),
            ("features@stable", "features@canary"),
            ("candidates: 100", "candidates: 50"),
            (
                "name: forest,",
                "name: forest, retrieval: {bundle: two-tower@canary},",
            ),
        ] {
            let mut changed = first.clone();
            let yaml = GOOD.replace(from, to);
            assert_ne!(yaml, GOOD, "{from}");
            let other: RecommenderPipeline = serde_saphyr::from_str(&yaml).unwrap();
            changed.spec = RecommenderPipelineSpec {
                experiment: first.spec.experiment.clone(),
                ..other.spec
            };
            let errors = kube::core::cel::validate_cel_update(&changed, &first).unwrap_err();
            assert!(
                errors.to_string().contains("can't change while it runs"),
                "{errors}"
            );
        }
        for (from, to) in [
            ("name: first", "name: second, salt: other"),
            ("name: first", "name: first, restartToken: '2', salt: other"),
            ("name: first", "name: first, promotion: Automatic"),
        ] {
            kube::core::cel::validate_cel_update(&with(from, to), &first).unwrap();
        }
    }

    /// A spec with every field that a program without a cluster reads and that has a bound.
    const FULL: &str = "\
artifacts: {url: 's3://models/grocery', credentials: {secretRef: {name: models-s3}}, pollInterval: 1m}
features: {bundle: features@stable}
retrieval: &retrieval
  bundle: two-tower@stable
  candidates: 200
  search: {nprobe: 16, efSearch: 64}
  sources: {boughtBefore: {candidates: 100}, popular: {candidates: 20}}
similarity: {bundle: item-text@stable, search: {nprobe: 16, efSearch: 64}}
filters: {alreadyBought: Remove, blockedItems: ['42']}
ordering: {limit: 12, sampling: {temperature: '0.5'}, diversity: {column: product_type, most: 3}}
control: dlrm
variants:
- {name: dlrm, scorer: dlrm@stable, weight: 50, replicas: 2, retrieval: *retrieval}
- {name: forest, scorer: forest@stable, weight: 50}
experiment:
  name: dlrm-vs-itself
  control: dlrm
  arms: [{variant: dlrm, weight: 50}, {variant: forest, weight: 50}]
  unit: {header: x-visitor-id}
  salt: shop/grocery
  holdout: {name: q4, percent: 2%}
  traffic: {percent: 50%, ramp: [{percent: 5%, hold: 1h}], settle: 24h}
  metrics:
    success: [{name: purchase, type: Ratio, numerator: click, denominator: impression, window: 7d, minEffect: 1%, cuped: {lookback: 28d}, cap: '500'}]
    guardrails: [{name: clicks, type: Ratio, numerator: click, denominator: impression, window: 1d, margin: 2%, cap: '500'}]
  operations: {maxErrorRate: 5%, errorRatio: '1.2', latency: {slo: 300ms, ratio: '1.2'}, alpha: '0.01'}
  design: {alpha: '0.05', power: '0.8', minDetectableLift: 5%, baseline: '0.03', deviation: '0.2', units: 5000, minDuration: 7d, maxDuration: 42d, equivalenceMargin: 3%}
  store: {url: 's3://events/grocery', endpoint: 'http://minio:9000', credentials: {secretRef: {name: events-s3}}}
  unitKey: {secretRef: {name: unit-key}}
  cadence: {flush: 60s, lateness: 1h, analysis: 5m, look: 24h}
  restartToken: '2'
router: {replicas: 2, deadlineMilliseconds: 200}
";

    #[test]
    fn every_bound_of_the_schema_is_checked_here_too() {
        let full: Value = serde_saphyr::from_str(FULL).unwrap();
        let spec: RecommenderPipelineSpec = serde_json::from_value(full.clone()).unwrap();
        assert_eq!(spec.violations(), []);
        let crd = <RecommenderPipeline as kube::CustomResourceExt>::crd();
        let schema = serde_json::to_value(crd).unwrap();
        let schema = schema
            .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
            .unwrap();
        let mut bounds = Vec::new();
        bounds_below(schema, &full, String::new(), &mut bounds);
        assert!(bounds.len() > 110, "only {} bounds were found", bounds.len());
        for (pointer, bound, beyond) in bounds {
            let mut changed = full.clone();
            *changed.pointer_mut(&pointer).unwrap() = beyond;
            // What the types can't hold is refused before there is a spec.
            if let Ok(spec) = serde_json::from_value::<RecommenderPipelineSpec>(changed) {
                assert_ne!(spec.violations(), [], "{bound} of {pointer} isn't checked");
            }
        }
    }

    /// Adds every bound at and below a value, with a value that is beyond it.
    fn bounds_below(
        schema: &Value,
        value: &Value,
        at: String,
        bounds: &mut Vec<(String, &'static str, Value)>,
    ) {
        let number = |bound: &str| schema[bound].as_f64().map(|number| number as i64);
        let mut add = |bound, beyond: Value| bounds.push((at.clone(), bound, beyond));
        if let Some(most) = number("maxLength") {
            add("maxLength", "a".repeat(most as usize + 1).into());
        }
        if number("minLength").is_some_and(|least| least > 0) {
            add("minLength", "".into());
        }
        if schema["pattern"].is_string() {
            add("pattern", "!".into());
        }
        if let Some(most) = number("maximum") {
            add("maximum", (most + 1).into());
        }
        if let Some(least) = number("minimum") {
            add("minimum", (least - 1).into());
        }
        if let Some(most) = number("maxItems") {
            add("maxItems", vec![value[0].clone(); most as usize + 1].into());
        }
        if number("minItems").is_some_and(|least| least > 0) {
            add("minItems", Value::Array(Vec::new()));
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    bounds_below(&schema["properties"][name], value, format!("{at}/{name}"), bounds);
                }
            }
            Value::Array(items) => bounds_below(&schema["items"], &items[0], format!("{at}/0"), bounds),
            _ => {}
        }
    }
}
