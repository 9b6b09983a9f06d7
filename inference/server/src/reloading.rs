//! Values of files that may change while a program runs, as those of a mounted Secret do.
//!
//! Files are read again every [`EVERY`]. What can't be read or makes no sense is logged once, and the last good value stays:
//! a slip in a Secret must not take a server down that runs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use gondola_causes::with_causes;

/// How often files are read.
pub(crate) const EVERY: Duration = Duration::from_secs(2);
/// Most files of a folder.
const MAX_FILES: usize = 1000;
/// Largest file, in bytes: what a Secret holds.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The content of files, by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Why files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// They can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// There is too much of them.
    #[error("{} holds too much; at most {MAX_FILES} files of at most {MAX_FILE_BYTES} bytes are read", path.display())]
    TooMuch {
        /// Where.
        path: PathBuf,
    },
    /// They hold something else.
    #[error("{} is not {what}: {problem}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is wrong and what to do; never any of the content.
        problem: String,
    },
}

/// A value that follows its files.
pub(crate) struct Reloading<T> {
    current: ArcSwap<T>,
}

impl<T: Send + Sync + 'static> Reloading<T> {
    /// Reads the value of `paths`, each a file or a folder, and follows them from now on; `value` gets what each holds. Must be called
    /// within Tokio.
    pub(crate) fn start(
        paths: &[PathBuf],
        value: impl Fn(&[Files]) -> Result<T, FilesError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, FilesError> {
        Self::start_every(EVERY, paths, value)
    }

    fn start_every(
        every: Duration,
        paths: &[PathBuf],
        value: impl Fn(&[Files]) -> Result<T, FilesError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, FilesError> {
        let files = read_all(paths)?;
        let reloading = Arc::new(Self {
            current: ArcSwap::from_pointee(value(&files)?),
        });
        let follower = Arc::downgrade(&reloading);
        tokio::spawn(follow(every, follower, paths.to_owned(), files, Arc::new(value)));
        Ok(reloading)
    }

    /// What the files said last that made sense.
    pub(crate) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }
}

async fn follow<T: Send + Sync + 'static>(
    every: Duration,
    reloading: Weak<Reloading<T>>,
    paths: Vec<PathBuf>,
    mut seen: Vec<Files>,
    value: Arc<impl Fn(&[Files]) -> Result<T, FilesError> + Send + Sync + 'static>,
) {
    let mut last_problem = String::new();
    loop {
        tokio::time::sleep(every).await;
        let (places, value, known) = (paths.clone(), Arc::clone(&value), seen.clone());
        let look = tokio::task::spawn_blocking(move || {
            let files = read_all(&places)?;
            if files == known {
                return Ok(None);
            }
            value(&files).map(|value| Some((files, value)))
        });
        let Some(reloading) = reloading.upgrade() else {
            return;
        };
        let problem = match look.await {
            Ok(Ok(None)) => String::new(),
            Ok(Ok(Some((files, value)))) => {
                reloading.current.store(Arc::new(value));
                seen = files;
                tracing::info!(?paths, "read again, since they changed");
                String::new()
            }
            Ok(Err(error)) => with_causes(&error),
            // The runtime ends.
            Err(_) => return,
        };
        if !problem.is_empty() && problem != last_problem {
            tracing::error!(
                error = problem,
                "a file changed and can't be used; what it said before stays in force"
            );
        }
        last_problem = problem;
    }
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Files>, FilesError> {
    paths.iter().map(|path| read(path)).collect()
}

/// The files of a folder, without folders in it and hidden files; or one file.
pub(crate) fn read(path: &Path) -> Result<Files, FilesError> {
    let wrong = |source| FilesError::Read {
        path: path.to_owned(),
        source,
    };
    if !path.metadata().map_err(wrong)?.is_dir() {
        return Ok(Files::from([(name(path), read_file(path)?)]));
    }
    let mut files = Files::new();
    for entry in path.read_dir().map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = name(&path);
        // A mounted Secret is full of links: `..data` to what is current, and a link for each key into that.
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        if files.len() == MAX_FILES {
            return Err(FilesError::TooMuch { path });
        }
        files.insert(name, read_file(&path)?);
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<Vec<u8>, FilesError> {
    let wrong = |source| FilesError::Read {
        path: path.to_owned(),
        source,
    };
    if path.metadata().map_err(wrong)?.len() > MAX_FILE_BYTES {
        return Err(FilesError::TooMuch {
            path: path.to_owned(),
        });
    }
    std::fs::read(path).map_err(wrong)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The one file, as a number.
    fn number(files: &[Files]) -> Result<u32, FilesError> {
        let text = files[0]
            .values()
            .next()
            .map(|bytes| String::from_utf8_lossy(bytes));
        text.unwrap_or_default()
            .trim()
            .parse()
            .map_err(|_| FilesError::Content {
                path: "number".into(),
                what: "a number",
                problem: "write digits".to_owned(),
            })
    }

    /// Waits until something is so; a test that waits forever is ended from outside.
    async fn until(so: impl Fn() -> bool) {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_change_is_followed_and_nonsense_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        std::fs::write(&file, "1").unwrap();
        std::fs::write(folder.path().join(".hidden"), "x").unwrap();
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&refused);
        let value = move |files: &[Files]| {
            let value = number(files);
            counted.fetch_add(usize::from(value.is_err()), Ordering::Relaxed);
            value
        };
        let paths = [folder.path().to_owned()];
        let reloading = Reloading::start_every(Duration::from_millis(1), &paths, value).unwrap();
        assert_eq!(*reloading.current(), 1);
        std::fs::write(&file, "nonsense").unwrap();
        until(|| refused.load(Ordering::Relaxed) >= 2).await;
        assert_eq!(*reloading.current(), 1, "what was there stays in force");
        std::fs::write(&file, "2").unwrap();
        until(|| *reloading.current() == 2).await;
        std::fs::remove_file(&file).unwrap();
        until(|| refused.load(Ordering::Relaxed) >= 4).await;
        assert_eq!(*reloading.current(), 2);
        std::fs::write(&file, "3").unwrap();
        until(|| *reloading.current() == 3).await;
    }

    #[tokio::test]
    async fn what_is_wrong_at_the_start_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Reloading::start(&[folder.path().join("missing")], number).map(|_| ());
        assert!(matches!(missing, Err(FilesError::Read { .. })), "{missing:?}");
        let nonsense = folder.path().join("nonsense");
        std::fs::write(&nonsense, "x").unwrap();
        let nonsense = Reloading::start(&[nonsense], number).map(|_| ()).unwrap_err();
        assert_eq!(nonsense.to_string(), "number is not a number: write digits");
    }
}
