//! What is served is what was trained, by us or by others; what can't be served is refused.

use candle_nn::VarBuilder;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::Dlrm;
use super::*;
use crate::scoring::neural::InputShape;
use crate::scoring::neural::tests::{
    check_parts, check_refused, check_serving, expected, fixture, fresh, rows, score, shape,
};

fn small() -> DlrmConfig {
    DlrmConfig {
        embedding_dim: 8,
        bottom: vec![16],
        top: vec![24, 12],
        interaction: Interaction::Dot,
        numbers_to_top: false,
        arrangement: Arrangement::Gondola,
        shape: shape(),
    }
}

#[track_caller]
fn check(config: DlrmConfig) {
    let load = |path: &Path| DlrmScorer::load(path, &config);
    check_serving(
        &config.shape,
        |vb| Dlrm::new(&config, vb),
        |network| network.into_parts(&config),
        load,
    );
}

fn scorer() -> DlrmScorer {
    let config = small();
    fresh(
        |vb| Dlrm::new(&config, vb).map(drop),
        |path| DlrmScorer::load(path, &config),
    )
}

fn scores(scorer: &DlrmScorer, user: &EncodedRow, count: usize) -> Result<Vec<f32>, ScoreError> {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let shape = &scorer.config.shape;
    let items = rows(&mut rng, count, &shape.item_categorical, shape.item_numeric);
    score(scorer, user, &items, &vec![0.5; count * shape.pair])
}

fn some_user() -> EncodedRow {
    EncodedRow {
        categorical: vec![1, 1, 1],
        numeric: vec![0.5, -1.0, 2.0],
    }
}

#[test]
fn no_candidates_have_no_scores() {
    let mut scores = vec![7.0];
    let batch = CandidateBatch {
        blocks: &[],
        pairs: &[],
        pair_width: small().shape.pair,
    };
    scorer().score(&some_user(), &batch, &mut scores).unwrap();
    assert_eq!(scores, Vec::<f32>::new());
}

#[test]
fn an_index_that_training_never_saw_is_the_unknown() {
    let scorer = scorer();
    let mut user = some_user();
    let known = scores(&scorer, &user, 5).unwrap();
    user.categorical[1] = u32::MAX;
    assert_eq!(scores(&scorer, &user, 5).unwrap(), known);
}

#[test]
fn a_user_of_another_workflow_is_refused() {
    let mut user = some_user();
    user.numeric.pop();
    let message = scores(&scorer(), &user, 5).unwrap_err().to_string();
    let part = "3 categorical and 3 numeric user features, but the row has 3 and 2";
    assert!(message.contains(part), "{message}");
}

#[test]
fn a_score_that_is_nan_is_an_error() {
    let mut user = some_user();
    user.numeric[1] = f32::NAN;
    let error = scores(&scorer(), &user, 5).unwrap_err();
    assert!(
        matches!(error, ScoreError::NotANumber { position: 0, .. }),
        "{error}"
    );
}

#[test]
fn a_damaged_item_spoils_no_other_candidate() {
    let scorer = scorer();
    let user = some_user();
    let sound = scores(&scorer, &user, 5).unwrap();
    let shape = &scorer.config.shape;
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let items = rows(&mut rng, 5, &shape.item_categorical, shape.item_numeric);
    let mut damaged = EncodedTable::new(items.categorical_width(), items.numeric_width());
    for position in 0..5 {
        let mut row = items.row(position);
        if position == 2 {
            row.numeric.fill(f32::INFINITY);
        }
        damaged.push(&row);
    }
    let width = scorer.block_width();
    let mut blocks = vec![0.0; 5 * width];
    scorer.prepare(&damaged, &mut blocks);
    let blocks: Vec<&[f32]> = blocks.chunks_exact(width).collect();
    let batch = CandidateBatch {
        blocks: &blocks,
        pairs: &vec![0.5; 5 * shape.pair],
        pair_width: shape.pair,
    };
    let mut found = Vec::new();
    let _ = scorer.score(&user, &batch, &mut found);
    for candidate in [0, 1, 3, 4] {
        assert_eq!(found[candidate], sound[candidate]);
    }
}

#[test]
fn weights_that_cannot_serve_are_refused_by_name() {
    let network = |vb: VarBuilder<'_>| Dlrm::new(&small(), vb).map(drop);
    let load = |config: DlrmConfig| move |path: &Path| DlrmScorer::load(path, &config).map(drop);
    let nan = Some(("top.1.bias", f32::NAN));
    check_refused(
        network,
        nan,
        load(small()),
        "tensor top.1.bias has NaN at position 0",
    );
    let mut config = small();
    config.shape.item_categorical[1] = 1;
    let part = "tensor embedding.item.1.weight has 1 rows by its configuration";
    check_refused(network, None, load(config), part);
}

#[test]
fn serving_gives_what_training_gave() {
    let config = small();
    let with = |change: &dyn Fn(&mut InputShape)| {
        let mut config = small();
        change(&mut config.shape);
        config
    };
    check(config.clone());
    check(DlrmConfig {
        bottom: vec![],
        ..with(&|shape| shape.pair = 0)
    });
    check(DlrmConfig {
        top: vec![],
        ..with(&|shape| shape.user_categorical = vec![5])
    });
    check(DlrmConfig {
        numbers_to_top: true,
        ..with(&|shape| (shape.user_numeric, shape.pair) = (0, 0))
    });
    // One vocabulary in which candidates are looked for that have a value in common, and one in which they are not.
    check(with(&|shape| shape.item_categorical = vec![1024, 1025]));
    check(DlrmConfig {
        bottom: vec![16, 8],
        ..with(&|shape| shape.item_categorical = vec![11])
    });
    check(DlrmConfig {
        embedding_dim: 20,
        top: vec![33],
        ..with(&|shape| shape.user_categorical = vec![6; 19])
    });
}

#[test]
fn every_interaction_and_arrangement_is_served_as_it_is_trained() {
    use {Arrangement::*, Interaction::*};
    for (arrangement, interaction) in [
        (Gondola, DotWithItself),
        (Gondola, Cat),
        (Reference, Dot),
        (Reference, DotWithItself),
        (Reference, Cat),
        (Torchrec, Dot),
    ] {
        for numbers_to_top in [false, true] {
            check(DlrmConfig {
                arrangement,
                interaction,
                numbers_to_top,
                ..small()
            });
        }
    }
}

/// The shape of the samples: the first table is the user's, the others are the item's.
fn sampled(arrangement: Arrangement, interaction: Interaction) -> DlrmConfig {
    DlrmConfig {
        embedding_dim: 8,
        bottom: vec![16],
        top: vec![12],
        interaction,
        numbers_to_top: false,
        arrangement,
        shape: InputShape {
            user_categorical: vec![20],
            item_categorical: vec![13, 7],
            user_numeric: 2,
            item_numeric: 2,
            pair: 1,
        },
    }
}

/// Compares a sample's scores with what torch gave.
#[track_caller]
fn check_sample(name: &str, arrangement: Arrangement, interaction: Interaction) {
    let config = sampled(arrangement, interaction);
    let file = fixture(&format!("{name}.safetensors"));
    let scorer = DlrmScorer::load(&file, &config).unwrap();
    let weights = crate::tensors::weights(&file, &candle_core::Device::Cpu).unwrap();
    let parts = Dlrm::new(&config, weights).unwrap().into_parts(&config).unwrap();
    let expected = expected();
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        let values = value.as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let wanted = numbers(&expected["models"][name]["prob"]);
    for (row, wanted) in wanted.into_iter().enumerate() {
        let dense: Vec<f32> = numbers(&expected["dense"][row])
            .iter()
            .map(|v| *v as f32)
            .collect();
        let sparse: Vec<u32> = numbers(&expected["sparse"][row])
            .iter()
            .map(|v| *v as u32)
            .collect();
        let user = EncodedRow {
            categorical: sparse[..1].to_vec(),
            numeric: dense[..2].to_vec(),
        };
        let mut items = EncodedTable::new(2, 2);
        items.push(&EncodedRow {
            categorical: sparse[1..].to_vec(),
            numeric: dense[2..4].to_vec(),
        });
        let found = score(&scorer, &user, &items, &dense[4..]).unwrap()[0];
        let mut users = EncodedTable::new(1, 2);
        users.push(&user);
        check_parts(&parts, &scorer, &config.shape, &users, &items, &dense[4..]);
        assert!(
            (f64::from(found) - wanted).abs() < 1e-6,
            "{name}: {found} is not {wanted}"
        );
    }
}

#[test]
fn models_of_other_programs_give_what_they_gave_there() {
    check_sample("dlrm_dot", Arrangement::Reference, Interaction::Dot);
    check_sample("dlrm_dot_gather", Arrangement::Reference, Interaction::Dot);
    check_sample(
        "dlrm_dot_itself",
        Arrangement::Reference,
        Interaction::DotWithItself,
    );
    check_sample("dlrm_cat", Arrangement::Reference, Interaction::Cat);
    check_sample("dlrm_torchrec_names", Arrangement::Torchrec, Interaction::Dot);
}

#[test]
fn a_model_of_another_program_is_refused_until_its_configuration_says_whose_it_is() {
    let refused = |name: &str, arrangement, interaction, part: &str| {
        let path = fixture(&format!("{name}.safetensors"));
        let error = DlrmScorer::load(&path, &sampled(arrangement, interaction))
            .err()
            .unwrap();
        assert!(error.to_string().contains(part), "{error}");
    };
    let (ours, dot) = (Arrangement::Gondola, Interaction::Dot);
    refused(
        "dlrm_dot",
        ours,
        dot,
        "there is bot_l.0.weight: if the arrangement is \"reference\"",
    );
    refused(
        "dlrm_torchrec_names",
        ours,
        dot,
        "if the arrangement is \"torchrec\"",
    );
    refused(
        "dlrm_dot_itself",
        Arrangement::Reference,
        dot,
        "tensor top_l.0.weight is F32 of [12, 18]",
    );
    let itself = Interaction::DotWithItself;
    refused(
        "dlrm_torchrec_names",
        Arrangement::Torchrec,
        itself,
        "has no interaction but dot",
    );
}
