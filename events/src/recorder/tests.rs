use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use super::*;
use crate::event::Event;
use crate::table::{read_exposures, read_outcomes};
use crate::unit::{EventId, UnitHash};
use samples::exposure;

#[path = "../../tests/samples/mod.rs"]
mod samples;

fn outcome(number: u64) -> Outcome {
    Outcome {
        time: Timestamp::constant(1_793_577_600, 0),
        received: Timestamp::constant(1_793_577_600, 0),
        id: EventId::of(&[&number.to_be_bytes()]),
        unit: UnitHash(u128::from(number).to_be_bytes()),
        kind: "purchase".into(),
        value: 1.0,
        item: None,
        request: None,
    }
}

fn settings(folder: &std::path::Path) -> RecorderSettings {
    RecorderSettings {
        folder: folder.to_owned(),
        base: "shop/home".to_owned(),
        writer: "router-a".to_owned(),
        flush: Duration::from_millis(50),
        max_waiting_bytes: 1 << 30,
    }
}

/// A store that refuses to take anything as long as it is told to.
#[derive(Debug, Default)]
struct Moody {
    inner: InMemory,
    refuses: AtomicBool,
}

impl fmt::Display for Moody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("moody")
    }
}

#[async_trait]
impl ObjectStore for Moody {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        if self.refuses.load(Ordering::Relaxed) {
            let source = "503 Slow Down".into();
            return Err(object_store::Error::Generic {
                store: "moody",
                source,
            });
        }
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn store_of(moody: &Arc<Moody>) -> Store {
    let objects: Arc<dyn ObjectStore> = Arc::clone(moody) as _;
    Store::new(objects, Path::default())
}

/// Every event in the store, as ids of exposures and of outcomes, sorted; twice where it is there twice.
async fn stored(moody: &Moody) -> (Vec<EventId>, Vec<EventId>) {
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    let files: Vec<ObjectMeta> = moody.list(None).try_collect().await.unwrap();
    for file in files {
        let bytes = moody.get(&file.location).await.unwrap().bytes().await.unwrap();
        if file.location.to_string().contains("/exposures/") {
            read_exposures(bytes, |row| exposures.push(row.id)).unwrap();
        } else {
            read_outcomes(bytes, |row| outcomes.push(row.id)).unwrap();
        }
    }
    exposures.sort_unstable();
    outcomes.sort_unstable();
    (exposures, outcomes)
}

fn ids(numbers: Range<u64>) -> Vec<EventId> {
    let mut ids: Vec<EventId> = numbers
        .map(|number| EventId::of(&[&number.to_be_bytes()]))
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_taken_is_in_the_store_when_it_stops() {
    let (folder, moody) = (tempfile::tempdir().unwrap(), Arc::new(Moody::default()));
    let recorder = Recorder::start(settings(folder.path()), store_of(&moody)).unwrap();
    for number in 0..5000 {
        assert!(recorder.exposure(exposure(number)) && recorder.outcome(outcome(number)));
        if number % 1000 == 0 {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
    assert!(recorder.stop(Duration::from_secs(20)).await);
    assert_eq!(stored(&moody).await, (ids(0..5000), ids(0..5000)));
    assert_eq!(
        (recorder.state().stored(), recorder.state().dropped()),
        (10_000, 0)
    );
    assert_eq!(recorder.state().waiting(), 0);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing waits"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_costs_nothing_once_it_is_well_again() {
    let (folder, moody) = (tempfile::tempdir().unwrap(), Arc::new(Moody::default()));
    moody.refuses.store(true, Ordering::Relaxed);
    let recorder = Recorder::start(settings(folder.path()), store_of(&moody)).unwrap();
    for number in 0..100 {
        recorder.exposure(exposure(number));
    }
    let started = Instant::now();
    while recorder.state().problem().is_none() && started.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let problem = recorder.state().problem().unwrap();
    assert!(
        problem.contains("can't be written") && problem.contains("503"),
        "{problem}"
    );
    moody.refuses.store(false, Ordering::Relaxed);
    assert!(recorder.stop(Duration::from_secs(20)).await);
    assert_eq!(stored(&moody).await.0, ids(0..100));
    assert_eq!(recorder.state().problem(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_process_left_is_uploaded_by_the_next_one() {
    let (folder, moody) = (tempfile::tempdir().unwrap(), Arc::new(Moody::default()));
    moody.refuses.store(true, Ordering::Relaxed);
    let first = Recorder::start(settings(folder.path()), store_of(&moody)).unwrap();
    for number in 0..100 {
        first.exposure(exposure(number));
    }
    assert!(!first.stop(Duration::from_millis(400)).await, "the store refuses");
    assert_eq!(first.state().waiting(), 100);
    moody.refuses.store(false, Ordering::Relaxed);
    let mut second = settings(folder.path());
    second.writer = "router-b".to_owned();
    let second = Recorder::start(second, store_of(&moody)).unwrap();
    second.exposure(exposure(100));
    assert!(second.stop(Duration::from_secs(20)).await);
    assert_eq!(stored(&moody).await.0, ids(0..101));
}

/// The process ends after any number of bytes of a segment, and also between the object and the removal of its segment.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_byte_loses_only_what_was_cut_off_and_doubles_nothing() {
    let whole = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(whole.path(), "router-a").unwrap();
    for number in 0..20 {
        journal.append(&Event::Exposure(exposure(number))).unwrap();
    }
    let segment = journal.close().unwrap().unwrap();
    let bytes = std::fs::read(&segment.path).unwrap();
    // Where each frame ends.
    let mut ends = vec![0];
    while *ends.last().unwrap() < bytes.len() {
        let at = ends.last().unwrap();
        let length = u32::from_le_bytes(bytes[*at..at + 4].try_into().unwrap());
        ends.push(at + 8 + length as usize);
    }
    for cut in (0..=bytes.len()).step_by(7) {
        let (folder, moody) = (tempfile::tempdir().unwrap(), Arc::new(Moody::default()));
        let place = folder.path().join(segment.path.file_name().unwrap());
        for _ in 0..2 {
            // The second time the object is there, and the segment was not removed.
            std::fs::write(&place, &bytes[..cut]).unwrap();
            let recorder = Recorder::start(
                RecorderSettings {
                    writer: "router-b".to_owned(),
                    ..settings(folder.path())
                },
                store_of(&moody),
            )
            .unwrap();
            assert!(recorder.stop(Duration::from_secs(20)).await);
            let torn = u64::from(!ends.contains(&cut));
            assert_eq!(recorder.state().torn(), torn, "cut at {cut}");
        }
        let complete = ends.iter().filter(|end| **end <= cut).count() as u64 - 1;
        assert_eq!(stored(&moody).await.0, ids(0..complete), "cut at {cut}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_no_room_for_is_dropped_at_once_and_counted() {
    let (folder, moody) = (tempfile::tempdir().unwrap(), Arc::new(Moody::default()));
    moody.refuses.store(true, Ordering::Relaxed);
    let settings = RecorderSettings {
        max_waiting_bytes: 1000,
        ..settings(folder.path())
    };
    let recorder = Recorder::start(settings, store_of(&moody)).unwrap();
    let mut number = 0;
    let started = Instant::now();
    while recorder.state().dropped() == 0 && started.elapsed() < Duration::from_secs(20) {
        let before = Instant::now();
        recorder.exposure(exposure(number));
        assert!(before.elapsed() < Duration::from_millis(200), "it never waits");
        number += 1;
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(recorder.state().dropped() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_somebody_removed_do_not_hold_up_the_others() {
    let (folder, moody) = (tempfile::tempdir().unwrap(), Arc::new(Moody::default()));
    moody.refuses.store(true, Ordering::Relaxed);
    let recorder = Recorder::start(settings(folder.path()), store_of(&moody)).unwrap();
    for number in 0..10 {
        recorder.exposure(exposure(number));
    }
    let started = Instant::now();
    while recorder.state().problem().is_none() && started.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for left in journal::left_segments(folder.path()).unwrap() {
        std::fs::remove_file(left.path).unwrap();
    }
    for number in 10..20 {
        recorder.exposure(exposure(number));
    }
    moody.refuses.store(false, Ordering::Relaxed);
    assert!(recorder.stop(Duration::from_secs(20)).await);
    assert_eq!(stored(&moody).await.0, ids(10..20));
    assert_eq!((recorder.state().dropped(), recorder.state().waiting()), (10, 0));
}

#[tokio::test]
async fn a_folder_of_another_process_is_refused() {
    let (folder, moody) = (tempfile::tempdir().unwrap(), Arc::new(Moody::default()));
    let first = Recorder::start(settings(folder.path()), store_of(&moody)).unwrap();
    let error = Recorder::start(settings(folder.path()), store_of(&moody))
        .err()
        .unwrap();
    assert!(error.to_string().contains("give a folder of its own"), "{error}");
    assert!(first.stop(Duration::from_secs(20)).await);
    Recorder::start(settings(folder.path()), store_of(&moody)).unwrap();
}

#[tokio::test]
async fn a_folder_that_can_not_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let store = store_of(&Arc::new(Moody::default()));
    let error = Recorder::start(settings(&file.join("below")), store)
        .err()
        .unwrap();
    assert!(error.to_string().contains("that can be written to"), "{error}");
}
