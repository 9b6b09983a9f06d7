//! Loading an index in a child process first, with limits on memory and time.
//!
//! [`super::header`] refuses what we know to be wrong; this is for what we don't know. [`try_load`] starts the child: this
//! very program with the hidden subcommand `try-index PATH`, which calls [`run`], which loads the file and searches it
//! once. If the C++ code crashes, grows or hangs, the child dies of it, and the server has an error to report instead.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::{Index, IndexError, SearchParameters};

/// Address space for the program itself, its stacks and FAISS's scratch memory, beside the index. CUDA's libraries, which nothing
/// here calls, are most of a gigabyte.
const ROOM_BYTES: u64 = if cfg!(feature = "cuda") { 2 << 30 } else { 1 << 30 };
const CPU_SECONDS: u64 = 60;
/// Reading from a slow disk costs no CPU time, so the wall clock has its own bound.
const PATIENCE: Duration = Duration::from_secs(120);
const STDERR_TAIL_BYTES: usize = 2048;

/// Has `program try-index PATH` load and search the index, within limits on its memory and time.
///
/// `program` is this very program in a server ([`std::env::current_exe`]).
pub fn try_load(program: &Path, path: &Path) -> Result<(), IndexError> {
    Trial::by(program.to_owned(), ["try-index"]).check(path)
}

/// What the child does: loads the index and searches it once. Says on stderr what is wrong with it.
pub fn run(path: &Path) -> ExitCode {
    match load_and_search(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

pub(super) fn load_and_search(path: &Path) -> Result<(), IndexError> {
    let index = Index::load(path, &SearchParameters::default())?;
    let query = vec![0.5; index.dimension()];
    index.search(&query, 10, &mut Vec::new())
}

/// How to start the child that tries an index: a program and its arguments, to which the path is added.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    program: PathBuf,
    arguments: Vec<OsString>,
    patience: Duration,
}

impl Trial {
    pub(super) fn by(program: PathBuf, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self {
            program,
            arguments,
            patience: PATIENCE,
        }
    }

    #[cfg(test)]
    pub(super) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(super) fn check(&self, path: &Path) -> Result<(), IndexError> {
        let failed = |outcome: String, stderr: String| IndexError::TrialFailed {
            path: path.to_owned(),
            outcome,
            stderr,
        };
        let bytes = std::fs::metadata(path)
            .map_err(|error| failed(error.to_string(), String::new()))?
            .len();
        let mut child = self.spawn(path, bytes).map_err(|error| {
            failed(
                format!("could not start {}: {error}", self.program.display()),
                String::new(),
            )
        })?;
        let stderr = child
            .stderr
            .take()
            .map(|pipe| std::thread::spawn(move || tail(pipe)));
        let outcome = wait(&mut child, self.patience);
        let stderr = stderr.and_then(|reader| reader.join().ok()).unwrap_or_default();
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(outcome)) => Err(failed(outcome, stderr)),
            Err(error) => Err(failed(error.to_string(), stderr)),
        }
    }

    fn spawn(&self, path: &Path, bytes: u64) -> std::io::Result<Child> {
        // The index as FAISS has it, what is taken out of it to be searched by us, and tables of its ids.
        let memory = bytes.saturating_mul(3).saturating_add(ROOM_BYTES);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(path);
        command
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // SAFETY: between fork and exec only `setrlimit` is called, which is async-signal-safe and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                limit(libc::RLIMIT_AS, memory)?;
                limit(libc::RLIMIT_CPU, CPU_SECONDS)?;
                limit(libc::RLIMIT_CORE, 0)
            });
        }
        command.spawn()
    }
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> std::io::Result<()> {
    let limits = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: a plain system call on a struct that lives over it.
    if unsafe { libc::setrlimit(resource, &limits) } == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// What went wrong with the child, or `None` if it ended well.
fn wait(child: &mut Child, patience: Duration) -> std::io::Result<Option<String>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!status.success()).then(|| status.to_string()));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Some(format!("no answer within {} ms", patience.as_millis())));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn tail(mut pipe: impl Read) -> String {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = pipe.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..count]);
        kept.drain(..kept.len().saturating_sub(STDERR_TAIL_BYTES));
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
