//! What is said, once, when a cluster runs nothing; and that nothing is left half-published then.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ballista_core::serde::protobuf::GetJobStatusParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use gondola_artifacts::Access;
use gondola_training::ballista::release::Release;
use gondola_training::ballista::scheduler::{self, Settings};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::cluster::{Cluster, free_port};
use crate::made_up::{CONFIG, sales, shop};

/// A run that can't begin, in folders of its own.
struct Run {
    folder: TempDir,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shop_folder = folder.path().join("shop");
        fs::create_dir(&shop_folder).unwrap();
        shop(&shop_folder, &sales()[..500], 1);
        fs::write(folder.path().join("dataset.yaml"), CONFIG).unwrap();
        fs::create_dir(folder.path().join("shared")).unwrap();
        fs::create_dir(folder.path().join("encoder")).unwrap();
        fs::write(folder.path().join("encoder/config.json"), "{}").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn on(&self, engine: &str, more: &[&str]) -> Output {
        let store = format!("file://{}", self.path("store"));
        Command::new(env!("CARGO_BIN_EXE_gondola-train"))
            .args([
                "run",
                "--config",
                &self.path("dataset.yaml"),
                "--data",
                &self.path("shop"),
            ])
            .args([
                "--encoder",
                &self.path("encoder"),
                "--store",
                &store,
                "--report",
                &self.path("report"),
            ])
            .args(["--engine", engine, "--shared-folder", &self.path("shared")])
            .args(more)
            .output()
            .unwrap()
    }

    /// The only line that it says; nothing was published, and no report written.
    #[track_caller]
    fn refused(&self, engine: &str, more: &[&str]) -> String {
        let output = self.on(engine, more);
        assert!(!output.status.success());
        for file in ["store", "report/index.html", "report/summary.json"] {
            assert!(!Path::new(&self.path(file)).exists(), "{file} was written");
        }
        let said = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(errors.len(), 1, "{said}");
        errors[0].to_owned()
    }
}

#[track_caller]
fn check_once(message: &str, parts: &[&str]) {
    for part in parts {
        assert_eq!(message.matches(part).count(), 1, "{part:?} in {message}");
    }
}

#[test]
fn a_scheduler_that_is_away_is_named_with_the_cause_last() {
    let address = format!("127.0.0.1:{}", free_port());
    let said = Run::new().refused(&format!("ballista://{address}"), &["--cluster-wait-seconds", "1"]);
    check_once(
        &said,
        &[
            "error: cannot reach the scheduler",
            &address,
            "gondola-ballista scheduler",
        ],
    );
    assert!(said.ends_with("Connection refused (os error 111)"), "{said}");
}

#[test]
fn a_scheduler_without_executors_is_waited_for_and_then_named() {
    let cluster = Cluster::start(0);
    let said = Run::new().refused(&cluster.url(), &["--cluster-wait-seconds", "2"]);
    check_once(&said, &["no executor", "within 2 s", "gondola-ballista executor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_another_release_are_refused_with_both_names() {
    let address = format!("127.0.0.1:{}", free_port());
    let settings = Settings {
        listen: address.parse().unwrap(),
        host: "127.0.0.1".to_owned(),
        executor_timeout: Duration::from_secs(10),
        access: Access::default(),
        release: Release::of_version("0.0.9"),
    };
    tokio::spawn(scheduler::run(settings, Box::pin(std::future::pending())));
    let url = format!("ballista://{address}");
    let said = tokio::task::spawn_blocking(move || Run::new().refused(&url, &[]))
        .await
        .unwrap();
    let ours = Release::this().to_string();
    let both = [
        "error: the scheduler at",
        "gondola/0.0.9",
        &ours,
        "in one release",
    ];
    check_once(&said, &both);

    let work = tempfile::tempdir().unwrap();
    let executor = crate::cluster::executor(work.path(), &address, 0, &[]);
    let said = executor.failure();
    check_once(&said, &both);

    // And a program that does not ask first.
    let other = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = other
        .user_agent("gondola/9.9.9")
        .unwrap()
        .connect()
        .await
        .unwrap();
    let job_id = "any".to_owned();
    let refused = SchedulerGrpcClient::new(channel)
        .get_job_status(GetJobStatusParams { job_id })
        .await;
    let said = refused.unwrap_err().message().to_owned();
    check_once(&said, &["gondola/0.0.9", "gondola/9.9.9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_of_somebody_else_is_told_apart() {
    let address = ballista_scheduler::standalone::new_standalone_scheduler()
        .await
        .unwrap();
    let url = format!("ballista://127.0.0.1:{}", address.port());
    let said = tokio::task::spawn_blocking(move || Run::new().refused(&url, &[]))
        .await
        .unwrap();
    check_once(
        &said,
        &["is not a scheduler of Gondola's", "gondola-ballista scheduler"],
    );
}

/// A cluster whose executor is there: it ran tasks.
fn cluster_at_work() -> Cluster {
    let cluster = Cluster::start(1);
    let said = Run::new().on(&cluster.url(), &["--query-partitions", "2"]).stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(
        !said.contains("scheduler") && !said.contains("executor"),
        "{said}"
    );
    cluster
}

#[test]
fn an_executor_that_lost_its_scheduler_ends() {
    let mut cluster = cluster_at_work();
    cluster.process.kill();
    let said = cluster.executors.remove(0).failure();
    check_once(
        &said,
        &["error: the executor stopped by itself", "its scheduler is gone"],
    );
}

#[test]
fn programs_end_when_they_are_told_to() {
    let mut cluster = cluster_at_work();
    assert_eq!(cluster.executors[0].terminate(), Some(0));
    assert_eq!(cluster.process.terminate(), Some(0));
}
