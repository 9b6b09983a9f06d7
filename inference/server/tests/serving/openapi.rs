//! The OpenAPI document against a server: Schemathesis asks what it says, and what it doesn't.

use std::process::Command;

use gondola_test_stand_in::client::get;

use crate::access::{keys, option, serve};

/// Names the program, which `make setup` installs.
const PROGRAM: &str = "GONDOLA_SCHEMATHESIS";
/// Requests for each endpoint and phase: some seconds of them.
const MAX_EXAMPLES: u32 = 30;
/// What a pipeline without a text encoder, or without an experiment, answers is no fault of the server.
const CONFIGURATION: &str =
    "[checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", 501]\n";

/// Every check but one: a document can't say what a pipeline's own columns and bounds are, so that what it allows may be refused.
async fn check_document(address: &str) {
    let Some(program) = std::env::var_os(PROGRAM) else {
        eprintln!("{PROGRAM} names no program; `make test` does");
        return;
    };
    let url = format!("http://{address}/openapi.json");
    let run = tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("schemathesis.toml"), CONFIGURATION).unwrap();
        Command::new(program)
            .current_dir(folder.path())
            .args([
                "run",
                &url,
                "--checks=all",
                "--exclude-checks=positive_data_acceptance",
            ])
            .args([
                "--phases=examples,coverage,fuzzing",
                "--generation-deterministic",
                "--warnings=off",
            ])
            .arg(format!("--max-examples={MAX_EXAMPLES}"))
            .args(["-H", "x-api-key: key-of-everything", "--no-color"])
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{told}");
    assert!(output.status.success(), "{told}");
    assert!(told.contains("Test cases"), "nothing was asked: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_port_does_what_its_document_says() {
    let keys = keys();
    let served = serve(&[option("api-keys", keys.path())]).await;
    let (main, admin) = (&served.main.address, &served.admin);
    let paths = async |address: &str| {
        let document = get(address, "/openapi.json").await.json();
        document["paths"].as_object().unwrap().len()
    };
    assert_eq!((paths(main).await, paths(admin).await), (3, 15));
    check_document(main).await;
    check_document(admin).await;
}
