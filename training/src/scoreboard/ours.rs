//! Our models of who buys what: each tuned, fitted and asked.

use std::time::Instant;

use gondola_collaborative::space::Space;
use gondola_collaborative::{FitError, Settings};
use gondola_models::features::History;
use gondola_models::retrieval::trained::TrainedSource;

use super::contender::{Asked, Contender, Cost, Lists};
use super::ruler::Judged;
use super::task::{Baskets, Seen, TOP, Task};
use crate::progress;

/// Who makes these.
pub const MAKER: &str = "gondola";

/// The answers of models of who buys what; and in words, the models that could not be fitted.
pub fn ask(task: &Task, spaces: Vec<Space>) -> Asked {
    let mut asked = Asked::default();
    for space in spaces {
        let spinner = progress::spinner(space.title);
        match ask_one(task, &space) {
            Ok(contender) => asked.contenders.push(contender),
            Err(error) => asked.missing.push(format!("{}: {error}", space.title)),
        }
        spinner.finish();
    }
    asked
}

fn ask_one(task: &Task, space: &Space) -> Result<Contender, FitError> {
    let (settings, trials, tuning_seconds) = tune(task, space)?;
    let history = task.known.history(task.users, task.days[1]);
    let seeds = match settings {
        Settings::Als(_) | Settings::Bpr(_) | Settings::Sasrec(_) => &task.seeds[..],
        _ => &task.seeds[..1],
    };
    let (mut lists, mut fitting, mut answering) = (Vec::new(), 0.0, 0.0);
    for seed in seeds {
        let started = Instant::now();
        let source = fit(&settings, &history, task, *seed)?;
        fitting += started.elapsed().as_secs_f64();
        let started = Instant::now();
        lists.push(answers(&source, &history, &task.test, task.k, task.seen));
        answering += started.elapsed().as_secs_f64();
    }
    let fits = seeds.len() as f64;
    Ok(Contender {
        name: space.title.to_owned(),
        maker: MAKER.to_owned(),
        settings: serde_json::to_value(&settings).unwrap_or_default(),
        cost: Cost {
            trials,
            tuning_seconds,
            fit_seconds: fitting / fits,
            answer_seconds: answering / fits,
            peak_memory_bytes: None,
        },
        lists,
    })
}

/// The settings that are the best in the tuning window, how many were tried, and how long that took. Settings that can't be fitted
/// are passed over, unless none can.
fn tune(task: &Task, space: &Space) -> Result<(Settings, usize, f64), FitError> {
    let started = Instant::now();
    let history = task.train.history(task.users, task.days[0]);
    let asked = task.tune();
    let seed = task.seeds.first().copied().unwrap_or_default();
    let tried = space.draw(task.trials, seed);
    let trials = tried.len();
    let mut best: Option<(f64, Settings)> = None;
    let mut failed = None;
    for settings in tried {
        let source = match fit(&settings, &history, task, seed) {
            Ok(source) => source,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        let lists = answers(&source, &history, &asked, TOP, task.seen);
        let ndcg = Judged::of(&lists, &asked).mean().ndcg;
        if best.as_ref().is_none_or(|(most, _)| ndcg > *most) {
            best = Some((ndcg, settings));
        }
    }
    match (best, failed) {
        (Some((_, settings)), _) => Ok((settings, trials, started.elapsed().as_secs_f64())),
        (None, Some(error)) => Err(error),
        (None, None) => Err(FitError::NoItem {
            model: space.title,
            fewest_buyers: 1,
        }),
    }
}

fn fit(settings: &Settings, history: &History, task: &Task, seed: u64) -> Result<TrainedSource, FitError> {
    let fitted = gondola_collaborative::fit(settings, history, task.users, task.items, seed)?;
    Ok(fitted.source(task.items))
}

/// The lists of those who are asked.
fn answers(source: &TrainedSource, history: &History, asked: &Baskets, k: usize, seen: Seen) -> Lists {
    let list = |user: &u32| {
        let bought = history.of(*user as usize);
        match seen {
            Seen::Keep => source.all_candidates(bought, k),
            Seen::Remove => source.candidates(bought, k),
        }
    };
    asked.keys().map(|user| (*user, list(user))).collect()
}
