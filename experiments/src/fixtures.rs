//! An experiment and evidence for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gondola_crds::experiment::Experiment;
use gondola_wire::counts::ArmCounts;
use gondola_wire::evidence::{ArmEvidence, Evidence, FORMAT, Look, RouterEvidence};
use gondola_wire::ledger::Ledger;
use gondola_wire::memory::Memory;
use gondola_wire::operations::Operations;
use gondola_wire::resolution::VariantBundles;
use gondola_wire::time::since;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::operations::observe;
use crate::settings::Settings;
use crate::statistics::Sums;
use crate::step::{Inputs, Routing, Step, step};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// 2026-11-02, a Monday.
pub(crate) const START: Timestamp = Timestamp::constant(1_793_577_600, 0);

/// DLRM against a forest, with a guardrail, as a spec.
pub(crate) fn spec() -> Value {
    json!({
        "name": "dlrm-vs-rf",
        "control": "rf",
        "arms": [{"variant": "rf", "weight": 50}, {"variant": "dlrm", "weight": 50}],
        "metrics": {
            "success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "1d"}],
            "guardrails": [{"name": "clicks", "type": "Count", "event": "click", "window": "1d", "margin": "5%"}],
        },
        "design": {"units": 20000, "minDuration": "7d", "maxDuration": "28d", "equivalenceMargin": "8%"},
        "store": {"url": "s3://events/shop"},
        "unitKey": {"secretRef": {"name": "unit-key"}},
    })
}

pub(crate) fn experiment(spec: &Value) -> Experiment {
    serde_json::from_value(spec.clone()).unwrap()
}

pub(crate) fn settings(spec: &Value) -> Settings {
    Settings::of(&experiment(spec)).unwrap()
}

/// What an arm does each day: users, and of them how many buy, and how many clicks they make.
#[derive(Clone, Copy)]
pub(crate) struct Daily {
    pub(crate) users: u64,
    pub(crate) buyers: u64,
    pub(crate) clicks: u64,
}

impl Daily {
    fn conversions(self) -> Sums {
        let y = self.buyers as f64;
        Sums {
            n: self.users,
            nonzero: self.buyers,
            mean_y: y / self.users as f64,
            yy: y - y * y / self.users as f64,
            ..Sums::default()
        }
    }

    /// As many clicks as a Poisson variable would have.
    fn counts(self) -> Sums {
        let y = self.clicks as f64;
        let mean = y / self.users as f64;
        let idle = self.users as f64 * (-mean).exp();
        Sums {
            n: self.users,
            nonzero: self.users - idle as u64,
            mean_y: mean,
            yy: y,
            ..Sums::default()
        }
    }
}

/// Evidence of so many whole days in which arms did the same each day.
pub(crate) fn evidence(epoch: u32, days: u32, arms: [Daily; 2]) -> Evidence {
    let look = |number| Look {
        number,
        units: arms.map(|arm| arm.users).into(),
        metrics: vec![
            arms.map(|arm| arm.conversions()).into(),
            arms.map(|arm| arm.counts()).into(),
        ],
    };
    let arm = |name: &str, daily: Daily| ArmEvidence {
        name: name.to_owned(),
        units: daily.users * u64::from(days),
        exposures: daily.users * u64::from(days) * 3,
        fallbacks: 0,
    };
    Evidence {
        format: FORMAT,
        experiment: "dlrm-vs-rf".to_owned(),
        epoch,
        started_at: START,
        look: DAY,
        analyzed_at: START + DAY * days,
        arms: [arm("rf", arms[0]), arm("dlrm", arms[1])].into(),
        metrics: vec!["purchase".to_owned(), "clicks".to_owned()],
        looks: (0..days).map(look).collect(),
        operations: busy(),
        ..Evidence::default()
    }
}

/// Traffic without a fault.
pub(crate) fn busy() -> Operations {
    let settings = settings(&spec());
    let mut operations = Operations::new(&settings.arms);
    let traffic = ArmCounts {
        requests: 10_000,
        errors: 5,
        ..ArmCounts::default()
    };
    for _ in 0..20 {
        observe(&mut operations, &[traffic, traffic].into(), &settings.operations);
    }
    operations
}

/// A world in which steps can be made.
pub(crate) struct World {
    pub(crate) experiment: Experiment,
    pub(crate) ready: BTreeSet<String>,
    pub(crate) only_weighted_variant: Option<&'static str>,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) memory: Option<Memory>,
    pub(crate) served: Option<BTreeMap<String, VariantBundles>>,
    pub(crate) suspended: bool,
    /// Whether routers have what they are told.
    pub(crate) routers_follow: bool,
    told: String,
}

impl World {
    pub(crate) fn new(spec: &Value) -> Self {
        Self {
            experiment: experiment(spec),
            ready: ["rf", "dlrm"].map(str::to_owned).into(),
            only_weighted_variant: None,
            ledger: None,
            memory: Some(Memory::nothing("dlrm-vs-rf")),
            served: None,
            suspended: false,
            routers_follow: true,
            told: String::new(),
        }
    }

    /// A step at a moment; the evidence is as old as it says, and routers say what they were told last.
    pub(crate) fn step(&mut self, now: Timestamp, evidence: Option<Evidence>) -> Step {
        let evidence = evidence.map(|mut evidence| {
            let revision = if self.routers_follow { &self.told } else { "old" };
            evidence.routers = ["a", "b"]
                .map(|name| RouterEvidence {
                    name: name.to_owned(),
                    revision: revision.to_owned(),
                    ..RouterEvidence::default()
                })
                .into();
            evidence
        });
        let inputs = Inputs {
            now,
            namespace: "shop",
            pipeline: "home",
            ready: &self.ready,
            routers: 2,
            only_weighted_variant: self.only_weighted_variant,
            evidence: evidence.as_ref(),
            memory: self.memory.as_ref(),
            served: self.served.as_ref(),
            suspended: self.suspended,
        };
        let settings = Settings::of(&self.experiment).unwrap();
        let step = step(&settings, self.ledger.as_ref(), &inputs);
        if let Routing::Experiment(routes) = &step.routing {
            self.told.clone_from(&routes.revision);
        }
        self.ledger = Some(step.ledger.clone());
        step
    }

    /// Steps each hour up to a moment, with an analysis each hour of as many days as are over.
    pub(crate) fn run(&mut self, from: Timestamp, to: Timestamp, arms: [Daily; 2]) -> Step {
        let mut now = from;
        loop {
            let days = (since(START, now).as_secs() / 86_400) as u32;
            let epoch = self.ledger.as_ref().map_or(1, |ledger| ledger.epoch);
            let mut seen = evidence(epoch, days, arms);
            seen.analyzed_at = now;
            let step = self.step(now, Some(seen));
            if now >= to {
                return step;
            }
            now += HOUR;
        }
    }
}
