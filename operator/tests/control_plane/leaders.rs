//! Two operators, one leader.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gondola_test_api_server::Seen;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;

use crate::world::{World, pipeline, until};

/// An operator as a process, which ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(world: &World, identity: &str) -> anyhow::Result<Self> {
        let child = Command::new(env!("CARGO_BIN_EXE_gondola-operator"))
            .env("KUBECONFIG", world.server.kubeconfig("system")?)
            .args([
                "--inference-image",
                "gondola-inference:test",
                "--lease-namespace",
                "system",
            ])
            .args(["--identity", identity, "--listen", "127.0.0.1:0"])
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let sent = Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status()?;
        anyhow::ensure!(sent.success(), "the signal was not sent");
        Ok(())
    }
}

async fn leader(world: &World) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), "system");
    let lease = leases.get_opt("gondola-operator").await.ok()??;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

async fn wait_for_leader(world: &World, name: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    until(&format!("{name} leads"), || async {
        Ok((leader(world).await.as_deref() == Some(name)).then_some(()))
    })
    .await?;
    Ok(started.elapsed())
}

/// Writes to anything but the Lease that an operator made and that were accepted.
fn accepted(world: &World, identity: &str) -> Vec<Seen> {
    let writes = world.server.traffic().writes().into_iter();
    writes
        .filter(|seen| {
            let agent = seen.request.user_agent.as_deref().unwrap_or_default();
            agent.contains(identity) && !seen.request.path.contains("/leases")
        })
        .filter(|seen| seen.status.is_some_and(|status| status.is_success()))
        .collect()
}

/// The one that leads, and the one that stands by.
async fn two(world: &World) -> anyhow::Result<(Process, Process)> {
    let first = Process::start(world, "operator-a")?;
    wait_for_leader(world, "operator-a").await?;
    let second = Process::start(world, "operator-b")?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    assert!(
        accepted(world, "operator-b").is_empty(),
        "who stands by writes nothing"
    );
    Ok((first, second))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_followed_within_15_seconds() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (first, _second) = two(&world).await?;
    first.signal("-KILL")?;
    let took = wait_for_leader(&world, "operator-b").await?;
    eprintln!("taken over {took:?} after a kill");
    assert!(took < Duration::from_secs(15), "{took:?}");
    world.apply("shop", &pipeline(&[("dlrm", 1, 2)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_stop_is_followed_within_2_seconds() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (mut first, _second) = two(&world).await?;
    first.signal("-TERM")?;
    let took = wait_for_leader(&world, "operator-b").await?;
    eprintln!("taken over {took:?} after a request to stop");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(first.0.wait()?.success(), "it ended in peace");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_stopped_and_wakes_writes_nothing_more() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (first, _second) = two(&world).await?;
    world.wait_until_quiet().await?;
    first.signal("-STOP")?;
    wait_for_leader(&world, "operator-b").await?;
    let before = accepted(&world, "operator-a").len();
    // There is something to do when it wakes.
    world.apply("shop", &pipeline(&[("dlrm", 1, 3)])).await?;
    first.signal("-CONT")?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = accepted(&world, "operator-a");
    assert_eq!(after.len(), before, "{:?}", &after[before..]);
    Ok(())
}
