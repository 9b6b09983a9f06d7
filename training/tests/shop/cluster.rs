//! A scheduler and executors of our own, each a process of this machine, which end with the test.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gondola_artifacts::Access;
use gondola_training::dataset::engine::Engine;
use tempfile::TempDir;

/// How long a test waits for a scheduler and its executors, which start on a busy machine.
pub const WAIT: Duration = Duration::from_secs(120);

/// A scheduler, and what it has.
pub struct Cluster {
    /// Host and port.
    pub scheduler: String,
    /// Its executors.
    pub executors: Vec<Program>,
    /// Its program; nobody else would end it.
    pub process: Program,
    folder: TempDir,
}

/// A program that runs.
pub struct Program {
    child: Child,
    log: PathBuf,
    /// Where an executor keeps rows.
    pub work: PathBuf,
}

impl Cluster {
    /// Starts a scheduler and so many executors.
    pub fn start(executors: usize) -> Self {
        Self::with(executors, &[])
    }

    /// The same with variables of the environment.
    pub fn with(executors: usize, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("shared")).unwrap();
        let scheduler = format!("127.0.0.1:{}", free_port());
        let timeout = ["--executor-timeout-seconds", "10"];
        let arguments = [
            &["scheduler", "--host", "127.0.0.1", "--listen", &scheduler][..],
            &timeout,
        ]
        .concat();
        let process = Program::start(folder.path(), "scheduler", &arguments, variables);
        let executors = (0..executors).map(|number| executor(folder.path(), &scheduler, number, variables));
        Self {
            executors: executors.collect(),
            scheduler,
            process,
            folder,
        }
    }

    /// The folder that all of its machines see.
    pub fn shared_folder(&self) -> PathBuf {
        self.folder.path().join("shared")
    }

    /// Queries on this cluster.
    pub fn engine(&self) -> Engine {
        let folder = self.shared_folder();
        Engine::of(&self.url(), folder.to_str(), &Access::default(), WAIT).unwrap()
    }

    /// What `--engine` says.
    pub fn url(&self) -> String {
        format!("ballista://{}", self.scheduler)
    }
}

/// Starts an executor.
pub fn executor(folder: &Path, scheduler: &str, number: usize, variables: &[(&str, &str)]) -> Program {
    let name = format!("executor-{number}");
    let (port, task_port) = (free_port().to_string(), free_port().to_string());
    let work = folder.join(&name);
    let place = [
        "--host",
        "127.0.0.1",
        "--listen",
        "127.0.0.1",
        "--port",
        &port,
        "--task-port",
        &task_port,
    ];
    let work = work.to_str().unwrap();
    let limits = ["--work-folder", work, "--slots", "2", "--memory-mib", "512"];
    let arguments = [&["executor", "--scheduler", scheduler][..], &place, &limits].concat();
    Program::start(folder, &name, &arguments, variables)
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Program {
    fn start(folder: &Path, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_gondola-ballista"))
            .args(arguments)
            .env("RUST_LOG", "info")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let work = folder.join(name);
        Self { child, log, work }
    }

    /// What it says when it ends by itself, which it does at once.
    pub fn failure(mut self) -> String {
        let status = wait(&mut self.child);
        assert_eq!(status, Some(1), "it ended with {status:?}");
        let log = fs::read_to_string(&self.log).unwrap();
        let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error:")).collect();
        assert_eq!(errors.len(), 1, "{log}");
        errors[0].to_owned()
    }

    /// Asks it to end, and gives its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let ended = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(ended.success());
        wait(&mut self.child)
    }

    /// Ends it as a machine ends that loses its power: at once, with all that it had.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = fs::remove_dir_all(&self.work);
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + WAIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < end, "process {} does not end", child.id());
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("{}:\n{}", self.log.display(), last.join("\n"));
        }
    }
}
