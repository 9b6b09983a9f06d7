//! Settings and descriptions of models at their extremes.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gondola_models::scoring::dcn::cross::Cross;
use gondola_models::scoring::dlrm::arrangement::Interaction;
use serde_json::{Value, json};

use super::examples::samples::shop;
use super::*;
use crate::dataset::training::{
    Boosting, Dcn, Descent, Dlrm, FactorizationMachine, Forest, Mlp, Objective, WideDeep,
};
use crate::documents::places;
use crate::evaluate::pairs::Judge;

#[test]
fn the_least_that_a_configuration_can_say_makes_a_model_or_an_error() {
    let (layout, cardinalities, examples) = shop();
    let training = least();
    let task = Task {
        training: &training,
        layout: &layout,
        stacked: &[],
        cardinalities: &cardinalities,
        examples: &examples,
    };
    for name in Scorer::ALL {
        let folder = tempfile::tempdir().unwrap();
        match scorer(name, task) {
            Ok(fitted) => {
                fitted.save(folder.path()).unwrap();
                drop(Judge::load(folder.path(), &layout, &examples.encoded).unwrap());
            }
            Err(error) => assert!(!error.to_string().is_empty(), "{name}"),
        }
    }
}

/// The least that each setting can say.
fn least() -> Training {
    let descent = Descent {
        epochs: 1,
        patience: 0,
        batch: 1,
        learning_rate: 1e-9,
        weight_decay: 0.0,
        objective: Objective::LambdaRank,
    };
    let mut training = Training {
        seed: u64::MAX,
        weight_exponent: -10.0,
        ..Training::default()
    };
    training.dlrm = Dlrm {
        embedding_dim: 1,
        bottom: vec![],
        top: vec![],
        interaction: Interaction::Cat,
        numbers_to_top: true,
        descent: descent.clone(),
    };
    training.wide_deep = WideDeep {
        embedding_dim: 1,
        hidden: vec![1],
        crosses: Some(vec![]),
        cross_buckets: 1,
        descent: descent.clone(),
    };
    training.dcn = Dcn {
        embedding_dim: 1,
        cross: Cross::LowRank(1),
        cross_layers: 1,
        hidden: vec![],
        descent: descent.clone(),
    };
    training.mlp = Mlp {
        embedding_dim: 1,
        hidden: vec![],
        descent: descent.clone(),
    };
    training.factorization_machine = FactorizationMachine {
        dimension: 1,
        descent,
    };
    training.forest = Forest {
        trees: 1,
        leaves: 2,
        leaf_pairs: 0,
        pair_share: 1e-4,
        input_share: 1e-4,
    };
    training.boosting = Boosting {
        trees: 1,
        patience: 0,
        leaves: 2,
        leaf_pairs: 0,
        learning_rate: 1e-9,
        input_share: 1e-4,
    };
    training
}

/// A model's description at its extremes is one that loads or an error: whoever writes one by hand is told
/// what is wrong.
#[test]
fn no_field_of_a_scorers_description_panics_at_its_extremes() {
    let (layout, cardinalities, examples) = shop();
    let mut training = Training::default();
    training.forest.trees = 2;
    training.boosting.trees = 2;
    for descent in [
        &mut training.dlrm.descent,
        &mut training.wide_deep.descent,
        &mut training.dcn.descent,
        &mut training.mlp.descent,
        &mut training.factorization_machine.descent,
    ] {
        descent.epochs = 1;
    }
    let task = Task {
        training: &training,
        layout: &layout,
        stacked: &[],
        cardinalities: &cardinalities,
        examples: &examples,
    };
    for name in Scorer::ALL {
        let folder = tempfile::tempdir().unwrap();
        scorer(name, task).unwrap().save(folder.path()).unwrap();
        let path = folder.path().join("scorer.json");
        let whole: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let load = || Judge::load(folder.path(), &layout, &examples.encoded).map(drop);
        load().unwrap();
        let all = places(&whole);
        assert!(all.len() > 5, "{name}: {all:?}");
        for place in all {
            for extreme in extremes() {
                let mut description = whole.clone();
                *description.pointer_mut(&place).unwrap() = extreme.clone();
                fs::write(&path, description.to_string()).unwrap();
                let outcome = catch_unwind(AssertUnwindSafe(load));
                assert!(outcome.is_ok(), "{name}: {place} panics at {extreme}");
            }
        }
    }
}

fn extremes() -> Vec<Value> {
    vec![
        json!(0),
        json!(-1),
        json!(1),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(5e-324),
        json!(1e308),
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!([0]),
        json!([u64::MAX, u64::MAX]),
        json!([[u64::MAX, u64::MAX]]),
        json!(""),
        json!("\u{0}"),
        json!("x".repeat(10_000)),
    ]
}
