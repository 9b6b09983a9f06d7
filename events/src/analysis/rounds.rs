//! What routers say of themselves, round by round: errors and latency of the arms, and who answers by which configuration.

use std::collections::HashMap;

use gondola_experiments::operations::observe;
use gondola_experiments::settings::OperationsSettings;
use gondola_wire::arms::PerArm;
use gondola_wire::counts::ArmCounts;
use gondola_wire::evidence::{Evidence, RouterEvidence};
use gondola_wire::operations::Operations;
use gondola_wire::router_report::{ArmReport, RouterReport};

use super::rules::Rules;

/// What routers said so far.
pub struct Rounds {
    experiment: String,
    epoch: u32,
    arms: PerArm<String>,
    operations: Operations,
    /// The last report of each router, by its name.
    before: HashMap<String, RouterReport>,
    routers: Vec<RouterEvidence>,
    /// What counters hold now is of before this process, and was counted by the one before.
    resumed: bool,
}

impl Rounds {
    /// Begins an epoch, or goes on with what was found of it before.
    pub fn new(rules: &Rules, found: Option<&Evidence>) -> Self {
        let of_this_epoch = |evidence: &&Evidence| {
            evidence.experiment == rules.experiment
                && evidence.epoch == rules.epoch
                && evidence.operations.totals.count() == rules.arms.count()
        };
        let found = found.filter(of_this_epoch);
        Self {
            experiment: rules.experiment.clone(),
            epoch: rules.epoch,
            arms: rules.arms.clone(),
            operations: found.map_or_else(
                || Operations::new(&rules.arms),
                |evidence| evidence.operations.clone(),
            ),
            before: HashMap::new(),
            routers: Vec::new(),
            resumed: found.is_some(),
        }
    }

    /// Takes what each router says in this round; one that doesn't answer is named without a revision.
    pub fn observe(&mut self, said: Vec<(String, Option<RouterReport>)>, settings: &OperationsSettings) {
        let mut tick = self.arms.map(|_| ArmCounts::default());
        self.routers.clear();
        for (name, report) in said {
            let of_this_epoch =
                |report: &RouterReport| report.experiment == self.experiment && report.epoch == self.epoch;
            let Some(report) = report.filter(of_this_epoch) else {
                self.routers.push(RouterEvidence {
                    name,
                    ..RouterEvidence::default()
                });
                continue;
            };
            let known = self.before.get(&name);
            let since = known.filter(|known| known.incarnation == report.incarnation);
            if since.is_some() || !self.resumed {
                add_new(&mut tick, &self.arms, &report, since);
            }
            self.routers.push(RouterEvidence {
                name: name.clone(),
                revision: report.revision.clone(),
                dropped: self.arms.iter().map(|arm| arm_of(&report, arm).dropped).collect(),
                problem: report.problem.clone(),
            });
            self.before.insert(name, report);
        }
        self.resumed = false;
        observe(&mut self.operations, &tick, settings);
    }

    /// Puts what is known of operations and routers into an analysis.
    pub fn complete(&self, evidence: &mut Evidence) {
        evidence.operations = self.operations.clone();
        evidence.routers.clone_from(&self.routers);
        let mut dropped = vec![0; self.arms.count()];
        for router in &self.routers {
            for (sum, count) in dropped.iter_mut().zip(&router.dropped) {
                *sum += count;
            }
        }
        evidence.health.dropped = dropped;
    }
}

fn arm_of(report: &RouterReport, arm: &str) -> ArmReport {
    let found = report.arms.iter().find(|known| known.name == arm);
    found.cloned().unwrap_or_default()
}

/// Adds what an arm did since the report before.
fn add_new(
    tick: &mut PerArm<ArmCounts>,
    arms: &PerArm<String>,
    report: &RouterReport,
    since: Option<&RouterReport>,
) {
    for (sum, arm) in tick.iter_mut().zip(arms.iter()) {
        let now = arm_of(report, arm).counts;
        let before = since.map(|since| arm_of(since, arm).counts).unwrap_or_default();
        sum.add(&now.since(&before));
    }
}

#[cfg(test)]
mod tests {
    use gondola_experiments::settings::Settings;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        let experiment = serde_json::from_value(json!({
            "name": "dlrm-vs-rf", "control": "rf",
            "arms": [{"variant": "rf", "weight": 1}, {"variant": "dlrm", "weight": 1}],
            "metrics": {"success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "1d"}]},
            "design": {"units": 1000}, "store": {"url": "s3://e"}, "unitKey": {"secretRef": {"name": "k"}},
        }));
        Settings::of(&experiment.unwrap()).unwrap()
    }

    fn report(incarnation: &str, requests: [u64; 2]) -> RouterReport {
        let arm = |(name, requests): (&str, u64)| ArmReport {
            name: name.to_owned(),
            counts: ArmCounts {
                requests,
                errors: requests / 10,
                ..ArmCounts::default()
            },
            dropped: 1,
        };
        RouterReport {
            incarnation: incarnation.to_owned(),
            experiment: "dlrm-vs-rf".to_owned(),
            epoch: 1,
            revision: "r".to_owned(),
            arms: ["rf", "dlrm"].into_iter().zip(requests).map(arm).collect(),
            ..RouterReport::default()
        }
    }

    fn totals(rounds: &Rounds) -> Vec<u64> {
        rounds.operations.totals.iter().map(|arm| arm.requests).collect()
    }

    #[test]
    fn counts_since_the_last_round_are_added_whoever_starts_again() {
        let settings = settings();
        let rules = Rules::new(&settings, 1, Timestamp::UNIX_EPOCH);
        let mut rounds = Rounds::new(&rules, None);
        let operations = &settings.operations;
        rounds.observe(vec![("a".into(), Some(report("1", [100, 90])))], operations);
        assert_eq!(totals(&rounds), [100, 90]);
        rounds.observe(vec![("a".into(), Some(report("1", [150, 100])))], operations);
        assert_eq!(totals(&rounds), [150, 100]);
        // The router starts again, and another one comes.
        let both = vec![
            ("a".into(), Some(report("2", [10, 10]))),
            ("b".into(), Some(report("9", [5, 5]))),
        ];
        rounds.observe(both, operations);
        assert_eq!(totals(&rounds), [165, 115]);
        let mut evidence = Evidence {
            experiment: "dlrm-vs-rf".into(),
            epoch: 1,
            ..Evidence::default()
        };
        rounds.complete(&mut evidence);
        assert_eq!(evidence.health.dropped, [2, 2]);
        // The analyzer starts again: what routers counted until then was counted before.
        let mut rounds = Rounds::new(&rules, Some(&evidence));
        rounds.observe(vec![("a".into(), Some(report("2", [30, 30])))], operations);
        assert_eq!(totals(&rounds), [165, 115]);
        rounds.observe(vec![("a".into(), Some(report("2", [40, 31])))], operations);
        assert_eq!(totals(&rounds), [175, 116]);
    }

    #[test]
    fn a_router_that_does_not_answer_or_is_behind_has_no_revision() {
        let settings = settings();
        let mut rounds = Rounds::new(&Rules::new(&settings, 1, Timestamp::UNIX_EPOCH), None);
        let mut behind = report("1", [5, 5]);
        behind.epoch = 7;
        rounds.observe(
            vec![("a".into(), None), ("b".into(), Some(behind))],
            &settings.operations,
        );
        assert!(rounds.routers.iter().all(|router| router.revision.is_empty()));
        assert_eq!(totals(&rounds), [0, 0]);
    }
}
