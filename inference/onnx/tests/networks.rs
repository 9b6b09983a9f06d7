//! Networks that other tools made, run by the real ONNX Runtime (`GONDOLA_ONNX_RUNTIME`, which `make test` sets).

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use gondola_onnx::{Dimension, Element, Limits, LoadError, Network, Port, RunError, Tensor, Values};

const LIMITS: Limits = Limits {
    time: Duration::from_secs(20),
    weights: 1 << 20,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn network(name: &str) -> Network {
    Network::load(&fixture(name), LIMITS).unwrap()
}

fn rows(values: &[f32]) -> [Tensor<'_>; 1] {
    // A row of one column.
    [Tensor {
        name: "row",
        shape: match values.len() {
            1 => &[1, 1],
            _ => &[2, 1],
        },
        values: Values::Float(values),
    }]
}

#[track_caller]
fn refused(name: &str, part: &str) {
    let error = Network::load(&fixture(name), LIMITS).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn a_network_says_what_it_reads_and_gives() {
    let network = network("user_once.onnx");
    let port = |name: &str, rows, columns| Port {
        name: name.to_owned(),
        element: Element::Float,
        shape: vec![rows, Dimension::Fixed(columns)],
    };
    let inputs = [
        port("user", Dimension::Fixed(1), 3),
        port("item", Dimension::Any, 2),
    ];
    assert_eq!(network.inputs(), inputs);
    assert_eq!(network.outputs(), [port("score", Dimension::Any, 1)]);
}

#[test]
fn threads_run_one_network_at_the_same_time_with_the_same_results() {
    let network = network("user_once.onnx");
    let user = [1.0, 0.5, -2.0];
    let score = |item: &[f32]| {
        let tensors = [
            Tensor {
                name: "user",
                shape: &[1, 3],
                values: Values::Float(&user),
            },
            Tensor {
                name: "item",
                shape: &[item.len() / 2, 2],
                values: Values::Float(item),
            },
        ];
        let mut out = Vec::new();
        let shape = network.run(&tensors, "score", &mut out).unwrap();
        assert_eq!(shape, [item.len() / 2, 1]);
        out
    };
    // 0.5 - 0.5 - 0.5 of the user, 2 a - b / 2 of an item.
    let expected: Vec<f32> = [(0.0_f32, 0.0_f32), (1.0, 2.0), (-1.0, 0.5)]
        .map(|(a, b)| 1.0 / (1.0 + (0.5 - (2.0 * a - 0.5 * b)).exp()))
        .into();
    let items = [0.0, 0.0, 1.0, 2.0, -1.0, 0.5];
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let scores = score(&items);
                    for (score, expected) in scores.iter().zip(&expected) {
                        assert!((score - expected).abs() < 1e-6, "{scores:?} is not {expected:?}");
                    }
                }
            });
        }
    });
    assert!(score(&[]).is_empty());
}

#[test]
fn what_could_do_harm_is_refused_before_it_is_loaded() {
    refused("elsewhere.onnx", r#"keeps "u" in another file"#);
    refused(
        "foreign.onnx",
        r#""RegexReplace" of the domain "ai.onnx.contrib""#,
    );
    refused("make.py", "not a readable ONNX file");
    refused("nothing.onnx", "cannot read");
}

#[test]
fn a_graph_that_is_cut_off_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture("dlrm_dot.legacy.onnx")).unwrap();
    for length in [10, whole.len() / 2, whole.len() - 1] {
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = Network::load(&path, LIMITS).unwrap_err();
        assert!(
            matches!(error, LoadError::Graph(_) | LoadError::Refused { .. }),
            "{length} bytes: {error}"
        );
    }
}

#[test]
fn a_run_without_end_is_ended_and_the_next_one_is_not() {
    let limits = Limits {
        time: Duration::from_millis(300),
        ..LIMITS
    };
    let network = Network::load(&fixture("forever.onnx"), limits).unwrap();
    let mut out = Vec::new();
    for _ in 0..2 {
        let begun = Instant::now();
        let error = network.run(&rows(&[1.0]), "score", &mut out).unwrap_err();
        assert_eq!(error, RunError::TooLong { limit: limits.time });
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
    assert!(matches!(network.run_zeros(1), Err(RunError::TooLong { .. })));
}

#[test]
fn a_run_that_asks_for_too_much_memory_fails_and_the_process_goes_on() {
    let network = network("huge.onnx");
    let mut out = Vec::new();
    let error = network.run(&rows(&[1.0, 2.0]), "score", &mut out).unwrap_err();
    assert!(matches!(error, RunError::Failed { .. }), "{error}");
    let error = network
        .run(&rows(&[1.0]), "loss", &mut out)
        .unwrap_err()
        .to_string();
    assert!(error.contains("the network"), "{error}");
}
