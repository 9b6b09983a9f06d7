//! A preview, for people and for programs.

use std::fmt;

use gondola_crds::experiment::MetricKind;
use gondola_experiments::off_policy::{Estimate, Figure, Overlap, Preview, Verdict};
use gondola_experiments::percent::share;
use gondola_experiments::report::grouped;
use gondola_experiments::settings::MetricSettings;
use serde::Serialize;
use serde_json::{Value, json};

/// What the log says of a variant.
#[derive(Clone, Debug)]
pub struct Report {
    /// The pipeline, as `namespace/name`.
    pub pipeline: String,
    /// The experiment whose traffic it is.
    pub experiment: String,
    /// Its epoch.
    pub epoch: u32,
    /// The arm whose answers alone are taken, if any is named.
    pub arm: Option<String>,
    /// The variant that is previewed.
    pub variant: String,
    /// Its bundles: role and what was loaded.
    pub bundles: Vec<(String, String)>,
    /// How many answers there are, and which of them are left out.
    pub answers: Answers,
    /// Metric by metric.
    pub metrics: Vec<MetricOutcome>,
    /// Weights are cut to this.
    pub max_weight: f64,
}

/// How many answers there are, and why some are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answers {
    /// All of the log.
    pub logged: usize,
    /// Answers whose order was not drawn by chance, so that they have no chances.
    pub not_drawn: usize,
    /// Answers to units whose user is not in the features bundle.
    #[serde(rename = "unknownUsers")]
    pub unknown: usize,
    /// Answers to users beyond the most that are taken.
    #[serde(rename = "beyondUsers")]
    pub beyond: usize,
    /// Answers to users for whom the new variant fails.
    pub failed: usize,
    /// The units of those that are left.
    pub units: usize,
}

/// What came of a metric.
#[derive(Clone, Debug)]
pub struct MetricOutcome {
    /// Its name.
    pub name: String,
    /// Answers whose window is not over yet.
    pub young: usize,
    /// Outcomes of items that were not shown.
    pub not_shown: usize,
    /// Outcomes that followed no answer of the log.
    pub without_answer: usize,
    /// What could be said; or why nothing can.
    pub said: Result<MetricReport, String>,
}

/// A metric's preview, per answer.
#[derive(Clone, Debug)]
pub struct MetricReport {
    /// How the metric is counted.
    pub kind: MetricKind,
    /// How many answers it is made of.
    pub answers: usize,
    /// The numbers, per answer.
    pub preview: Preview,
}

impl MetricReport {
    /// A metric's preview of so many answers.
    pub fn new(metric: &MetricSettings, answers: usize, preview: Preview) -> Self {
        Self {
            kind: metric.kind,
            answers,
            preview,
        }
    }

    /// The estimates by their names; none where there is not enough overlap.
    pub fn estimates(&self) -> Vec<(&'static str, &'static str, Estimate)> {
        let Verdict::Estimated(made) = &self.preview.verdict else {
            return Vec::new();
        };
        let mut named = vec![("IPS", "ips", made.ips), ("SNIPS", "snips", made.snips)];
        named.extend(
            made.doubly_robust
                .map(|made| ("doubly robust", "doublyRobust", made)),
        );
        named
    }
}

impl Report {
    /// The report as JSON.
    pub fn json(&self) -> Value {
        let bundles: serde_json::Map<String, Value> = self
            .bundles
            .iter()
            .map(|(role, bundle)| (role.clone(), bundle.as_str().into()))
            .collect();
        json!({
            "pipeline": self.pipeline,
            "experiment": self.experiment,
            "epoch": self.epoch,
            "arm": self.arm,
            "variant": self.variant,
            "bundles": bundles,
            "maxWeight": self.max_weight,
            "answers": self.answers,
            "metrics": self.metrics.iter().map(MetricOutcome::json).collect::<Vec<_>>(),
        })
    }
}

impl MetricOutcome {
    fn json(&self) -> Value {
        let mut json = json!({
            "name": self.name,
            "youngAnswers": self.young,
            "outcomesOfItemsNotShown": self.not_shown,
            "outcomesWithoutAnswer": self.without_answer,
        });
        match &self.said {
            Err(problem) => json["problem"] = problem.as_str().into(),
            Ok(report) => {
                json["answers"] = report.answers.into();
                json["logged"] = figure_json(&report.preview.logged);
                json["overlap"] = overlap_json(&report.preview.overlap);
                if let Verdict::NotEnoughOverlap(shortfall) = &report.preview.verdict {
                    json["notEnoughOverlap"] = shortfall.to_string().into();
                }
                for (_, name, estimate) in report.estimates() {
                    json[name] =
                        json!({"value": figure_json(&estimate.value), "gain": figure_json(&estimate.gain)});
                }
            }
        }
        json
    }
}

fn figure_json(figure: &Figure) -> Value {
    // What is not finite is null.
    json!({
        "value": figure.value, "standardError": figure.standard_error,
        "interval": [figure.interval.low, figure.interval.high],
    })
}

fn overlap_json(overlap: &Overlap) -> Value {
    json!({
        "rounds": overlap.rounds, "units": overlap.units,
        "effectiveRounds": overlap.effective_rounds, "effectiveUnits": overlap.effective_units,
        "effectiveOutcomes": overlap.effective_outcomes,
        "meanWeight": overlap.mean_weight, "largestWeight": overlap.largest_weight, "cut": overlap.cut,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answers {
            logged,
            not_drawn,
            unknown,
            beyond,
            failed,
            units,
        } = self.answers;
        let whole = logged - not_drawn - unknown - beyond - failed;
        writeln!(
            f,
            "variant {} on the traffic of experiment {} of {}, epoch {}",
            self.variant, self.experiment, self.pipeline, self.epoch
        )?;
        for (role, bundle) in &self.bundles {
            writeln!(f, "  {role:<12}{bundle}")?;
        }
        writeln!(
            f,
            "  answers     {} of {}, to {} users{}",
            grouped(whole as u64),
            grouped(logged as u64),
            grouped(units as u64),
            self.arm
                .as_ref()
                .map(|arm| format!(", of arm {arm}"))
                .unwrap_or_default()
        )?;
        for (count, why) in [
            (not_drawn, "their order was not drawn by chance"),
            (unknown, "their user is not in the features bundle"),
            (beyond, "as many users are taken as --users says"),
            (failed, "the variant fails for their user"),
        ] {
            if count > 0 {
                let of = share(count as f64 / logged as f64);
                writeln!(f, "  left out    {} ({of}): {why}", grouped(count as u64))?;
            }
        }
        self.metrics.iter().try_for_each(|metric| write!(f, "{metric}"))
    }
}

impl fmt::Display for MetricOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = match &self.said {
            Ok(report) => report,
            Err(problem) => return writeln!(f, "metric {}: {problem}", self.name),
        };
        writeln!(
            f,
            "metric {} ({:?}), per answer, of {} answers",
            self.name,
            report.kind,
            grouped(report.answers as u64)
        )?;
        for (count, what) in [
            (self.young, "answers whose window is not over"),
            (self.not_shown, "outcomes of items that were not shown"),
            (self.without_answer, "outcomes that followed no answer of the log"),
        ] {
            if count > 0 {
                writeln!(f, "  left out    {} {what}", grouped(count as u64))?;
            }
        }
        writeln!(f, "  logged          {}", between(&report.preview.logged, false))?;
        if let Verdict::NotEnoughOverlap(shortfall) = &report.preview.verdict {
            writeln!(f, "  new             not enough overlap: {shortfall}")?;
        }
        for (name, _, estimate) in report.estimates() {
            writeln!(
                f,
                "  {name:<16}{}, {} against logged",
                between(&estimate.value, false),
                between(&estimate.gain, true)
            )?;
        }
        let overlap = &report.preview.overlap;
        writeln!(
            f,
            "  overlap         worth {:.0} of {} users, {:.0} of them with an outcome; {:.0} of {} places; weights of {:.3} on average \
             and {:.1} at most, {} cut",
            overlap.effective_units,
            grouped(overlap.units as u64),
            overlap.effective_outcomes,
            overlap.effective_rounds,
            grouped(overlap.rounds as u64),
            overlap.mean_weight,
            overlap.largest_weight,
            share(overlap.cut)
        )
    }
}

/// A number and its interval.
fn between(figure: &Figure, signed: bool) -> String {
    let number = |value: f64| match signed {
        true => format!("{value:+.5}"),
        false => format!("{value:.5}"),
    };
    format!(
        "{} ({} to {})",
        number(figure.value),
        number(figure.interval.low),
        number(figure.interval.high)
    )
}
