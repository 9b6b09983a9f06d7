//! The router's own program, told to stop and killed: what it recorded is in the store, once.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use gondola_events::recorder::journal;
use gondola_events::table::read_exposures;
use gondola_test_api_server::ApiServer;
use serde_json::json;

use crate::recording::{files, routes};
use crate::watching::{NAMESPACE, endpoints, tell};
use gondola_test_stand_in::client::get;
use gondola_test_stand_in::one_variant;

const PATIENCE: Duration = Duration::from_secs(60);
const USERS: usize = 20;

/// `gondola-router route` as a pod runs it; ends with this value.
struct RouterPod {
    process: Child,
    address: String,
}

impl Drop for RouterPod {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl RouterPod {
    /// Starts one that would keep events for an hour.
    fn start(server: &ApiServer, folder: &Path) -> Self {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "users": [{"name": "test", "user": {}}],
            "clusters": [{"name": "test", "cluster": {"server": server.url()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": NAMESPACE}}],
        });
        let (kubeconfig, key) = (folder.join("kubeconfig"), folder.join("unit-key"));
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        std::fs::write(&key, "0123456789abcdef").unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_gondola-router"))
            .args(["route", "--config-map", "grocery-routes", "--pipeline", "grocery"])
            .args(["--listen", "127.0.0.1:0", "--events-flush", "1h"])
            .arg(format!("--events-url=file://{}", folder.join("store").display()))
            .arg(format!("--events-folder={}", folder.join("events").display()))
            .arg(format!("--unit-key={}", key.display()))
            .env("KUBECONFIG", kubeconfig)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| {
            let line = line.unwrap();
            let address = line.strip_prefix("ready at http://")?;
            Some(address.split(' ').next()?.to_owned())
        });
        Self {
            process,
            address: ready.unwrap(),
        }
    }

    async fn serve_everybody(&self) {
        for user in 0..USERS {
            let answer = get(&self.address, &format!("/v1/recommend?user={user}&k=1")).await;
            assert_eq!(answer.json()["reason"], "Assigned", "{}", answer.json());
        }
    }

    fn told_to_stop(mut self) -> ExitStatus {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        self.process.wait().unwrap()
    }
}

/// How many exposures are in the store, and how many different ones.
fn stored(folder: &Path) -> (usize, usize) {
    let mut ids = Vec::new();
    for file in files(&folder.join("store")) {
        read_exposures(std::fs::read(&file).unwrap().into(), |row| ids.push(row.id)).unwrap();
    }
    (ids.len(), ids.iter().collect::<BTreeSet<_>>().len())
}

/// Waits until so many events are in the journal.
async fn journaled(folder: &Path, events: usize) {
    let waiting = Instant::now();
    let mut found = 0;
    while waiting.elapsed() < PATIENCE {
        found = journal::left_segments(folder)
            .unwrap()
            .iter()
            .map(|segment| journal::read(&segment.path).unwrap().events.len())
            .sum();
        if found == events {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{found} of {events} events are in the journal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_told_to_stop_or_killed_loses_and_doubles_nothing() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let client = server.client()?;
    let ((forest, _), (dlrm, _)) = (one_variant().await, one_variant().await);
    endpoints(&client, "forest", Some(&forest)).await?;
    endpoints(&client, "dlrm", Some(&dlrm)).await?;
    tell(&client, &[("forest", 50), ("dlrm", 50)], Some(routes(10_000))).await?;
    let folder = tempfile::tempdir()?;

    let router = RouterPod::start(&server, folder.path());
    router.serve_everybody().await;
    assert_eq!(stored(folder.path()), (0, 0));
    assert!(router.told_to_stop().success());
    assert_eq!(stored(folder.path()), (USERS, USERS));

    let router = RouterPod::start(&server, folder.path());
    router.serve_everybody().await;
    journaled(&folder.path().join("events/shop/grocery/journal"), USERS).await;
    drop(router);
    assert_eq!(stored(folder.path()), (USERS, USERS));

    let router = RouterPod::start(&server, folder.path());
    assert!(router.told_to_stop().success());
    assert_eq!(stored(folder.path()), (2 * USERS, 2 * USERS));
    Ok(())
}
