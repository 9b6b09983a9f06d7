use serde_json::Value;

use super::*;
use crate::RecommenderPipelineSpec;

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
        "it must have apiVersion gondola.dev/v1alpha1",
    );
    check(
        "features@stable",
        "features",
        "spec.features.bundle: \"features\" is not a reference to a bundle; write for example name@channel",
    );
    check("weight: 50", "weight: 0", "no variant has a weight above 0");
    check(
        "name: forest",
        "name: dlrm",
        "spec.variants: two entries are called \"dlrm\"",
    );
    check(
        "candidates: 100",
        "candidates: 0",
        "sources.boughtBefore.candidates: 0 is not from 1 to 10000",
    );
    check(
        "  variants:",
        &experiment("variant: forest", "variant: rf"),
        "an arm of the experiment names a variant that does not exist; use the names in spec.variants",
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
        "grocery', pollInterval: '5'}",
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
        "spec.varients: is not a field in this release",
    );
    check(
        "weight: 50",
        "wieght: 50, weight: 50",
        "spec.variants[dlrm].wieght: is not a field",
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
        "spec.control is not the name of a variant; use one of the names in spec.variants",
    );
    check(
        "weight: 50",
        "weight: half",
        "spec.variants[dlrm].weight: is text; give a whole number",
    );
    check(
        "  features: {bundle: features@stable}\n",
        "",
        "spec.features: is missing",
    );
    check(
        "metadata: {name: grocery}",
        "metadata: {}",
        "metadata.name: is missing",
    );
    check(
        "name: forest,",
        "name: forest, device: TPU,",
        "spec.variants[forest].device: \"TPU\" is not one of CPU, CUDA",
    );
    for bad in ["2-dlrm", "forest-", "RF", "a--b"] {
        check(
            "name: forest",
            &format!("name: {bad}"),
            "can't be part of a Deployment's name",
        );
    }
    // Everything that is wrong is said at once.
    check(
        "weight: 50",
        "weight: -1, replicas: 5000",
        "spec.variants[dlrm].replicas: 5000 is not from 0 to 1000; spec.variants[dlrm].weight: -1 is not from 0 to 1000000",
    );
}

#[test]
fn rules_written_in_cel_are_asked() {
    for (from, to, message) in [
        ("weight: 50", "weight: 0", "no variant has a weight above 0"),
        (
            "  variants:",
            &experiment("variant: forest", "variant: rf"),
            "names a variant that does not exist",
        ),
        (
            "  variants:",
            &experiment("control: dlrm", "control: rf"),
            "is not one of experiment.arms",
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
        ("control: dlrm", "control: mlp", "is not the name of a variant"),
        (
            "name: forest,",
            "name: forest, autoscaling: {minReplicas: 2, maxReplicas: 4},",
            "set resources.requests.cpu",
        ),
        (
            "name: forest,",
            "name: forest, replicas: 2, resources: {requests: {cpu: '1'}}, autoscaling: {minReplicas: 2, maxReplicas: 4},",
            "spec.variants[forest]: replicas and autoscaling are both set",
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
            "volumeClaim is set, but url is not a file:// URL",
        ),
        (
            "'s3://models/grocery'}",
            "'file:///models', endpoint: 'http://minio'}",
            "endpoint is set, but url is a file:// URL",
        ),
        (
            "  variants:",
            "  pods: {env: [{name: GONDOLA_STORE, value: 'http://mine'}]}\n  variants:",
            "variables that start with GONDOLA_ belong to the operator",
        ),
        (
            "  variants:",
            "  rollout: {maxSurge: 0}\n  variants:",
            "maxSurge is 0, so an old pod has to stop",
        ),
    ] {
        check(from, to, message);
    }
}

const EXPERIMENT: &str = "{name: first, control: dlrm, arms: [{variant: dlrm, weight: 50}, {variant: forest, weight: 50}], \
        metrics: {success: [{name: purchase, type: Conversion, event: purchase, window: 7d}]}, design: {units: 5000}, \
        store: {url: 's3://events/grocery'}, unitKey: {secretRef: {name: unit-key}}}";

/// What is in the place of `variants:` where a pipeline has this experiment, changed.
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
        assert!(errors.to_string().contains("which restarts it"), "{errors}");
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
router:
  replicas: 2
  deadlineMilliseconds: 200
  access:
    tls: {secretRef: {name: shop-tls}}
    apiKeys: {secretRef: {name: shop-keys}}
    jwt: {issuer: 'https://login.shop.example', audience: gondola, keys: {url: 'https://login.shop.example/keys'}}
    limits: {requestsPerSecond: 100, burst: 200, concurrency: 20}
    cors: {origins: ['https://shop.example']}
    forcedArms: {secretRef: {name: shop-arms}}
mutualTls: {secretRef: {name: shop-pods-tls}}
";

#[test]
fn every_bound_of_the_schema_is_checked() {
    let full: Value = serde_saphyr::from_str(FULL).unwrap();
    let broken = |spec: &Value| {
        let manifest = json!({"metadata": {"name": "grocery"}, "spec": spec});
        violations(&manifest)
    };
    assert_eq!(broken(&full), []);
    let mut bounds = Vec::new();
    let schema = &SCHEMA.0["properties"]["spec"];
    bounds_below(schema, &full, String::new(), &mut bounds);
    assert!(bounds.len() > 110, "only {} bounds were found", bounds.len());
    for (pointer, bound, beyond) in bounds {
        let mut changed = full.clone();
        *changed.pointer_mut(&pointer).unwrap() = beyond;
        assert_ne!(broken(&changed), [], "{bound} of {pointer} isn't checked");
    }
}

/// Adds every bound at and below a value, with a value that is beyond it.
fn bounds_below(schema: &Value, value: &Value, at: String, bounds: &mut Vec<(String, &'static str, Value)>) {
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

#[test]
fn every_pattern_of_the_schema_can_be_read() {
    fn patterns<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
        match schema {
            Value::Object(fields) => {
                found.extend(fields.get("pattern").and_then(Value::as_str));
                fields.values().for_each(|field| patterns(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| patterns(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    patterns(&SCHEMA.0, &mut found);
    assert!(found.len() > 40, "only {} patterns were found", found.len());
    for pattern in found {
        assert!(regex::Regex::new(pattern).is_ok(), "{pattern}");
    }
}
