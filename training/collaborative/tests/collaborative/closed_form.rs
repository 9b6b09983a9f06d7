//! EASE^R against its closed form.

use gondola_collaborative::settings::Ease;
use gondola_collaborative::{Settings, fit};
use gondola_models::retrieval::trained::{ItemWeights, Model};

use super::history;

fn settings(regularization: f32, exact_items: usize) -> Settings {
    Settings::Ease(Ease {
        regularization,
        exact_items,
        fewest_buyers: 1,
        ..Ease::default()
    })
}

/// The weights between rows of the catalog.
fn weights(settings: &Settings, users: usize, pairs: &[(u32, u32)]) -> [[f32; 6]; 6] {
    let fitted = fit(settings, &history(users, pairs), users, 6, 1).unwrap();
    let Model::ItemWeights(weights) = fitted.model else {
        panic!("a table of weights");
    };
    let mut table = [[0f32; 6]; 6];
    for (item, row) in fitted.rows.iter().enumerate() {
        for weight in ItemWeights::of(&weights, item as u32) {
            table[*row as usize][fitted.rows[weight.item as usize] as usize] = weight.weight;
        }
    }
    table
}

#[test]
fn weights_are_those_of_the_closed_form() {
    // Common purchases [[2, 1], [1, 2]]; with 1 in the diagonal the inverse is [[3, -1], [-1, 3]] / 8.
    let table = weights(&settings(1.0, 2), 3, &[(0, 0), (0, 1), (1, 0), (2, 1)]);
    for weight in [table[0][1], table[1][0]] {
        assert!((weight - 1.0 / 3.0).abs() < 1e-6, "{table:?}");
    }
}

#[test]
fn among_all_items_the_regression_of_each_is_the_closed_form() {
    let bought = |user: u32| [(user, user % 5), (user, (user * 7 + user / 5) % 6)];
    let pairs: Vec<(u32, u32)> = (0..40).flat_map(bought).collect();
    let [exact, among_nearest] = [6, 0].map(|exact_items| weights(&settings(2.0, exact_items), 40, &pairs));
    for (a, b) in exact.as_flattened().iter().zip(among_nearest.as_flattened()) {
        assert!((a - b).abs() < 1e-4, "{exact:?} {among_nearest:?}");
    }
}

#[test]
fn a_catalog_too_large_for_a_dense_matrix_is_refused_with_the_way_out() {
    let refused = settings(250.0, 5_000_000).check().unwrap_err().to_string();
    assert!(
        refused.contains("exact_items is 5000000") && refused.contains("20,000 or less"),
        "{refused}"
    );
}
