//! `gondola experiment audit`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use futures::TryStreamExt as _;
use gondola_artifacts::{Access, Store};
use gondola_events::place::Kind;
use gondola_events::table::read_exposures;
use gondola_events::unit::{UnitHash, UnitKey};
use gondola_experiments::assignment::{Allocation, bucket};
use gondola_experiments::settings::Settings;
use object_store::ObjectStoreExt as _;

use super::Manifest;

/// Maximum number of differences that are shown.
const SHOWN: usize = 10;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline's manifest, with the experiment.
    #[arg(long, short)]
    file: PathBuf,
    /// The number of the epoch.
    #[arg(long, default_value_t = 1)]
    epoch: u32,
    /// URL of the store of events; default: the manifest's.
    #[arg(long, env = "GONDOLA_EVENTS_URL")]
    events_url: Option<String>,
    /// Endpoint of an S3-compatible store.
    #[arg(long, env = "GONDOLA_EVENTS_ENDPOINT")]
    events_endpoint: Option<String>,
    /// A folder with the store's credentials.
    #[arg(long, env = "GONDOLA_EVENTS_CREDENTIALS")]
    events_credentials: Option<PathBuf>,
    /// A file with ids of units, one per line: with the key, their buckets are computed from the ids themselves.
    #[arg(long, requires = "unit_key")]
    units: Option<PathBuf>,
    /// The key that ids were hashed with.
    #[arg(long, env = "GONDOLA_UNIT_KEY")]
    unit_key: Option<PathBuf>,
}

/// What was found.
#[derive(Default)]
struct Findings {
    exposures: u64,
    /// Exposures whose unit was computed from its id.
    known: u64,
    differences: Vec<String>,
    wrong: u64,
}

impl Findings {
    fn differs(&mut self, what: String) {
        self.wrong += 1;
        if self.differences.len() < SHOWN {
            self.differences.push(what);
        }
    }
}

/// Audits every exposure of the epoch. Fails if an arm is not the one that the rule gives.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::read(&arguments.file)?;
    let settings = Settings::of(&manifest.experiment)?;
    let allocation = Allocation::new(&settings.arms.iter().map(|arm| arm.weight).collect::<Vec<_>>())?;
    let arms = settings.arm_names();
    let salt = settings.salt_in(&manifest.pipeline);
    let units = units(arguments, &salt)?;
    let store = open(arguments, &manifest)?;
    let kind = Kind::Exposures {
        experiment: settings.name.clone(),
        epoch: arguments.epoch,
    };
    let folder = store.path(&format!("{}/{}", manifest.pipeline, kind.folder()));
    let files: Vec<_> = store.objects().list(Some(&folder)).try_collect().await?;
    let mut findings = Findings::default();
    for file in &files {
        let bytes = store.objects().get(&file.location).await?.bytes().await?;
        read_exposures(bytes, |row| {
            findings.exposures += 1;
            let arm = arms.get(allocation.arm(row.arm_bucket.min(9_999))).copied();
            if arm != Some(row.arm) {
                findings.differs(format!(
                    "unit {:?}: bucket {} belongs to {}, logged was {}",
                    row.unit,
                    row.arm_bucket,
                    arm.unwrap_or("nobody"),
                    row.arm
                ));
            }
            if let Some(buckets) = units.get(&row.unit) {
                findings.known += 1;
                if *buckets != (row.traffic_bucket, row.arm_bucket) {
                    findings.differs(format!(
                        "unit {:?}: its id gives buckets {buckets:?}, logged were {:?}",
                        row.unit,
                        (row.traffic_bucket, row.arm_bucket)
                    ));
                }
            }
        })
        .with_context(|| format!("cannot read {}", file.location))?;
    }
    println!(
        "{} exposures in {} files, {} of them from units whose ids were given: {} differ",
        findings.exposures,
        files.len(),
        findings.known,
        findings.wrong
    );
    for difference in &findings.differences {
        println!("  {difference}");
    }
    Ok(if findings.wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn open(arguments: &Arguments, manifest: &Manifest) -> anyhow::Result<Store> {
    let url = arguments
        .events_url
        .as_ref()
        .unwrap_or(&manifest.experiment.store.url);
    let access = Access {
        credentials: arguments.events_credentials.clone(),
        endpoint: arguments.events_endpoint.clone(),
        ..Access::default()
    };
    Ok(Store::open_with(url, &access)?)
}

/// The buckets of each unit whose id is given, by its hash.
fn units(arguments: &Arguments, salt: &str) -> anyhow::Result<HashMap<UnitHash, (u16, u16)>> {
    let (Some(file), Some(key)) = (&arguments.units, &arguments.unit_key) else {
        return Ok(HashMap::new());
    };
    let key = UnitKey::read(key)?;
    let ids = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let buckets = |id: &str| (bucket("traffic", salt, id), bucket("arm", salt, id));
    Ok(ids.lines().map(|id| (key.hash(id), buckets(id))).collect())
}
