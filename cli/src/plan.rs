//! `gondola experiment plan`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gondola_crds::experiment::MetricKind;
use gondola_experiments::percent::{share, signed};
use gondola_experiments::report::grouped;
use gondola_experiments::settings::Settings;
use gondola_experiments::statistics::planning::{detectable_lift, weeks};

use super::Manifest;

const DAY: Duration = Duration::from_secs(86_400);

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline's manifest, with an experiment.
    #[arg(long, short)]
    file: PathBuf,
    /// New users per day if everybody took part; with it, the duration is shown.
    #[arg(long)]
    daily_users: Option<u64>,
}

/// The plan, for people.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let manifest = Manifest::read(&arguments.file)?;
    let settings = Settings::of(&manifest.experiment)?;
    let mut text = format!("experiment {} of {}\n", settings.name, manifest.pipeline);
    let _ = writeln!(
        text,
        "  design      {:?}: alpha {} ({} at any time, {} once), power {}",
        settings.method, settings.alpha, settings.alpha_sequence, settings.alpha_final, settings.power
    );
    let _ = writeln!(
        text,
        "  users       {} in each arm of {}",
        grouped(settings.planned_units),
        settings.arm_names().join(", ")
    );
    let ramp: Vec<String> = settings
        .stages
        .iter()
        .map(|stage| match stage.hold {
            Duration::ZERO => share(stage.buckets.share()),
            hold => format!("{} for {}", share(stage.buckets.share()), days(hold)),
        })
        .collect();
    let _ = writeln!(text, "  ramp        {}", ramp.join(", then "));
    let _ = writeln!(
        text,
        "  at least    {}, at most {}",
        days(settings.min_duration),
        days(settings.max_duration)
    );
    match arguments.daily_users {
        Some(daily) => text += &duration(&manifest, &settings, daily),
        None => {
            text += "  With --daily-users N, the duration and the effect that it can detect are shown too.\n"
        }
    }
    Ok(text)
}

/// How long it takes with so many new users a day, and what each week could find.
fn duration(manifest: &Manifest, settings: &Settings, daily: u64) -> String {
    let window = settings.success[0].metric.window + settings.cadence.lateness;
    let whole: u32 = settings.arms.iter().map(|arm| arm.weight).sum();
    let smallest = settings.arms.iter().map(|arm| arm.weight).min().unwrap_or(1);
    let part = f64::from(smallest) / f64::from(whole);
    let full = settings.stages.last().map_or(1.0, |stage| stage.buckets.share());
    // Who comes before the last step is left out, which errs on the long side by a few hours of users.
    let ramp: Duration = settings.stages.iter().map(|stage| stage.hold).sum();
    let a_day = daily as f64 * full * part;
    let coming = Duration::try_from_secs_f64(settings.planned_units as f64 / a_day * 86_400.0)
        .unwrap_or(Duration::MAX);
    let needed = coming.saturating_add(ramp).saturating_add(window);
    let whole_weeks = weeks(needed);
    let mut text = format!(
        "  with {} new users a day: {} until they have come and their window of {} is over: {whole_weeks} whole weeks\n",
        grouped(daily),
        days(needed),
        days(window)
    );
    if needed > settings.max_duration {
        text += "  that is longer than design.maxDuration: it would end Inconclusive; plan for a larger lift, or raise maxDuration\n";
    }
    let design = &manifest.experiment.design;
    let Some(baseline) = design.baseline.as_ref().map(|baseline| baseline.value()) else {
        return text;
    };
    let variance = match (settings.success[0].metric.kind, &design.deviation) {
        (MetricKind::Conversion, _) => baseline * (1.0 - baseline),
        (_, Some(deviation)) => deviation.value().powi(2),
        (_, None) => return text,
    };
    for week in 1..=6_u32 {
        let time = (DAY * 7 * week).saturating_sub(ramp + window);
        let units = (time.as_secs_f64() / 86_400.0 * a_day) as u64;
        let alpha = settings.alpha_final.max(settings.alpha_sequence) / settings.comparisons() as f64;
        let lift = detectable_lift(baseline, variance, units, units, alpha, settings.power);
        let lift = lift.map_or_else(|| "nothing yet".to_owned(), signed);
        let _ = writeln!(
            text,
            "    week {week}: {} users in the smallest arm detect {lift}",
            grouped(units)
        );
    }
    text
}

fn days(duration: Duration) -> String {
    let hours = duration.as_secs_f64() / 3600.0;
    if hours >= 48.0 {
        format!("{:.1} days", hours / 24.0)
    } else if hours >= 1.0 {
        format!("{hours:.1} hours")
    } else {
        format!("{} s", duration.as_secs())
    }
}
