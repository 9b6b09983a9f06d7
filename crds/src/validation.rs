//! The rules of the schema as plain Rust, for programs that read a manifest without an API server.

use std::collections::HashSet;
use std::fmt;

use crate::spec::{BundleRef, RecommenderPipeline, RecommenderPipelineSpec};

/// Why a manifest can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no YAML, or not of a pipeline's form.
    #[error("the manifest is no RecommenderPipeline")]
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

/// Reads one manifest and checks it against every rule.
pub fn from_yaml(yaml: &str) -> Result<RecommenderPipeline, ManifestError> {
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
    let pipeline: RecommenderPipeline = serde_saphyr::from_str(yaml).map_err(wrap)?;
    match pipeline.spec.violations() {
        violations if violations.is_empty() => Ok(pipeline),
        violations => Err(ManifestError::Rules(violations)),
    }
}

impl RecommenderPipelineSpec {
    /// Every rule that this spec breaks, in the order of its fields.
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = Violations::default();
        self.check_bundles(&mut violations);
        self.check_numbers(&mut violations);
        self.check_variants(&mut violations);
        violations.0
    }

    fn check_bundles(&self, violations: &mut Violations) {
        violations.bundle("spec.features.bundle", &self.features.bundle);
        violations.bundle("spec.retrieval.bundle", &self.retrieval.bundle);
        if let Some(similarity) = &self.similarity {
            violations.bundle("spec.similarity.bundle", &similarity.bundle);
        }
        for variant in &self.variants {
            violations.bundle(
                &format!("spec.variants[{}].scorer", variant.name),
                &variant.scorer,
            );
            if let Some(retrieval) = &variant.retrieval {
                violations.bundle(
                    &format!("spec.variants[{}].retrieval.bundle", variant.name),
                    &retrieval.bundle,
                );
            }
        }
    }

    fn check_numbers(&self, violations: &mut Violations) {
        violations.count("spec.retrieval.candidates", self.retrieval.candidates);
        violations.count(
            "spec.ordering.limit",
            self.ordering.as_ref().map(|ordering| ordering.limit),
        );
        let sources = self.retrieval.sources.iter();
        for (name, quota) in
            sources.flat_map(|s| [("boughtBefore", &s.bought_before), ("popular", &s.popular)])
        {
            let field = format!("spec.retrieval.sources.{name}.candidates");
            violations.count(&field, quota.as_ref().map(|quota| quota.candidates));
        }
    }

    fn check_variants(&self, violations: &mut Violations) {
        if !self.variants.iter().any(|variant| variant.weight > 0) {
            let problem =
                "no variant has a weight above 0, so nobody would be served; give one variant a weight";
            violations.add("spec.variants", problem);
        }
        let mut seen = HashSet::new();
        for variant in &self.variants {
            if !seen.insert(&variant.name) {
                let problem = format!(
                    "two variants are called {:?}; give each its own name",
                    variant.name
                );
                violations.add("spec.variants", problem);
            }
        }
        if let Some(experiment) = &self.experiment
            && self.control().is_none()
        {
            let names: Vec<_> = self.variants.iter().map(|variant| &variant.name).collect();
            let problem = format!("{:?} names no variant; use one of {names:?}", experiment.control);
            violations.add("spec.experiment.control", problem);
        }
    }
}

#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, field: &str, problem: impl Into<String>) {
        self.0.push(Violation {
            field: field.to_owned(),
            problem: problem.into(),
        });
    }

    fn bundle(&mut self, field: &str, bundle: &BundleRef) {
        let parts = bundle.0.split_once(['@', '/']);
        if parts.is_none_or(|(name, rest)| name.is_empty() || rest.is_empty() || rest.contains(['@', '/'])) {
            let problem = format!(
                "{:?} names no bundle; write name@channel or name/version",
                bundle.0
            );
            self.add(field, problem);
        }
    }

    fn count(&mut self, field: &str, count: Option<u32>) {
        if let Some(count) = count.filter(|count| !(1..=10_000).contains(count)) {
            self.add(field, format!("{count} is not from 1 to 10000"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
apiVersion: gondola.dev/v1alpha1
kind: RecommenderPipeline
metadata: {name: grocery}
spec:
  artifacts: {url: 's3://models/grocery'}
  features: {bundle: features@stable}
  retrieval: {bundle: two-tower@stable, sources: {boughtBefore: {candidates: 100}}}
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
            "spec.features.bundle: \"features\" names no bundle; write name@channel",
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
            "  experiment: {control: rf}\n  variants:",
            "\"rf\" names no variant; use one of",
        );
        check("  variants:", "  varients: []\n  variants:", "varients");
        check("spec:", "spec: [", "no RecommenderPipeline");
    }
}
