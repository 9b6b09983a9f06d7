//! Which settings of a model are worth a try: the space that tuning draws from.
//!
//! Values stand in steps that matter, after the tunings of Ferrari Dacrema et al. (arXiv 1911.07698) and Anelli et al. (arXiv
//! 2203.01155). Every model of a comparison is given the same number of trials.

use gondola_models::retrieval::trained::FoldIn;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::settings::{
    Als, Bpr, Drift, Ease, ItemKnn, Popularity, Rp3beta, Sasrec, Settings, Similarity, Slim, Trend, UserKnn,
};

/// A model that is to be tuned: its name, and all settings that are worth a try.
#[derive(Debug)]
pub struct Space {
    /// What people call the model.
    pub title: &'static str,
    /// The name of its bundle.
    pub bundle: &'static str,
    settings: Vec<Settings>,
}

impl Space {
    /// The settings of one model.
    fn of(settings: impl IntoIterator<Item = Settings>) -> Self {
        let settings: Vec<Settings> = settings.into_iter().collect();
        Self {
            title: settings.first().map_or("nothing", Settings::title),
            bundle: settings.first().map_or("nothing", Settings::bundle),
            settings,
        }
    }

    /// As many of them as there are trials, drawn by chance; all of them where there are no more.
    pub fn draw(&self, trials: usize, seed: u64) -> Vec<Settings> {
        let mut drawn = self.settings.clone();
        drawn.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        drawn.truncate(trials);
        drawn
    }

    /// The spaces of all models, the simplest first.
    pub fn all() -> Vec<Self> {
        vec![
            popularity(),
            cosine(),
            bm25(),
            user_knn(),
            rp3beta(),
            ease(),
            ease_with_recency(),
            slim(),
            als(),
            bpr(),
            sasrec(),
            sasrec_with_drift(),
        ]
    }
}

/// Each of some values with each of others.
fn each<A: Copy, B: Copy>(first: &[A], second: &[B]) -> Vec<(A, B)> {
    let pairs = first.iter().flat_map(|a| second.iter().map(move |b| (*a, *b)));
    pairs.collect()
}

fn popularity() -> Space {
    let days = [None, Some(3), Some(7), Some(14), Some(30), Some(90)];
    Space::of(days.map(|days| Settings::Popularity(Popularity { days })))
}

fn cosine() -> Space {
    let all = each(&[10, 20, 50, 100, 200, 500], &[0.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    Space::of(all.into_iter().map(|(kept, shrink)| {
        Settings::ItemKnn(ItemKnn {
            similarity: Similarity::Cosine { shrink },
            kept,
            fewest_buyers: 1,
        })
    }))
}

fn bm25() -> Space {
    let all = each(
        &each(&[1.2, 5.0, 20.0, 100.0], &[0.0, 0.05, 0.2, 0.5, 0.8]),
        &[20, 50, 200],
    );
    Space::of(all.into_iter().map(|((k1, b), kept)| {
        Settings::ItemKnn(ItemKnn {
            similarity: Similarity::Bm25 { k1, b },
            kept,
            fewest_buyers: 1,
        })
    }))
}

fn user_knn() -> Space {
    let neighbors = [10, 20, 50, 100, 200, 400, 800];
    Space::of(neighbors.map(|neighbors| {
        Settings::UserKnn(UserKnn {
            neighbors,
            fewest_buyers: 1,
        })
    }))
}

fn rp3beta() -> Space {
    let powers = each(&[0.6, 0.8, 1.0, 1.2, 1.4], &[0.0, 0.2, 0.4, 0.6, 0.8]);
    let all = each(&powers, &[50, 100, 200, 500]);
    Space::of(all.into_iter().map(|((alpha, beta), kept)| {
        Settings::Rp3beta(Rp3beta {
            alpha,
            beta,
            kept,
            fewest_buyers: 1,
        })
    }))
}

fn ease() -> Space {
    let regularizations = [
        10.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1_500.0, 3_000.0, 6_000.0,
    ];
    Space::of(regularizations.map(|regularization| {
        Settings::Ease(Ease {
            regularization,
            fewest_buyers: 5,
            kept: 500,
            ..Ease::default()
        })
    }))
}

fn ease_with_recency() -> Space {
    let half_lives = [Some(7.0), Some(30.0), Some(90.0), None];
    let trends = each(&[7, 30, 90], &[0.05, 0.1, 0.2, 0.4, 0.8]);
    let all = each(&each(&[50.0, 200.0, 800.0], &half_lives), &trends);
    Space::of(
        all.into_iter()
            .map(|((regularization, half_life_days), (days, most))| {
                Settings::Ease(Ease {
                    regularization,
                    fewest_buyers: 5,
                    kept: 500,
                    half_life_days,
                    trend: Some(Trend { days, most }),
                    ..Ease::default()
                })
            }),
    )
}

fn slim() -> Space {
    let penalties = each(&[0.1, 0.5, 1.0, 2.0, 5.0], &[1.0, 10.0, 50.0, 150.0, 500.0]);
    let all = each(&penalties, &[50, 100, 200]);
    Space::of(all.into_iter().map(|((l1, l2), nearest)| {
        Settings::Slim(Slim {
            l1,
            l2,
            nearest,
            fewest_buyers: 5,
        })
    }))
}

fn als() -> Space {
    let shapes = each(&[16, 32, 64, 128], &[5, 15]);
    let all = each(
        &shapes,
        &each(&[0.1, 1.0, 5.0, 15.0, 50.0], &[0.5, 1.5, 5.0, 20.0]),
    );
    Space::of(
        all.into_iter()
            .map(|((dimension, rounds), (regularization, confidence))| {
                Settings::Als(Als {
                    dimension,
                    regularization,
                    confidence,
                    rounds,
                    fewest_buyers: 1,
                    ..Als::default()
                })
            }),
    )
}

fn bpr() -> Space {
    let shapes = each(&[16, 32, 64], &[20, 60]);
    let steps = each(&[0.02, 0.05, 0.1], &[0.002, 0.01, 0.05]);
    let fold_ins = each(&[1.0, 10.0, 100.0], &[5.0, 20.0]);
    let all = each(&shapes, &each(&steps, &fold_ins));
    Space::of(all.into_iter().map(
        |((dimension, rounds), ((learning_rate, regularization), (held, confidence)))| {
            Settings::Bpr(Bpr {
                dimension,
                learning_rate,
                regularization,
                rounds,
                fold_in: FoldIn {
                    regularization: held,
                    confidence,
                },
                fewest_buyers: 1,
            })
        },
    ))
}

fn sasrec() -> Space {
    Space::of([1, 10, 50].map(|ahead| {
        Settings::Sasrec(Sasrec {
            ahead,
            fewest_buyers: 1,
            ..Sasrec::default()
        })
    }))
}

fn sasrec_with_drift() -> Space {
    let drifts = each(&[30, 90], &[0.5, 1.0]);
    Space::of(drifts.into_iter().map(|(days, weight)| {
        Settings::Sasrec(Sasrec {
            drift: Some(Drift { days, weight }),
            fewest_buyers: 1,
            ..Sasrec::default()
        })
    }))
}
