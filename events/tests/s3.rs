//! Events in an S3-compatible store: written once under one name, whoever tries again, and with whatever credentials hold.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

#[path = "../../artifacts/tests/guarded_store/mod.rs"]
mod guarded_store;
#[path = "../../artifacts/tests/s3_server/mod.rs"]
mod s3_server;
mod samples;
#[path = "../../artifacts/tests/server/mod.rs"]
mod server;

use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use futures::TryStreamExt as _;
use gondola_artifacts::{Access, Store};
use gondola_events::event::Exposure;
use gondola_events::recorder::{Recorder, RecorderSettings};
use gondola_events::table::read_exposures;
use gondola_events::unit::{EventId, UnitHash};
use guarded_store::guarded_store;
use object_store::ObjectStoreExt as _;
use s3_server::{S3, credentials};
use samples::exposure;

async fn stored(store: &Store) -> Vec<(String, usize)> {
    let folder = store.path("shop/home");
    let files: Vec<_> = store.objects().list(Some(&folder)).try_collect().await.unwrap();
    let mut found = Vec::new();
    for file in files {
        let bytes = store
            .objects()
            .get(&file.location)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let mut rows = 0;
        read_exposures(bytes, |_| rows += 1).unwrap();
        found.push((file.location.filename().unwrap().to_owned(), rows));
    }
    found
}

fn settings(folder: &Path, writer: &str) -> RecorderSettings {
    RecorderSettings {
        folder: folder.to_owned(),
        base: "shop/home".into(),
        writer: writer.into(),
        flush: Duration::from_millis(100),
        max_waiting_bytes: 1 << 30,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_uploaded_twice_is_one_object() {
    let Some(s3) = S3::start() else {
        return;
    };
    let secret = credentials();
    let store = Store::open_with("s3://models/events", &s3.access(secret.path())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The segment is kept aside, as if the process had ended between the object and the removal.
    let mut journal = gondola_events::recorder::journal::Journal::open(folder.path(), "router-a").unwrap();
    for number in 0..100 {
        let event = gondola_events::event::Event::Exposure(exposure(number));
        journal.append(&event).unwrap();
    }
    let segment = journal.close().unwrap().unwrap();
    drop(journal);
    let kept = std::fs::read(&segment.path).unwrap();
    for writer in ["router-b", "router-c"] {
        std::fs::write(&segment.path, &kept).unwrap();
        let recorder = Recorder::start(settings(folder.path(), writer), store.clone()).unwrap();
        assert!(recorder.stop(Duration::from_secs(30)).await);
        assert_eq!(recorder.state().problem(), None);
        assert!(!segment.path.exists());
    }
    assert_eq!(
        stored(&store).await,
        [("router-a-00000000.parquet".to_owned(), 100)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_changed_are_taken_up_without_a_restart() {
    let secret = credentials();
    let access = Access {
        credentials: Some(secret.path().to_owned()),
        endpoint: Some(guarded_store(Some(StatusCode::FORBIDDEN), "new").await),
        ..Access::default()
    };
    let store = Store::open_with("s3://models/events", &access).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(settings(folder.path(), "router-a"), store).unwrap();
    recorder.exposure(exposure(1));
    while recorder.state().problem().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(recorder.state().stored(), 0);
    std::fs::write(secret.path().join("AWS_ACCESS_KEY_ID"), "new").unwrap();
    assert!(recorder.stop(Duration::from_secs(30)).await);
    assert_eq!(recorder.state().stored(), 1);
}
