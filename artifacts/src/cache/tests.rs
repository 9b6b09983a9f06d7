use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, PutMode};
use tempfile::TempDir;

use super::*;
use crate::fetch::RANGE_BYTES;
use crate::kind::Kind;
use crate::testing::{Watched, chain, publish_files, stores};
use crate::{Published, resolve};

const FILES: &[(&str, &[u8])] = &[
    ("scorer.json", b"{}"),
    ("model.safetensors", b"weights"),
    ("deep/er/empty", b""),
    ("deep/same", b"weights"),
];

/// A store with one bundle, and an empty cache.
struct Setting {
    store: Store,
    resolved: Resolved,
    cache: Cache,
    cache_folder: TempDir,
}

async fn setting(store: Store, files: &[(&str, &[u8])]) -> Setting {
    let Published { version, .. } = publish_files(&store, "dlrm", Kind::Scorer, files).await;
    let resolved = resolve(&store, &format!("dlrm/{version}").parse().unwrap())
        .await
        .unwrap();
    let cache_folder = tempfile::tempdir().unwrap();
    Setting {
        store,
        resolved,
        cache: Cache::open(cache_folder.path()).unwrap(),
        cache_folder,
    }
}

impl Setting {
    async fn fetch(&self) -> Result<BundleFolder, FetchError> {
        self.cache.fetch(&self.store, &self.resolved, &|_| {}).await
    }

    /// Replaces a file in the store.
    async fn replace(&self, path: &str, content: &[u8]) {
        let location = self.store.file("dlrm", &self.resolved.version, path);
        self.store
            .put(&location, Bytes::copy_from_slice(content), PutMode::Overwrite)
            .await
            .unwrap();
    }

    /// Nothing in the cache looks whole: no bundle's folder, and no blob; but what `fine` holds may be here or on its way.
    #[track_caller]
    fn assert_nothing_but(&self, fine: &[&[u8]]) {
        assert_eq!(std::fs::read_dir(self.cache.bundles()).unwrap().count(), 0);
        let fine: BTreeSet<String> = fine.iter().map(|content| Digest::of(content).hex()).collect();
        for blob in std::fs::read_dir(self.cache.blobs()).unwrap() {
            let path = blob.unwrap().path();
            assert!(
                fine.contains(path.file_stem().unwrap().to_str().unwrap()),
                "{} is left",
                path.display()
            );
        }
    }

    fn name(&self) -> &Reference {
        &self.resolved.reference
    }
}

#[tokio::test]
async fn what_was_published_is_what_is_fetched() {
    for (store, _folder) in stores() {
        let at = setting(store, FILES).await;
        let told = AtomicU64::new(0);
        let tell = |here| told.store(here, Ordering::Relaxed);
        let folder = at.cache.fetch(&at.store, &at.resolved, &tell).await.unwrap();
        for (path, content) in FILES {
            assert_eq!(std::fs::read(folder.path.join(path)).unwrap(), *content, "{path}");
        }
        let manifest = std::fs::read(folder.path.join("manifest.json")).unwrap();
        assert_eq!(Digest::of(&manifest), folder.digest);
        assert_eq!(folder.manifest, at.resolved.manifest);
        assert_eq!(
            folder.path,
            at.cache_folder.path().join("bundles").join(folder.digest.hex())
        );
        assert_eq!(told.into_inner(), 9, "two files with the same content come once");
    }
}

#[tokio::test]
async fn a_large_file_comes_in_ranges_and_is_whole() {
    let content: Vec<u8> = (0..2 * RANGE_BYTES + 12_345)
        .map(|n| (n * n % 251) as u8)
        .collect();
    for (store, _folder) in stores() {
        let at = setting(store, &[("index.faiss", &content)]).await;
        let folder = at.fetch().await.unwrap();
        assert!(std::fs::read(folder.path.join("index.faiss")).unwrap() == content);
    }
    let watched = Arc::new(Watched::default());
    let at = setting(watched.store(), &[("index.faiss", &content)]).await;
    at.fetch().await.unwrap();
    let end = content.len() as u64;
    assert_eq!(
        watched.take_file_gets(),
        [
            (0, RANGE_BYTES),
            (RANGE_BYTES, 2 * RANGE_BYTES),
            (2 * RANGE_BYTES, end)
        ],
        "one range after the other"
    );
}

#[tokio::test]
async fn what_is_here_is_not_fetched_again() {
    let watched = Arc::new(Watched::default());
    let at = setting(watched.store(), FILES).await;
    at.fetch().await.unwrap();
    assert_eq!(
        watched.take_file_gets().len(),
        2,
        "one GET for each content that isn't empty"
    );
    at.fetch().await.unwrap();
    let restarted = Cache::open(at.cache_folder.path()).unwrap();
    restarted.fetch(&at.store, &at.resolved, &|_| {}).await.unwrap();
    assert_eq!(watched.gets.lock().unwrap().len(), 0);

    // Another version shares a file, and brings only what is new.
    let files = [("scorer.json", &b"{ }"[..]), FILES[1]];
    let version = publish_files(&at.store, "dlrm", Kind::Scorer, &files)
        .await
        .version;
    let second = resolve(&at.store, &format!("dlrm/{version}").parse().unwrap())
        .await
        .unwrap();
    at.cache.fetch(&at.store, &second, &|_| {}).await.unwrap();
    assert_eq!(watched.take_file_gets(), [(0, 3)]);
}

#[tokio::test]
async fn many_fetches_of_one_bundle_fetch_it_once() {
    let watched = Arc::new(Watched::default());
    let at = setting(watched.store(), FILES).await;
    futures::future::try_join_all((0..4).map(|_| at.fetch()))
        .await
        .unwrap();
    assert_eq!(watched.take_file_gets().len(), 2);
}

#[tokio::test]
async fn a_truncated_file_is_refused_before_it_is_read() {
    for (store, _folder) in stores() {
        let at = setting(store, &FILES[..2]).await;
        at.replace("model.safetensors", b"weigh").await;
        assert_eq!(
            chain(&at.fetch().await.unwrap_err()),
            format!(
                "{}: model.safetensors has 5 bytes in {}, but 7 in the manifest; delete that version from the store and publish it again",
                at.name(),
                at.store
            )
        );
        at.assert_nothing_but(&[b"{}"]);
    }
}

#[tokio::test]
async fn an_altered_byte_is_found() {
    for (store, _folder) in stores() {
        let at = setting(store, &FILES[..2]).await;
        at.replace("model.safetensors", b"weighty").await;
        assert_eq!(
            chain(&at.fetch().await.unwrap_err()),
            format!(
                "{}: model.safetensors has {} in {}, but {} in the manifest; delete that version from the store and publish it again",
                at.name(),
                Digest::of(b"weighty"),
                at.store,
                Digest::of(b"weights"),
            )
        );
        at.assert_nothing_but(&[b"{}"]);
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    for (store, _folder) in stores() {
        let at = setting(store, &FILES[..1]).await;
        let location = at.store.file("dlrm", &at.resolved.version, "scorer.json");
        at.store.objects.delete(&location).await.unwrap();
        assert_eq!(
            chain(&at.fetch().await.unwrap_err()),
            format!(
                "{}: scorer.json is in the manifest, but not at {location} in {}; delete that version from the store and publish it again",
                at.name(),
                at.store
            )
        );
        at.assert_nothing_but(&[]);
    }
}

#[tokio::test]
async fn a_line_that_breaks_now_and_then_is_survived() {
    let watched = Arc::new(Watched::default());
    let at = setting(watched.store(), &[("model.txt", &[7; 1000])]).await;
    watched.breaks_after.store(300, Ordering::SeqCst);
    watched.breaks.store(2, Ordering::SeqCst);
    at.fetch().await.unwrap();
    assert_eq!(watched.take_file_gets(), [(0, 1000), (300, 1000), (600, 1000)]);
}

#[tokio::test]
async fn after_a_failure_in_the_middle_the_next_fetch_continues() {
    let content: Vec<u8> = (0..1000).map(|n| (n % 251) as u8).collect();
    let watched = Arc::new(Watched::default());
    let at = setting(watched.store(), &[("model.txt", &content)]).await;
    watched.breaks_after.store(400, Ordering::SeqCst);
    watched.breaks.store(1, Ordering::SeqCst);
    let partial = at
        .cache
        .blobs()
        .join(format!("{}.partial", Digest::of(&content).hex()));
    {
        // The process dies after the first piece: its future is dropped where it waits before it tries again.
        let fetch = at.fetch();
        tokio::select! {
            _ = fetch => panic!("the first range broke off"),
            () = until(|| partial.metadata().is_ok_and(|found| found.len() == 400)) => {}
        }
    }
    at.assert_partial_only(&partial);
    watched.take_file_gets();
    let folder = at.fetch().await.unwrap();
    assert_eq!(std::fs::read(folder.path.join("model.txt")).unwrap(), content);
    assert_eq!(watched.take_file_gets(), [(400, 1000)]);
    assert!(!partial.exists());
}

#[tokio::test]
async fn a_dead_line_is_an_error_that_says_what_is_kept() {
    let watched = Arc::new(Watched::default());
    let at = setting(watched.store(), &[("model.txt", &[7; 1000])]).await;
    watched.breaks.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(
        at.fetch().await.unwrap_err().to_string(),
        format!(
            "{}: model.txt can't be read from watched/bundles (0 of 1000 bytes have arrived and are kept); fetch again to continue",
            at.name()
        )
    );
}

#[tokio::test]
async fn what_an_earlier_fetch_left_damaged_is_fetched_anew() {
    let content = [7; 1000];
    let watched = Arc::new(Watched::default());
    let at = setting(watched.store(), &[("model.txt", &content)]).await;
    let partial = at
        .cache
        .blobs()
        .join(format!("{}.partial", Digest::of(&content).hex()));
    for left in [vec![0; 400], vec![0; 2000]] {
        std::fs::write(&partial, left).unwrap();
        let folder = at.fetch().await.unwrap();
        assert_eq!(std::fs::read(folder.path.join("model.txt")).unwrap(), content);
        std::fs::remove_dir_all(at.cache_folder.path()).unwrap();
        Cache::open(at.cache_folder.path()).unwrap();
    }
}

#[tokio::test]
async fn what_was_damaged_in_the_cache_is_fetched_anew() {
    let watched = Arc::new(Watched::default());
    let at = setting(watched.store(), &FILES[..2]).await;
    let folder = at.fetch().await.unwrap();
    watched.take_file_gets();

    // A link: the folder's file and the blob are one.
    let model = folder.path.join("model.safetensors");
    std::fs::remove_file(at.cache.blobs().join(Digest::of(b"weights").hex())).unwrap();
    std::fs::write(at.cache.blobs().join(Digest::of(b"weights").hex()), b"wEights").unwrap();
    at.fetch().await.unwrap();
    assert_eq!(watched.take_file_gets(), [(0, 7)]);

    // A copy, where there are no links; and a file that is gone.
    std::fs::remove_file(&model).unwrap();
    std::fs::write(&model, b"wEights").unwrap();
    std::fs::remove_file(folder.path.join("scorer.json")).unwrap();
    let again = at.fetch().await.unwrap();
    assert_eq!(watched.take_file_gets(), []);
    assert_eq!(
        std::fs::read(again.path.join("model.safetensors")).unwrap(),
        b"weights"
    );
    assert_eq!(std::fs::read(again.path.join("scorer.json")).unwrap(), b"{}");
}

#[tokio::test]
async fn what_a_dead_process_left_is_swept() {
    let at = setting(Store::open("memory:///").unwrap(), &FILES[..1]).await;
    let left = at.cache.bundles().join(".new-left");
    std::fs::create_dir(&left).unwrap();
    at.fetch().await.unwrap();
    assert!(!left.exists());
    assert_eq!(std::fs::read_dir(at.cache.bundles()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_full_disk_is_an_error_with_the_way_out() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not tested here: a small disk can't be mounted without root");
        return;
    };
    let content: Vec<u8> = (0..3 << 20).map(|n| (n % 251) as u8).collect();
    for (store, _folder) in stores() {
        let mut at = setting(store, &[("index.faiss", &content)]).await;
        let folder = disk.0.path().join("cache");
        at.cache = Cache::open(&folder).unwrap();
        let error = at.fetch().await.unwrap_err();
        let FetchError::DiskFull { missing, .. } = &error else {
            panic!("{}", chain(&error))
        };
        assert!((1..=content.len() as u64).contains(missing), "{missing}");
        assert_eq!(
            chain(&error),
            format!(
                "{}: the disk of the cache is full at index.faiss: {missing} of its 3145728 bytes don't fit at {}; make room there, or choose a folder on another disk",
                at.name(),
                folder
                    .join("blobs")
                    .join(format!("{}.partial", Digest::of(&content).hex()))
                    .display()
            )
        );
        at.assert_partial_only(
            &folder
                .join("blobs")
                .join(format!("{}.partial", Digest::of(&content).hex())),
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn every_call_can_be_spawned() {
    fn check<T: Send>(_: impl Fn() -> T) {}
    let at = || -> (&Store, &Resolved, &Cache) { unreachable!("only the types matter") };
    check(|| crate::publish(at().0, Path::new(""), unreachable_description()));
    check(|| crate::set_channel(at().0, "", "", ""));
    check(|| crate::resolve_together(at().0, &[]));
    check(|| at().2.fetch(at().0, at().1, &|_| {}));
}

fn unreachable_description() -> &'static crate::BundleDescription {
    unreachable!("only the types matter")
}

#[test]
fn a_cache_that_cannot_be_used_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let message = chain(&Cache::open(file.path()).unwrap_err());
    assert!(
        message.starts_with(&format!("the cache {} can't be used: ", file.path().display())),
        "{message}"
    );
}

impl Setting {
    /// Nothing but one file on its way, which no one takes for whole.
    #[track_caller]
    fn assert_partial_only(&self, partial: &Path) {
        let blobs = std::fs::read_dir(self.cache.blobs())
            .unwrap()
            .map(|blob| blob.unwrap().path());
        assert_eq!(blobs.collect::<Vec<_>>(), [partial]);
        assert_eq!(std::fs::read_dir(self.cache.bundles()).unwrap().count(), 0);
    }
}

/// Waits for a condition for at most ten seconds.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("what was waited for didn't come");
}

/// A disk of 1 MiB in memory.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path());
        let mounted = mount.output().is_ok_and(|done| done.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
