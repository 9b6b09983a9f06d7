//! Tables that get to executors through an object store: moto's S3, where GONDOLA_S3_SERVER names one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use futures::StreamExt as _;
use gondola_artifacts::Store;

use crate::cluster::Cluster;
use crate::made_up::{CONFIG, sales, shop};
use crate::s3_server::{S3, credentials};

/// Where tables are put.
const SHARED: &str = "s3://models/run";

/// Fits a forest, and gives what the program said.
fn fit(folder: &Path, out: &str, engine: &[&str], variables: &[(&str, &str)]) -> Output {
    let path = |name: &str| folder.join(name).display().to_string();
    Command::new(env!("CARGO_BIN_EXE_gondola-train"))
        .args(["fit", "--scorer", "forest", "--config", &path("dataset.yaml")])
        .args(["--data", &path("shop"), "--out", &path(out)])
        .args(engine)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|file| {
            (
                file.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(file).unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scorer_is_the_same_when_tables_go_through_s3_and_nothing_stays_there() {
    let Some(s3) = S3::start() else { return };
    let secret = credentials();
    let access = s3.access(secret.path());
    let endpoint = access.endpoint.clone().unwrap();
    let mut variables = vec![
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ];
    // A store of plain HTTP is refused without leave: these machines don't see the tables.
    let blind = Cluster::with(1, &variables);
    variables.push(("AWS_ALLOW_HTTP", "true"));
    let seeing = Cluster::with(2, &variables);

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("shop")).unwrap();
    shop(&folder.path().join("shop"), &sales(), 2);
    let yaml = CONFIG.replace("2020-09-03", "2020-07-20");
    fs::write(folder.path().join("dataset.yaml"), yaml).unwrap();

    let refused = fit(
        folder.path(),
        "none",
        &["--engine", &blind.url(), "--shared-folder", SHARED],
        &variables,
    );
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(said.matches("can't read s3://models/run").count(), 1, "{said}");
    assert!(
        said.contains("AWS_ENDPOINT") && said.contains("AWS_ALLOW_HTTP"),
        "{said}"
    );

    for (out, engine) in [
        ("here", &[][..]),
        (
            "there",
            &["--engine", &seeing.url(), "--shared-folder", SHARED][..],
        ),
    ] {
        let fitted = fit(folder.path(), out, engine, &variables);
        assert!(
            fitted.status.success(),
            "{}",
            String::from_utf8_lossy(&fitted.stderr)
        );
    }
    let (here, there) = (
        files(&folder.path().join("here")),
        files(&folder.path().join("there")),
    );
    assert!(here.len() >= 2, "{:?}", here.keys());
    assert!(here == there, "{:?} and {:?} differ", here.keys(), there.keys());

    let store = Store::open_with(SHARED, &access).unwrap();
    let left: Vec<_> = store.objects().list(None).collect().await;
    // The run that was refused leaves the row of its trial, which the other found there, and removed.
    assert!(left.is_empty(), "{left:?}");
}
