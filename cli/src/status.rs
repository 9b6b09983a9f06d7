//! `gondola experiment status`.

use std::fmt::Write as _;

use anyhow::Context;
use clap::Args;
use gondola_crds::RecommenderPipeline;
use gondola_crds::experiment_status::{ExperimentStatus, MetricStatus};
use gondola_experiments::report::CONDITIONS;
use kube::{Api, Client};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline's name.
    pipeline: String,
    /// Its namespace; default: the current context's.
    #[arg(long, short)]
    namespace: Option<String>,
}

/// The status, for people.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let client = Client::try_default().await.context("cannot reach a cluster")?;
    let namespace = arguments
        .namespace
        .clone()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let api: Api<RecommenderPipeline> = Api::namespaced(client, &namespace);
    let pipeline = api
        .get(&arguments.pipeline)
        .await
        .with_context(|| format!("cannot get pipeline {namespace}/{}", arguments.pipeline))?;
    let status = pipeline.status.unwrap_or_default();
    let experiment = status
        .experiment
        .with_context(|| format!("pipeline {namespace}/{} has no experiment", arguments.pipeline))?;
    let mut text = describe(&experiment);
    for condition in status.conditions {
        if CONDITIONS.contains(&condition.type_.as_str()) {
            let _ = writeln!(
                text,
                "  {:<20} {:<8} {}: {}",
                condition.type_, condition.status, condition.reason, condition.message
            );
        }
    }
    Ok(text)
}

fn describe(status: &ExperimentStatus) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "not yet".to_owned());
    let mut text = format!(
        "experiment {}, epoch {}: {}\n",
        status.name,
        status.epoch,
        status.phase.as_str()
    );
    let _ = writeln!(
        text,
        "  started {}, stage {} since {}, {} of users take part",
        known(&status.start_time),
        status.stage + 1,
        known(&status.stage_start_time),
        known(&status.traffic_percent)
    );
    if let Some(decision) = &status.decision {
        let _ = writeln!(
            text,
            "  decided {} at {}: {}",
            decision.verdict, decision.time, decision.message
        );
    } else {
        let _ = writeln!(
            text,
            "  no decision yet; {} users per arm are planned, expected {}",
            status.planned_units.unwrap_or_default(),
            known(&status.expected_decision_time)
        );
    }
    for arm in &status.arms {
        let _ = writeln!(
            text,
            "  arm {:<16} {} users, {} counted, {} answers, {} by the control",
            arm.name, arm.units, arm.matured, arm.exposures, arm.fallback_rate
        );
    }
    for metric in status.success.iter().chain(&status.guardrails) {
        text += &line(metric);
    }
    text
}

fn line(metric: &MetricStatus) -> String {
    let margin = metric
        .margin
        .as_ref()
        .map(|margin| format!(", margin {margin}"))
        .unwrap_or_default();
    format!(
        "  {:<20} {:<16} {} against {}: {} {}{margin}: {}\n",
        metric.name,
        metric.arm,
        metric.treatment,
        metric.control,
        metric.lift,
        metric.lift_interval,
        metric.verdict
    )
}
