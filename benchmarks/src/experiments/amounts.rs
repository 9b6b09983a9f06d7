//! Amounts, ratios and refunds of arms that are the same: few users have any, and a few of those decide the mean.
//!
//! Users come evenly over two weeks. Each look's observations are drawn and summed, and the evidence is read as an analyzer's is.

use std::time::Duration;

use gondola_crds::experiment::Experiment;
use gondola_experiments::assess::{Assessment, assess};
use gondola_experiments::settings::Settings;
use gondola_experiments::statistics::{Observation, Sums};
use gondola_wire::evidence::{ArmEvidence, Evidence, FORMAT, Look};
use gondola_wire::operations::Operations;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::{DAY, Lines, START, experiment, simulation::three_errors};

const RUNS: usize = 1000;
const DAYS: i32 = 14;
const HOUR: Duration = Duration::from_secs(3600);

/// What users do.
#[derive(Clone, Copy)]
enum Behavior {
    /// 3 % buy, for lognormal(3, 1.5).
    Revenue,
    /// 20 % see items, some very many, and click one in ten of them, each with a taste of their own.
    Clicks,
    /// 3 % give something back: lognormal(3, 1), below 0.
    Refunds,
}

impl Behavior {
    fn name(self) -> &'static str {
        match self {
            Self::Revenue => "revenue",
            Self::Clicks => "clicks by views",
            Self::Refunds => "refunds",
        }
    }

    fn metric(self) -> Value {
        match self {
            Self::Revenue | Self::Refunds => {
                json!({"name": "value", "type": "Sum", "event": "purchase", "window": "1d"})
            }
            Self::Clicks => {
                json!({"name": "value", "type": "Ratio", "numerator": "click", "denominator": "view", "window": "1d"})
            }
        }
    }

    /// The share of users who do anything.
    fn active(self) -> f64 {
        match self {
            Self::Revenue | Self::Refunds => 0.03,
            Self::Clicks => 0.2,
        }
    }

    /// What one who does something does.
    fn draw(self, random: &mut ChaCha8Rng) -> Observation {
        let (y, m) = match self {
            Self::Revenue => ((3.0 + 1.5 * normal(random)).exp(), 0.0),
            Self::Refunds => (-(3.0 + normal(random)).exp(), 0.0),
            Self::Clicks => {
                let views = (1.0 + 0.8 * normal(random)).exp().ceil();
                let taste = 0.2 * random.random::<f64>();
                let clicks = (0..views as u32).filter(|_| random.random_bool(taste)).count();
                (clicks as f64, views)
            }
        };
        Observation { y, m, x: 0.0 }
    }
}

/// A standard normal number (Box and Muller, 1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// How users are split, and how many of both arms come.
struct Split {
    weights: [u32; 2],
    users: u64,
}

/// Enough for the smaller arm to have the outcomes that anything is said on.
const SPLITS: [Split; 3] = [
    Split {
        weights: [50, 50],
        users: 40_000,
    },
    Split {
        weights: [90, 10],
        users: 200_000,
    },
    Split {
        weights: [99, 1],
        users: 2_000_000,
    },
];

/// How often one looks.
struct Looks {
    name: &'static str,
    every: Duration,
    /// Planned users, as a share of those that the smaller arm gets.
    planned: f64,
}

/// The planned users come, so that the one read is made as well.
const DAILY: Looks = Looks {
    name: "daily",
    every: Duration::from_secs(86_400),
    planned: 0.5,
};
/// Sequences are narrowest where verdicts begin, which is where chance has the best of them.
const HOURLY: Looks = Looks {
    name: "hourly",
    every: HOUR,
    planned: 1.65,
};

/// What was found in arms that are the same.
#[derive(Default)]
struct Found {
    verdicts: usize,
    missed: usize,
}

impl Found {
    fn note(&mut self, assessment: &Assessment) {
        let comparison = &assessment.success[0];
        let better = comparison.better || comparison.final_read.is_some_and(|read| read.better);
        self.verdicts += usize::from(better || comparison.worse);
        // The true lift is 0.
        let holds =
            |interval: gondola_experiments::statistics::Interval| interval.low <= 0.0 && 0.0 <= interval.high;
        self.missed += usize::from(!comparison.interval.is_none_or(holds));
    }
}

pub(super) fn check(lines: &mut Lines) -> anyhow::Result<()> {
    for behavior in [Behavior::Revenue, Behavior::Clicks, Behavior::Refunds] {
        for split in &SPLITS {
            for looks in [DAILY, HOURLY] {
                compare_the_same(lines, behavior, split, &looks)?;
            }
        }
    }
    Ok(())
}

fn compare_the_same(
    lines: &mut Lines,
    behavior: Behavior,
    split: &Split,
    looks: &Looks,
) -> anyhow::Result<()> {
    let hybrid = Settings::of(&of(behavior, split, looks, "Hybrid")?)?;
    let sequential = Settings::of(&of(behavior, split, looks, "Sequential")?)?;
    let (mut by_hybrid, mut by_sequence) = (Found::default(), Found::default());
    for run in 0..RUNS {
        let seen = evidence(behavior, split, looks.every, run as u64);
        by_hybrid.note(&assess(&hybrid, &seen));
        by_sequence.note(&assess(&sequential, &seen));
    }
    for (settings, found) in [(&hybrid, by_hybrid), (&sequential, by_sequence)] {
        let most = three_errors(settings.alpha, RUNS);
        let most_missed = three_errors(settings.alpha_sequence, RUNS);
        let share = |count: usize| count as f64 / RUNS as f64;
        let (verdicts, missed) = (share(found.verdicts), share(found.missed));
        lines.line(
            verdicts <= most && missed <= most_missed,
            &format!(
                "A/A on {}, {:?}, {}, {:?}",
                behavior.name(),
                split.weights,
                looks.name,
                settings.method
            ),
            format!(
                "{:.1} % with a verdict, at most {:.2} %; the running interval holds the truth in {:.1} %, at least {:.2} %",
                100.0 * verdicts,
                100.0 * most,
                100.0 * (1.0 - missed),
                100.0 * (1.0 - most_missed)
            ),
        );
    }
    Ok(())
}

fn of(behavior: Behavior, split: &Split, looks: &Looks, method: &str) -> anyhow::Result<Experiment> {
    let [larger, smaller] = split.weights;
    let users = split.users * u64::from(smaller) / u64::from(larger + smaller);
    let units = (users as f64 * looks.planned) as u64;
    let mut asked = serde_json::to_value(experiment("amounts", &json!({"units": units, "method": method}))?)?;
    asked["metrics"]["success"] = json!([behavior.metric()]);
    asked["arms"] = json!([{"variant": "rf", "weight": larger}, {"variant": "dlrm", "weight": smaller}]);
    Ok(serde_json::from_value(asked)?)
}

fn evidence(behavior: Behavior, split: &Split, look: Duration, run: u64) -> Evidence {
    let mut random = ChaCha8Rng::seed_from_u64(run);
    let looks = (DAY * DAYS).as_secs() / look.as_secs() as i64;
    let [larger, smaller] = split.weights;
    let arms = [larger, smaller].map(|weight| split.users * u64::from(weight) / u64::from(larger + smaller));
    let looks: Vec<Look> = (0..looks)
        .map(|number| {
            let of_look = |users: u64| {
                users * (number + 1) as u64 / looks as u64 - users * number as u64 / looks as u64
            };
            let units = arms.map(of_look);
            Look {
                number: number as u32,
                units: units.into(),
                metrics: vec![units.map(|users| drawn(behavior, users, &mut random)).into()],
            }
        })
        .collect();
    let arm = |name: &str, units| ArmEvidence {
        name: name.to_owned(),
        units,
        exposures: units,
        fallbacks: 0,
    };
    let arms = [arm("rf", arms[0]), arm("dlrm", arms[1])].into();
    Evidence {
        format: FORMAT,
        experiment: "amounts".to_owned(),
        epoch: 1,
        started_at: START,
        look,
        analyzed_at: START + DAYS * DAY,
        metrics: vec!["value".to_owned()],
        looks,
        operations: Operations::new(&arms),
        arms,
        ..Evidence::default()
    }
}

/// What so many users come to. Those who do nothing are passed over at once: by geometric numbers, of which each next one is active.
fn drawn(behavior: Behavior, users: u64, random: &mut ChaCha8Rng) -> Sums {
    let mut sums = Sums::default();
    let passed_over = (1.0 - behavior.active()).ln();
    let mut seen = 0;
    loop {
        let idle = ((1.0 - random.random::<f64>()).ln() / passed_over).floor() as u64;
        let idle = idle.min(users - seen);
        sums.merge(&Sums {
            n: idle,
            ..Sums::default()
        });
        seen += idle;
        if seen == users {
            return sums;
        }
        sums.add(behavior.draw(random));
        seen += 1;
    }
}
