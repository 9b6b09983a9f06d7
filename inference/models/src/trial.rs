//! Trying a model's file in a child process first, with limits on memory and time.
//!
//! Checks of our own refuse what we know to be wrong with the file of an index or of a network; this is for what we don't know.
//! [`try_file`] starts the child: this very program with the hidden subcommand `try-file PATH`, which calls [`run`], which loads the
//! file and uses it once. If the C++ code crashes, grows or hangs, the child dies of it, and the server has an error to report instead.

use std::error::Error;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use gondola_onnx::{Limits, Network, RunError};

use crate::retrieval::index::{Index, SearchParameters};

/// Address space for the program itself, its stacks, ONNX Runtime and scratch memory, beside the file. CUDA's libraries, which nothing
/// here calls, are most of a gigabyte.
const ROOM_BYTES: u64 = if cfg!(feature = "cuda") { 2 << 30 } else { 1 << 30 };
const CPU_SECONDS: u64 = 60;
/// Reading from a slow disk costs no CPU time, so the wall clock has its own bound.
const PATIENCE: Duration = Duration::from_secs(120);
const STDERR_TAIL_BYTES: usize = 2048;

/// How long a network may take for the rows of a trial: the machine may be busy, and nobody waits for an answer yet.
const NETWORK_TIME: Duration = Duration::from_secs(10);
/// How many rows it gets.
const NETWORK_ROWS: usize = 64;

/// The child that tried a file did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{}: loading it in a trial process failed ({outcome}): {stderr}", .path.display())]
pub struct TrialError {
    /// The file.
    pub path: PathBuf,
    /// How the child ended.
    pub outcome: String,
    /// The last that it said.
    pub stderr: String,
}

/// Has `program try-file PATH` load and use the file of an index or of a network, within limits on its memory and time.
///
/// `program` is this very program in a server ([`std::env::current_exe`]).
pub fn try_file(program: &Path, path: &Path) -> Result<(), TrialError> {
    Trial::by(program.to_owned(), ["try-file"]).check(path)
}

/// What the child does: loads the file and uses it once. Says on stderr what is wrong with it.
pub fn run(path: &Path) -> ExitCode {
    match load_and_use(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(&*error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn load_and_use(path: &Path) -> Result<(), Box<dyn Error>> {
    if path.extension().is_some_and(|ending| ending == "onnx") {
        load_and_run(path)
    } else {
        load_and_search(path)
    }
}

fn load_and_search(path: &Path) -> Result<(), Box<dyn Error>> {
    let index = Index::load(path, &SearchParameters::default())?;
    let query = vec![0.5; index.dimension()];
    Ok(index.search(&query, 10, &mut Vec::new())?)
}

/// Rows of zeros are not what every network takes: one that refuses them is as good as another here.
fn load_and_run(path: &Path) -> Result<(), Box<dyn Error>> {
    let limits = Limits {
        time: NETWORK_TIME,
        weights: 0,
    };
    match Network::load(path, limits)?.run_zeros(NETWORK_ROWS) {
        Err(error @ RunError::TooLong { .. }) => Err(error.into()),
        _ => Ok(()),
    }
}

/// How to start the child that tries a file: a program and its arguments, to which the path is added.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    program: PathBuf,
    arguments: Vec<OsString>,
    patience: Duration,
}

impl Trial {
    pub(crate) fn by(program: PathBuf, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self {
            program,
            arguments,
            patience: PATIENCE,
        }
    }

    #[cfg(test)]
    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn check(&self, path: &Path) -> Result<(), TrialError> {
        let failed = |outcome: String, stderr: String| TrialError {
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
        // An index as FAISS has it, what is taken out of it to be searched by us, and tables of its ids; a network's file, and its weights
        // twice while they are arranged anew.
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
