//! What the graph and the lists of an ensemble may hold. What models of exporters predict: `forest::tests::samples`.

use super::messages::{Attribute, Dimension, Graph, Import, Input, Kind, Node, Shape, Tensor, TensorKind};
use super::*;
use crate::{Forest, Format, Path};

fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute {
        name: name.to_owned(),
        ints: ints.to_vec(),
        ..Attribute::default()
    }
}

fn int(name: &str, int: i64) -> Attribute {
    Attribute {
        name: name.to_owned(),
        int,
        ..Attribute::default()
    }
}

fn text(name: &str, text: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        text: text.as_bytes().to_vec(),
        ..Attribute::default()
    }
}

fn floats(name: &str, floats: &[f32]) -> Attribute {
    Attribute {
        name: name.to_owned(),
        floats: floats.to_vec(),
        ..Attribute::default()
    }
}

fn texts(name: &str, texts: &[&str]) -> Attribute {
    Attribute {
        name: name.to_owned(),
        texts: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        ..Attribute::default()
    }
}

fn tensor(name: &str, tensor: Tensor) -> Attribute {
    Attribute {
        name: name.to_owned(),
        tensor: Some(tensor),
        ..Attribute::default()
    }
}

fn doubles(name: &str, doubles: &[f64]) -> Attribute {
    let raw = doubles.iter().flat_map(|number| number.to_le_bytes()).collect();
    tensor(
        name,
        Tensor {
            data_type: 11,
            raw,
            ..Tensor::default()
        },
    )
}

fn bytes(name: &str, bytes: &[u8]) -> Attribute {
    tensor(
        name,
        Tensor {
            data_type: 2,
            raw: bytes.to_vec(),
            ..Tensor::default()
        },
    )
}

fn node(domain: &str, operator: &str, from: &str, to: &str, attributes: Vec<Attribute>) -> Node {
    Node {
        inputs: vec![from.to_owned()],
        outputs: vec![to.to_owned()],
        operator: operator.to_owned(),
        attributes,
        domain: domain.to_owned(),
    }
}

/// Replaces attributes of the same names, and adds the others.
fn with(mut node: Node, changes: Vec<Attribute>) -> Node {
    for change in changes {
        node.attributes.retain(|attribute| attribute.name != change.name);
        node.attributes.push(change);
    }
    node
}

/// A tree of the leaves `low` and `high`: `c0 <= 0.5` leads to the first.
fn regressor() -> Node {
    let lists = vec![
        ints("nodes_treeids", &[7, 7, 7]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0]),
        floats("nodes_values", &[0.5, 0.0, 0.0]),
        texts("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        ints("target_treeids", &[7, 7]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        floats("target_weights", &[1.0, 2.0]),
        int("n_targets", 1),
    ];
    node("ai.onnx.ml", "TreeEnsembleRegressor", "X", "Y", lists)
}

/// The same tree for two classes, with weights of `classes`.
fn classifier(classes: &[i64]) -> Node {
    let mut node = regressor();
    node.operator = "TreeEnsembleClassifier".to_owned();
    for attribute in &mut node.attributes {
        attribute.name = attribute.name.replace("target_", "class_");
    }
    let labels = ints("classlabels_int64s", &[0, 1]);
    with(node, vec![ints("class_ids", classes), labels])
}

/// The same tree in the newer operator.
fn ensemble() -> Node {
    let lists = vec![
        ints("tree_roots", &[0]),
        ints("nodes_featureids", &[0]),
        doubles("nodes_splits", &[0.5]),
        bytes("nodes_modes", &[0]),
        ints("nodes_truenodeids", &[0]),
        ints("nodes_falsenodeids", &[1]),
        ints("nodes_trueleafs", &[1]),
        ints("nodes_falseleafs", &[1]),
        ints("leaf_targetids", &[0, 0]),
        doubles("leaf_weights", &[1.0, 2.0]),
        int("n_targets", 1),
    ];
    node("ai.onnx.ml", "TreeEnsemble", "X", "Y", lists)
}

fn graph(nodes: Vec<Node>) -> Vec<u8> {
    let dimension = |value| Dimension { value };
    let shape = Shape {
        dimensions: vec![dimension(None), dimension(Some(1))],
    };
    let tensor = Some(TensorKind { shape: Some(shape) });
    let input = Input {
        name: "X".to_owned(),
        kind: Some(Kind { tensor }),
    };
    let graph = Some(Graph {
        nodes,
        inputs: vec![input],
    });
    let import = |domain: &str| Import {
        domain: domain.to_owned(),
    };
    let imports = ["", "ai.onnx.ml", "com.microsoft"].map(import).to_vec();
    messages::Model { graph, imports }.encode_to_vec()
}

#[track_caller]
fn check_predicts(node: Node, rows: &[f32], expected: &[f64]) {
    let forest = Forest::load(Format::Onnx, &graph(vec![node]), &["user.c0".to_owned()]).unwrap();
    check_forest(&forest, rows, expected);
}

#[track_caller]
fn check_forest(forest: &Forest, rows: &[f32], expected: &[f64]) {
    for path in Path::available() {
        let mut found = Vec::new();
        forest.predict_on(path, rows, |prediction| found.push(prediction));
        let near = |(found, expected): (&f64, &f64)| (found - expected).abs() < 1e-6;
        let same = found.len() == expected.len() && found.iter().zip(expected).all(near);
        assert!(same, "{path:?} gives {found:?} and not {expected:?}");
    }
}

#[track_caller]
fn check_refused(nodes: Vec<Node>, message: &str) {
    assert_eq!(parse(&graph(nodes)).unwrap_err().to_string(), message);
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn every_mode_decides_at_its_threshold_and_for_nan() {
    // The threshold, its neighbors, and NaN: 1 where the test holds, 2 where not.
    let rows = [3.0_f32.next_down(), 3.0, 3.0_f32.next_up(), f32::NAN];
    for (number, (mode, holds)) in [
        ("BRANCH_LEQ", [true, true, false]),
        ("BRANCH_LT", [true, false, false]),
        ("BRANCH_GTE", [false, true, true]),
        ("BRANCH_GT", [false, false, true]),
        ("BRANCH_EQ", [false, true, false]),
        ("BRANCH_NEQ", [true, false, true]),
    ]
    .into_iter()
    .enumerate()
    {
        for missing_is_true in [false, true] {
            let nan = missing_is_true || mode == "BRANCH_NEQ";
            let expected = [holds[0], holds[1], holds[2], nan].map(|holds| if holds { 1.0 } else { 2.0 });
            let tracks = ints(
                "nodes_missing_value_tracks_true",
                &[i64::from(missing_is_true), 0, 0],
            );
            let classic = vec![
                texts("nodes_modes", &[mode, "LEAF", "LEAF"]),
                doubles("nodes_values_as_tensor", &[3.0, 0.0, 0.0]),
                tracks,
            ];
            check_predicts(with(regressor(), classic), &rows, &expected);
            check_predicts(
                with(
                    regressor(),
                    vec![
                        texts("nodes_modes", &[mode, "LEAF", "LEAF"]),
                        floats("nodes_values", &[3.0, 0.0, 0.0]),
                    ],
                ),
                &rows[..3],
                &expected[..3],
            );
            let newer = vec![
                bytes("nodes_modes", &[number as u8]),
                doubles("nodes_splits", &[3.0]),
                ints("nodes_missing_value_tracks_true", &[i64::from(missing_is_true)]),
            ];
            check_predicts(with(ensemble(), newer), &rows, &expected);
        }
    }
}

#[test]
fn the_member_sample_gives_both_targets_of_its_library() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/trees/");
    let read = |name: &str| std::fs::read(format!("{folder}{name}")).unwrap();
    let file = messages::Model::decode(read("treeensemble_v5_member.onnx").as_slice()).unwrap();
    let node = &file.graph.unwrap().nodes[0];
    let expected: serde_json::Value = serde_json::from_slice(&read("treeensemble_v5_expected.json")).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    let rows: Vec<f32> = expected["X"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| {
            row.as_array()
                .unwrap()
                .iter()
                .map(number)
                .map(|value| value as f32)
        })
        .collect();
    for target in 0..2 {
        let mut coefficients = [0.0; 2];
        coefficients[target] = 1.0;
        let model = ensemble::regressor(node, 3, &coefficients).unwrap();
        let forest = Forest::new(&model).unwrap();
        let targets = expected["Y"].as_array().unwrap().iter();
        let expected: Vec<f64> = targets.map(|row| number(&row[target])).collect();
        check_forest(&forest, &rows, &expected);
    }
}

#[test]
fn aggregates_are_those_of_onnxruntime() {
    // Two trees: the first as above, the second one leaf of 1.5; the base is 0.25.
    let classic = |aggregate: &str| {
        let lists = vec![
            ints("nodes_treeids", &[7, 7, 7, 9]),
            ints("nodes_nodeids", &[0, 1, 2, 0]),
            ints("nodes_featureids", &[0; 4]),
            floats("nodes_values", &[0.5, 0.0, 0.0, 0.0]),
            texts("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF", "LEAF"]),
            ints("nodes_truenodeids", &[1, 0, 0, 0]),
            ints("nodes_falsenodeids", &[2, 0, 0, 0]),
            ints("target_treeids", &[7, 7, 9]),
            ints("target_nodeids", &[1, 2, 0]),
            ints("target_ids", &[0; 3]),
            floats("target_weights", &[1.0, 2.0, 1.5]),
            floats("base_values", &[0.25]),
            text("aggregate_function", aggregate),
            text("post_transform", "LOGISTIC"),
        ];
        with(regressor(), lists)
    };
    // A tree of one leaf is a node with the same leaf on both sides.
    let newer = |aggregate: i64| {
        let lists = vec![
            ints("tree_roots", &[0, 1]),
            ints("nodes_featureids", &[0, 0]),
            doubles("nodes_splits", &[0.5, 0.0]),
            bytes("nodes_modes", &[0, 0]),
            ints("nodes_truenodeids", &[0, 2]),
            ints("nodes_falsenodeids", &[1, 2]),
            ints("nodes_trueleafs", &[1, 1]),
            ints("nodes_falseleafs", &[1, 1]),
            ints("leaf_targetids", &[0; 3]),
            doubles("leaf_weights", &[1.0, 2.0, 1.5]),
            int("aggregate_function", aggregate),
            int("post_transform", 2),
        ];
        with(ensemble(), lists)
    };
    for (number, (name, expected)) in [
        ("AVERAGE", [1.25, 1.75]),
        ("SUM", [2.5, 3.5]),
        ("MIN", [1.0, 1.5]),
        ("MAX", [1.5, 2.0]),
    ]
    .into_iter()
    .enumerate()
    {
        check_predicts(newer(number as i64), &[0.0, 1.0], &expected);
        check_predicts(classic(name), &[0.0, 1.0], &expected.map(|sum| sum + 0.25));
    }
}

#[test]
fn a_classifier_gives_the_probability_of_its_second_class() {
    let of = |classes: &[i64], transform: &str, bases: &[f32]| {
        let changes = vec![text("post_transform", transform), floats("base_values", bases)];
        with(classifier(classes), changes)
    };
    let rows = [0.0, 1.0];
    // Weights of class 0 alone are the score of class 1.
    check_predicts(of(&[0, 0], "NONE", &[0.5]), &rows, &[1.5, 2.5]);
    check_predicts(
        of(&[0, 0], "LOGISTIC", &[0.5]),
        &rows,
        &[sigmoid(1.5), sigmoid(2.5)],
    );
    check_predicts(of(&[0, 0], "SOFTMAX", &[]), &rows, &[1.0, 2.0]);
    // With weights of class 1 each class has its own score, and one base value belongs to class 0.
    check_predicts(of(&[1, 1], "NONE", &[0.5]), &rows, &[1.0, 2.0]);
    check_predicts(of(&[0, 1], "LOGISTIC", &[]), &rows, &[0.5, sigmoid(2.0)]);
    check_predicts(
        of(&[0, 1], "SOFTMAX", &[0.5]),
        &rows,
        &[sigmoid(-1.5), sigmoid(1.5)],
    );
}

#[test]
fn what_exporters_put_around_the_trees_is_passed_and_all_else_is_refused() {
    let mut trees = regressor();
    trees.inputs = vec!["B".to_owned()];
    let cast = |to| node("", "Cast", "X", "A", vec![int("to", to)]);
    let around = |cast| {
        vec![
            cast,
            node("", "Identity", "A", "B", vec![]),
            trees.clone(),
            node("ai.onnx.ml", "ZipMap", "Y", "Z", vec![]),
        ]
    };
    assert!(parse(&graph(around(cast(1)))).is_ok());
    check_refused(
        around(cast(7)),
        "the ONNX model casts its inputs to type 7, but only float (1) and double (11) keep them as they are",
    );
    check_refused(
        vec![node("", "Gemm", "X", "Y", vec![])],
        "the ONNX model has the operator Gemm, but only a tree ensemble with Identity, Cast and ZipMap around it is supported; export the model of trees alone",
    );
    check_refused(
        vec![regressor(), node("com.microsoft", "Gelu", "X", "Z", vec![])],
        "the ONNX model has the operator com.microsoft.Gelu, but only a tree ensemble with Identity, Cast and ZipMap around it is supported; export the model of trees alone",
    );
    check_refused(
        vec![regressor(), ensemble()],
        "the ONNX model has 2 tree ensembles, it must have one; export the model of trees alone",
    );
    check_refused(
        vec![],
        "the ONNX model has 0 tree ensembles, it must have one; export the model of trees alone",
    );
    check_refused(
        vec![node("org.example", "Cast", "X", "Y", vec![])],
        "the ONNX model does not import the domain \"org.example\" of its operator Cast; it may be cut off, fetch it again",
    );
    // Two nodes that hand each other's value on for ever.
    let circle = vec![
        trees,
        node("", "Identity", "A", "B", vec![]),
        node("", "Identity", "B", "A", vec![]),
    ];
    let error = parse(&graph(circle)).unwrap_err();
    assert!(matches!(error, OnnxError::Input { .. }), "{error}");
}

#[test]
fn lists_that_do_not_belong_together_are_refused() {
    for (change, message) in [
        (
            ints("nodes_nodeids", &[0, 1]),
            "the ONNX model's trees have 2 values in nodes_nodeids, there must be 3",
        ),
        (
            ints("nodes_nodeids", &[0, 1, 1]),
            "nodes_nodeids[2] of the ONNX model's trees is 1, but the tree has this node twice",
        ),
        (
            ints("nodes_truenodeids", &[3, 0, 0]),
            "nodes_truenodeids[0] of the ONNX model's trees is 3, but the tree has no such node",
        ),
        (
            ints("nodes_truenodeids", &[0, 0, 0]),
            "tree 0, node 0 leads to 0, which has another parent already, or is the root",
        ),
        (
            ints("nodes_featureids", &[-1, 0, 0]),
            "nodes_featureids[0] of the ONNX model's trees is -1, but it must not be below 0",
        ),
        (
            ints("nodes_featureids", &[1, 0, 0]),
            "tree 0, node 0 reads feature 1, but the model has 1 features",
        ),
        (
            texts("nodes_modes", &["BRANCH_XOR", "LEAF", "LEAF"]),
            "nodes_modes[0] of the ONNX model's trees is BRANCH_XOR, but it must be LEAF or one of BRANCH_LEQ, _LT, _GTE, _GT, _EQ and _NEQ",
        ),
        (
            texts("nodes_modes", &["LEAF", "LEAF", "LEAF"]),
            "tree 0: the root leads to 1 nodes and leaves of 3",
        ),
        (
            floats("nodes_values", &[f32::NAN, 0.0, 0.0]),
            "tree 0, node 0 has a threshold that splits nothing (NaN, or `below minus infinity`); train the model again",
        ),
        (
            floats("target_weights", &[f32::NAN, 0.0]),
            "tree 0, leaf 1 is NaN, but it must be finite",
        ),
        (
            ints("target_ids", &[0, 1]),
            "target_ids[1] of the ONNX model's trees is 1, but there are fewer classes or targets",
        ),
        (
            ints("target_nodeids", &[1, 0]),
            "the ONNX model's trees have target_nodeids=node 0 of tree 7, but it must be a leaf",
        ),
        (
            doubles("target_weights_as_tensor", &[0.0]),
            "the ONNX model's trees have 1 values in target_weights, there must be 2",
        ),
        (
            text("post_transform", "PROBIT"),
            "the ONNX model's trees have post_transform=PROBIT, but only NONE, LOGISTIC and SOFTMAX are supported",
        ),
        (
            int("n_targets", 2),
            "the ONNX model's trees have n_targets=2, but a score is one number; train with one target",
        ),
    ] {
        check_refused(vec![with(regressor(), vec![change])], message);
    }
    let mut without = regressor();
    without
        .attributes
        .retain(|attribute| attribute.name != "nodes_modes");
    check_refused(vec![without], "the ONNX model's trees have no nodes_modes");
    check_refused(
        vec![with(
            classifier(&[0, 0]),
            vec![ints("classlabels_int64s", &[0, 1, 2])],
        )],
        "the ONNX model's trees have classlabels=3 classes, but a score is one number; train with two classes",
    );
}

#[test]
fn the_class_that_a_probability_is_for_is_told_and_must_be_the_greater_number() {
    let remarks = |labels| {
        let node = with(classifier(&[0, 0]), vec![labels]);
        let forest = Forest::load(Format::Onnx, &graph(vec![node]), &["user.c0".to_owned()]).unwrap();
        forest
            .remarks()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let told = "a score is the probability of the class 1, the second of the model's two (the other is -1); make sure that 1 is what users should do";
    assert_eq!(remarks(ints("classlabels_int64s", &[-1, 1])), [told]);
    let mut node = classifier(&[0, 0]);
    node.attributes
        .retain(|attribute| attribute.name != "classlabels_int64s");
    let named = with(node, vec![texts("classlabels_strings", &["bought", "ignored"])]);
    let forest = Forest::load(Format::Onnx, &graph(vec![named]), &["user.c0".to_owned()]).unwrap();
    let text = forest.remarks()[0].to_string();
    assert!(
        text.contains("of the class ignored") && text.contains("the other is bought"),
        "{text}"
    );
    check_refused(
        vec![with(
            classifier(&[0, 0]),
            vec![ints("classlabels_int64s", &[1, 0])],
        )],
        "the ONNX model's trees have classlabels=1, 0, but a score is the probability of the second class, which should be the greater; export the model again with 0 and 1",
    );
}

#[test]
fn lists_of_the_newer_operator_are_checked_against_each_other() {
    for (changes, message) in [
        (
            vec![ints("tree_roots", &[0, 0])],
            "the list of nodes[0] of the ONNX model's trees is reached again in tree 1, but a node must have one parent, and a root none",
        ),
        (
            vec![ints("tree_roots", &[9])],
            "tree 0, node 9 leads to 9, but the tree has 1 nodes and leaves",
        ),
        (
            vec![ints("nodes_trueleafs", &[0])],
            "the list of nodes[0] of the ONNX model's trees is reached again in tree 0, but a node must have one parent, and a root none",
        ),
        (
            vec![ints("nodes_falsenodeids", &[2])],
            "nodes_falsenodeids[0] of the ONNX model's trees is 2, but there are fewer leaves",
        ),
        (
            vec![bytes("nodes_modes", &[7])],
            "nodes_modes[0] of the ONNX model's trees is 7, but it must be from 0 to 6",
        ),
        (
            vec![bytes("nodes_modes", &[6])],
            "the ONNX model's trees have 0 values in membership_values (lists, each ended by NaN), there must be 1",
        ),
        (
            vec![
                bytes("nodes_modes", &[6]),
                doubles("membership_values", &[1.0, 2.5]),
            ],
            "the values that tree 0 compares feature 0 with[1] of the ONNX model's trees is 2.5, but only whole numbers from 0 to 16777216 can be tested for equality",
        ),
        (
            vec![int("aggregate_function", 4)],
            "the ONNX model's trees have aggregate_function=4, but it must be 0 (average), 1 (sum), 2 (min) or 3 (max)",
        ),
        (
            vec![int("post_transform", 4)],
            "the ONNX model's trees have post_transform=4, but only 0 to 3 (none, softmax, logistic, softmax_zero) are supported",
        ),
    ] {
        check_refused(vec![with(ensemble(), changes)], message);
    }
    let elsewhere = Tensor {
        data_type: 1,
        location: 1,
        ..Tensor::default()
    };
    check_refused(
        vec![with(ensemble(), vec![tensor("nodes_splits", elsewhere)])],
        "the ONNX model's trees have nodes_splits=a tensor in another file, but it must be in the model's; save it without external data",
    );
}
