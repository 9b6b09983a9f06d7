//! A shop whose visitors buy more of one arm, by a planted effect: a pipeline with an experiment must find it.
//!
//! `simulated-shop --url http://HOST:PORT` sends visitors until the experiment is decided; `simulated-shop -- COMMAND...` runs the
//! command first, with a free port as its `--listen`, and stops it after. The verdict must be the one that is expected.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use gondola_tests::http;
use gondola_tests::server::Server;
use gondola_tests::visitors::{Effect, Visitors};
use serde_json::Value;

/// Sends visitors with a planted effect to a pipeline, until its experiment is decided.
#[derive(Debug, Parser)]
struct Args {
    /// A pipeline that serves already, as http://HOST:PORT.
    #[arg(long, conflicts_with = "command", required_unless_present = "command")]
    url: Option<String>,
    /// Where the experiment's page is, as http://HOST:PORT.
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    experiment: String,
    /// Visitors a second.
    #[arg(long, default_value_t = 150)]
    visitors: u32,
    /// How many of the control's visitors buy.
    #[arg(long, default_value_t = 0.2)]
    base: f64,
    /// The arm that sells more.
    #[arg(long, default_value = "dlrm")]
    arm: String,
    /// By how much, relatively.
    #[arg(long, default_value_t = 0.3)]
    lift: f64,
    /// The verdict that must come.
    #[arg(long, default_value = "Promoted")]
    expect: String,
    /// Seconds until it must have come.
    #[arg(long, default_value_t = 180)]
    patience: u64,
    /// A Chromium that must be able to show the page with the verdict.
    #[arg(long)]
    browser: Option<PathBuf>,
    /// The program that serves the pipeline, and its arguments; `--listen` is added.
    #[arg(last = true)]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match &args.url {
        Some(url) => watch(&args, host(url)?).await,
        None => {
            let server = Server::start(&args.command).await?;
            watch(&args, &server.address).await?;
            let status = server.stop().await?;
            ensure!(status.success(), "the pipeline did not stop in peace: {status}");
            println!("ok: it uploaded what was left and ended with {status}");
            Ok(())
        }
    }
}

fn host(url: &str) -> anyhow::Result<&str> {
    let host = url
        .strip_prefix("http://")
        .context("the URL must begin with http://")?;
    Ok(host.trim_end_matches('/'))
}

/// Sends visitors, and tells how the experiment goes, until it is decided.
async fn watch(args: &Args, address: &str) -> anyhow::Result<()> {
    let effect = Effect {
        base: args.base,
        arm: args.arm.clone(),
        lift: args.lift,
    };
    let visitors = Visitors::connect(address, effect).await?;
    let sending = tokio::spawn(visitors.keep_coming(args.visitors));
    let page = host(&args.experiment)?;
    let verdict = decided(page, Duration::from_secs(args.patience)).await;
    sending.abort();
    let verdict = verdict?;
    ensure!(
        verdict == args.expect,
        "the verdict is {verdict}, and {} was planted",
        args.expect
    );
    println!("ok: {verdict}; the page is at {}/", args.experiment);
    match &args.browser {
        Some(browser) => look(browser, &args.experiment, &verdict),
        None => Ok(()),
    }
}

/// The page as a browser builds it: the verdict at the top, charts, and a picture that is not empty.
fn look(browser: &Path, page: &str, verdict: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let picture = folder.path().join("page.png");
    let shown = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1120,1900",
            "--dump-dom",
        ])
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("{page}/"))
        .output()
        .with_context(|| format!("cannot run {}", browser.display()))?;
    let built = String::from_utf8_lossy(&shown.stdout);
    for part in [
        verdict,
        "What would change this verdict",
        "<polyline",
        "Data health",
    ] {
        ensure!(built.contains(part), "the page has no {part:?}: {built}");
    }
    let bytes = std::fs::metadata(&picture).map_or(0, |metadata| metadata.len());
    println!(
        "ok: a browser shows the page ({} characters, a picture of {bytes} bytes)",
        built.len()
    );
    Ok(())
}

async fn decided(page: &str, patience: Duration) -> anyhow::Result<String> {
    let started = Instant::now();
    let mut told = String::new();
    while started.elapsed() < patience {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Ok(answer) = http::get(page, "/status.json").await else {
            continue;
        };
        let status = answer.json()?;
        let line = line(&status);
        if line != told {
            println!("{:>4} s  {line}", started.elapsed().as_secs());
            told = line;
        }
        if let Some(verdict) = status["decision"]["verdict"].as_str() {
            println!(
                "        {}",
                status["decision"]["message"].as_str().unwrap_or_default()
            );
            return Ok(verdict.to_owned());
        }
    }
    bail!("nothing was decided within {patience:?}: {told}")
}

fn line(status: &Value) -> String {
    let text = |field: &str| status[field].as_str().unwrap_or("-").to_owned();
    format!(
        "{:<8} {:>5} take part, {:>6} counted, lift {} {}",
        text("phase"),
        text("trafficPercent"),
        text("units"),
        text("lift"),
        text("interval")
    )
}
