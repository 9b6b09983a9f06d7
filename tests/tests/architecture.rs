//! The invariants of ARCHITECTURE.md that the graph of dependencies can show: arrows run one way, and what a crate keeps out stays out.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

use std::collections::BTreeSet;
use std::process::Command;

/// Which of our crates each may depend on: a new arrow is drawn here first.
const ARROWS: &[(&str, &[&str])] = &[
    ("causes", &[]),
    ("pages", &[]),
    ("crds", &[]),
    ("artifacts", &[]),
    ("request", &[]),
    ("feast", &["request"]),
    ("forest", &[]),
    ("onnx", &[]),
    ("wire", &["crds"]),
    ("protocol", &["request"]),
    ("models", &["forest", "onnx", "request"]),
    ("online", &["causes", "feast", "request"]),
    ("experiments", &["crds", "pages", "wire"]),
    ("events", &["artifacts", "crds", "experiments", "wire"]),
    ("open-inference", &["protocol", "request"]),
    (
        "server",
        &[
            "causes",
            "events",
            "open-inference",
            "protocol",
            "request",
            "wire",
        ],
    ),
    (
        "router",
        &[
            "artifacts",
            "causes",
            "crds",
            "events",
            "experiments",
            "feast",
            "protocol",
            "request",
            "server",
            "wire",
        ],
    ),
    (
        "serving",
        &[
            "artifacts",
            "causes",
            "crds",
            "events",
            "experiments",
            "feast",
            "models",
            "online",
            "protocol",
            "request",
            "router",
            "server",
            "wire",
        ],
    ),
    ("collaborative", &["models"]),
    (
        "training",
        &["artifacts", "causes", "collaborative", "models", "pages"],
    ),
    ("operator", &["causes", "crds", "experiments", "wire"]),
    (
        "cli",
        &["artifacts", "causes", "crds", "events", "experiments", "models"],
    ),
    ("shop", &["causes", "pages", "request"]),
];

/// What some crates must never bring along, at whatever distance, and why.
const ABSENT: &[(&str, &[&str])] = &[
    // The ground floor knows no Kubernetes client and no model.
    ("crds", &["kube-client", "candle-core", "faiss", "object_store"]),
    ("artifacts", &["k8s-openapi", "kube-core", "candle-core", "faiss"]),
    ("forest", &["candle-core", "faiss", "arrow", "tokio"]),
    // What Feast's bytes mean is known without a socket: who asks a Redis for them is somebody else.
    (
        "feast",
        &["redis", "tokio", "hyper", "tonic", "kube-core", "object_store"],
    ),
    // Models know no socket, no thread, no deadline, no store, no Kubernetes.
    (
        "models",
        &[
            "hyper",
            "tonic",
            "axum",
            "tokio",
            "kube-core",
            "object_store",
            "clap",
        ],
    ),
    ("protocol", &["candle-core", "faiss", "kube-core", "clap"]),
    // The router answers without models.
    (
        "router",
        &["candle-core", "faiss", "faiss-sys", "tokenizers", "lightgbm3"],
    ),
    // What is learned from purchases alone needs no query engine and no trees.
    (
        "collaborative",
        &["datafusion", "lightgbm3", "tokio", "object_store"],
    ),
    // Nobody makes the operator fetch: it has no store, and no model.
    (
        "operator",
        &[
            "object_store",
            "reqwest",
            "candle-core",
            "faiss",
            "tokenizers",
            "parquet",
        ],
    ),
    // Training stands on models alone; a cluster's engine comes only when it is asked for.
    (
        "training",
        &[
            "kube-core",
            "k8s-openapi",
            "tonic",
            "axum",
            "ballista-core",
            "datafusion-proto",
        ],
    ),
    // A shop of somebody else's: it reaches a pipeline by its addresses alone.
    (
        "shop",
        &["tonic", "candle-core", "faiss", "kube-core", "object_store"],
    ),
];

/// Kubernetes is what these don't speak, though the API's types come through `crds`.
const NO_KUBERNETES: [&str; 2] = ["events", "experiments"];

/// What a crate of ours depends on, built alone: with other crates beside it, features of others would come along.
fn dependencies(ours: &str, depth: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--target", "x86_64-unknown-linux-gnu", "--depth", depth])
        .args(["--package", &format!("gondola-{ours}")])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"),
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().skip(1).filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

fn direct(ours: &str) -> BTreeSet<String> {
    dependencies(ours, "1")
}

/// All that comes along, at whatever distance.
fn all(ours: &str) -> BTreeSet<String> {
    dependencies(ours, "999")
}

#[test]
fn arrows_between_our_crates_are_those_that_were_drawn() {
    for (name, allowed) in ARROWS {
        let direct = direct(name);
        let found: BTreeSet<&str> = direct
            .iter()
            .filter_map(|dependency| dependency.strip_prefix("gondola-"))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(
            found, allowed,
            "{name} depends on other crates of ours than tests/architecture.rs says"
        );
    }
}

#[test]
fn every_arrow_points_at_a_crate_above_it_in_the_list_so_that_there_is_no_circle() {
    for (place, (name, allowed)) in ARROWS.iter().enumerate() {
        for dependency in *allowed {
            let earlier = ARROWS[..place].iter().any(|(earlier, _)| earlier == dependency);
            assert!(earlier, "{name} -> {dependency}");
        }
    }
}

#[test]
fn what_a_crate_keeps_out_stays_out() {
    for (name, absent) in ABSENT {
        let all = all(name);
        for dependency in *absent {
            assert!(!all.contains(*dependency), "{name} brings {dependency} along");
        }
    }
    for name in NO_KUBERNETES {
        let direct = direct(name);
        for dependency in ["k8s-openapi", "kube", "kube-client", "kube-core"] {
            assert!(!direct.contains(dependency), "{name} names {dependency}");
        }
    }
}
