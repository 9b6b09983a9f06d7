//! Whole shops, from their files to answers: one by one ([`small_shop`]), and for everybody at once ([`batch`]).

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

mod batch;
mod small_shop;

use std::path::{Path, PathBuf};

use gondola_artifacts::Access;
use gondola_training::dataset::queries::QuerySettings;
use gondola_training::publish::CHANNEL;
use gondola_training::run::{Inputs, RunConfig};
use url::Url;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A training with a small encoder, whose store and report are in `folder`.
fn run_config(folder: &Path, dataset: PathBuf, data: &Path) -> RunConfig {
    RunConfig {
        inputs: Inputs {
            dataset,
            data: Url::from_directory_path(data).unwrap(),
            access: Access::default(),
            test_latest: false,
            queries: QuerySettings::default(),
        },
        encoder: project("inference/models/tests/fixtures/clip")
            .display()
            .to_string(),
        store: format!("file://{}", folder.join("store").display()),
        report: folder.join("report"),
        channel: CHANNEL.to_owned(),
        promotion: None,
        last_words: None,
        reuse: true,
    }
}
