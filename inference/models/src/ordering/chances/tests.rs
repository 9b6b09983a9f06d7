use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

const HALF: Order = Order::Sampled { temperature: 0.5 };

/// Items 0 and 1 are of one group, 2 and 3 of another, 4 has none.
fn group(item: u32) -> Option<u32> {
    (item < 4).then_some(item / 2)
}

fn scored(scores: &[f32]) -> Vec<Scored> {
    let scored = scores.iter().zip(0..);
    scored.map(|(&score, item)| Scored { item, score }).collect()
}

fn chances(order: Order, scored: &[Scored], shown: &[u32], most: Option<usize>) -> Vec<f64> {
    let spread = most.map(|most| Spread { most, group });
    Places::new(order, scored, shown, spread).chances().collect()
}

#[track_caller]
fn check_near(found: &[f64], wanted: &[f64]) {
    let near = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(
        near && found.len() == wanted.len(),
        "{found:?}, wanted {wanted:?}"
    );
}

#[test]
fn a_place_has_the_chance_among_those_that_are_left() {
    // Squares of probabilities at a temperature of a half: 0.25, 0.09, 0.04.
    let three = scored(&[0.5, 0.3, 0.2]);
    check_near(
        &chances(HALF, &three, &[1, 0, 2], None),
        &[0.09 / 0.38, 0.25 / 0.29, 1.0],
    );
    check_near(&chances(HALF, &three, &[2], None), &[0.04 / 0.38]);
}

#[test]
fn what_a_full_group_passes_over_is_left_out_of_the_sum() {
    let five = scored(&[0.5, 0.3, 0.2, 0.1, 0.4]);
    // After 0, its group is full: 1 may not stand anywhere behind it.
    check_near(
        &chances(HALF, &five, &[0, 4, 2], Some(1)),
        &[0.25 / 0.55, 0.16 / 0.21, 0.04 / 0.05],
    );
}

#[test]
fn what_can_not_stand_there_has_no_chance() {
    let three = scored(&[0.5, 0.3, 0.2]);
    check_near(&chances(HALF, &three, &[9, 0], None), &[0.0, 0.25 / 0.38]);
    check_near(
        &chances(HALF, &three, &[0, 1, 2], Some(1)),
        &[0.25 / 0.38, 0.0, 1.0],
    );
    assert!(chances(HALF, &[], &[0], None)[0] == 0.0);
}

#[test]
fn far_scores_and_low_temperatures_keep_their_chances() {
    let far = scored(&[-3000.0, 0.0, 3000.0]);
    let cold = Order::Sampled { temperature: 0.001 };
    check_near(&chances(cold, &far, &[2, 1, 0], None), &[1.0, 1.0, 1.0]);
    check_near(&chances(cold, &far, &[0, 1, 2], None), &[0.0, 0.0, 1.0]);
}

#[test]
fn the_best_first_is_certain_and_nothing_else_is() {
    let five = scored(&[0.5, 0.3, 0.2, 0.1, 0.4]);
    check_near(&chances(Order::BestFirst, &five, &[0, 4, 1], None), &[1.0; 3]);
    check_near(&chances(Order::BestFirst, &five, &[0, 4, 2], Some(1)), &[1.0; 3]);
    check_near(&chances(Order::BestFirst, &five, &[0, 1], None), &[1.0, 0.0]);
}

#[test]
fn the_chances_at_a_place_come_to_one() {
    let five = scored(&[0.5, 0.3, 0.2, 0.1, 0.4]);
    for (order, most) in [(HALF, 1), (HALF, 2), (Order::BestFirst, 1)] {
        let places = Places::new(order, &five, &[0, 4, 2], Some(Spread { most, group }));
        for place in 0..3 {
            let sum: f64 = places.at(place).map(|(_, chance)| chance).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{order:?}, {most}, {place}: {sum}");
        }
    }
}

/// Each list of three that is drawn under the rule of groups, as often as its chance says: 200,000 draws, and four standard errors.
#[test]
fn lists_are_drawn_as_often_as_their_chances_say_also_where_groups_are_full() {
    const DRAWS: usize = 200_000;
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for (scores, most) in [
        ([0.5, 0.3, 0.2, 0.1, 0.4], 1),
        ([2.0, 1.5, -1.0, 0.3, 0.0], 1),
        ([0.5, 0.3, 0.2, 0.1, 0.4], 2),
    ] {
        let five = scored(&scores);
        let mut counts: HashMap<Vec<u32>, usize> = HashMap::new();
        for _ in 0..DRAWS {
            let drawn = HALF.arrange(five.clone(), &mut random);
            let shown = first_of_each_group(drawn, 3, most, group);
            *counts
                .entry(shown.iter().map(|scored| scored.item).collect())
                .or_default() += 1;
        }
        let mut whole = 0.0;
        for (list, count) in counts {
            let chance: f64 = chances(HALF, &five, &list, Some(most)).iter().product();
            let error = (chance * (1.0 - chance) / DRAWS as f64).sqrt();
            let often = count as f64 / DRAWS as f64;
            assert!(
                (often - chance).abs() < 4.0 * error + 1e-5,
                "{list:?}: {often} of draws, and its chance is {chance}"
            );
            whole += chance;
        }
        assert!(
            (whole - 1.0).abs() < 1e-3,
            "lists that were drawn have {whole} of all chance"
        );
    }
}
