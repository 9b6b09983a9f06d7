//! From answers to rounds, and from what a round brings to what an answer does.

use gondola_experiments::off_policy::{Figure, Modelled, Preview, Round, Verdict};
use gondola_models::ordering::Places;

use super::expected::Expected;

/// An answer that was shown: what came of it, and what the new policy makes of it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Whose it is.
    pub unit: u64,
    /// The items' rows among those of the new policy; [`NOBODY`] for one that it doesn't have.
    pub rows: &'a [u32],
    /// The chance with which each was drawn.
    pub chances: &'a [f32],
    /// What each place brought.
    pub rewards: &'a [f64],
    /// Who may stand at each place, by the new policy.
    pub places: &'a Places,
}

/// The row of an item that the new policy doesn't have.
pub const NOBODY: u32 = u32::MAX;

/// A round for each place of each answer.
pub fn rounds(shown: &[Shown<'_>], max_weight: f64) -> Vec<Round> {
    // Each half of the units is asked of what the other half taught, so that no reward is expected by itself.
    let half = |shown: &Shown<'_>| (shown.unit & 1) as usize;
    let models = [1, 0].map(|other| Expected::of(shown.iter().filter(|shown| half(shown) == other)));
    let mut rounds = Vec::new();
    for shown in shown {
        add_rounds(shown, &models[half(shown)], max_weight, &mut rounds);
    }
    rounds
}

fn add_rounds(shown: &Shown<'_>, model: &Expected, max_weight: f64, rounds: &mut Vec<Round>) {
    let (mut propensity, mut chance) = (1.0, 1.0);
    let both = shown.chances.iter().zip(shown.places.chances());
    for (place, (logged, new)) in both.enumerate() {
        let before = f64::min(chance / propensity, max_weight);
        // Where the new policy never comes to this place, nothing is expected of it.
        let expected = match before > 0.0 {
            true => before * mean(shown.places, place, model),
            false => 0.0,
        };
        propensity *= f64::from(*logged);
        chance *= new;
        rounds.push(Round {
            unit: shown.unit,
            reward: shown.rewards[place],
            propensity,
            chance,
            modelled: Some(Modelled {
                shown: model.reward(shown.rows[place], place),
                expected,
            }),
        });
    }
}

/// The reward of what the new policy would put at a place, behind the items that were shown.
fn mean(places: &Places, place: usize, model: &Expected) -> f64 {
    let candidates = places.at(place);
    candidates
        .map(|(row, chance)| chance * model.reward(row, place))
        .sum()
}

/// What a round brings, times the rounds of an answer: what an answer does.
pub fn per_answer(mut preview: Preview, answers: usize) -> Preview {
    let rounds = preview.overlap.rounds as f64 / answers as f64;
    let times = |figure: &mut Figure| *figure = figure.times(rounds);
    times(&mut preview.logged);
    if let Verdict::Estimated(made) = &mut preview.verdict {
        let made = &mut **made;
        let others = [made.direct.as_mut(), made.doubly_robust.as_mut()];
        for estimate in [&mut made.ips, &mut made.snips]
            .into_iter()
            .chain(others.into_iter().flatten())
        {
            times(&mut estimate.value);
            times(&mut estimate.gain);
        }
    }
    preview
}
