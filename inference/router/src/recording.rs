//! Where events of an experiment go: arguments of the commands that record or analyze them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use gondola_artifacts::{Access, Store};
use gondola_crds::text::Length;
use gondola_events::recorder::{Recorder, RecorderSettings};
use gondola_events::unit::UnitKey;
use gondola_wire::variables;

use crate::experiment::{Recording, Silence, Sink};

/// How long a router that stops has to upload what it recorded.
pub const UPLOAD_WITHIN: Duration = Duration::from_secs(15);
/// Maximum bytes waiting for the store; half the folder that the operator provides.
const MAX_WAITING: u64 = 2 << 30;

/// Where events are kept.
#[derive(Clone, Debug, Args)]
pub struct EventStoreArguments {
    /// URL of the store of exposures and outcomes, such as s3://events/shop.
    #[arg(long, env = variables::EVENTS_URL)]
    pub events_url: Option<String>,
    /// Endpoint of an S3-compatible store of events.
    #[arg(long, env = variables::EVENTS_ENDPOINT)]
    pub events_endpoint: Option<String>,
    /// A folder with the credentials of the store of events: a file for each setting.
    #[arg(long, env = variables::EVENTS_CREDENTIALS)]
    pub events_credentials: Option<PathBuf>,
    /// A folder for events that are not in the store yet, and for the analysis's working files; default: below the
    /// temporary folder.
    #[arg(long, env = variables::EVENTS_FOLDER)]
    pub events_folder: Option<PathBuf>,
}

/// How events are recorded.
#[derive(Clone, Debug, Args)]
pub struct RecordingArguments {
    /// Where events are kept.
    #[command(flatten)]
    pub store: EventStoreArguments,
    /// A file, or a folder with the file unit-key: at least 16 bytes that ids of units are hashed with.
    #[arg(long, env = variables::UNIT_KEY)]
    pub unit_key: Option<PathBuf>,
    /// How long events are gathered until they are uploaded.
    #[arg(long, env = variables::EVENTS_FLUSH, default_value = "60s")]
    pub events_flush: Length,
}

impl EventStoreArguments {
    /// Opens the store.
    pub fn open(&self) -> anyhow::Result<Store> {
        let url = self
            .events_url
            .as_deref()
            .context("no store of events is given; name one with --events-url")?;
        let access = Access {
            credentials: self.events_credentials.clone(),
            endpoint: self.events_endpoint.clone(),
            ..Access::default()
        };
        Ok(Store::open_with(url, &access)?)
    }

    /// The folder of the pipeline `base`, which is `namespace/name`: another's events must not be taken for its own.
    pub fn folder(&self, base: &str) -> PathBuf {
        let default = || std::env::temp_dir().join("gondola-events");
        self.events_folder.clone().unwrap_or_else(default).join(base)
    }
}

impl RecordingArguments {
    /// Starts to record for the pipeline `base`, which is `namespace/name`. A problem with recording is reported in
    /// answers to outcomes, and does not stop serving.
    pub fn start(&self, base: &str) -> Recording {
        let incarnation = format!("{:08x}", rand::random::<u32>());
        let sink = match &self.store.events_url {
            None => Err(Silence::Unasked),
            Some(_) => self.sink(base, &incarnation).map_err(|error| {
                let problem = format!("{error:#}");
                tracing::warn!(problem, "nothing will be recorded");
                Silence::Problem(problem)
            }),
        };
        Recording::new(incarnation, sink)
    }

    fn sink(&self, base: &str, incarnation: &str) -> anyhow::Result<Sink> {
        let store = self.store.open()?;
        let key = self
            .unit_key
            .as_ref()
            .context("no key for ids of units is given; name its file with --unit-key")?;
        let key = UnitKey::read(key)?;
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".to_owned());
        let settings = RecorderSettings {
            folder: self.store.folder(base).join("journal"),
            base: base.to_owned(),
            writer: format!("{host}-{incarnation}"),
            flush: self.events_flush.duration(),
            max_waiting_bytes: MAX_WAITING,
        };
        let recorder = Recorder::start(settings, store)?;
        Ok(Sink { recorder, key })
    }
}
