//! Two operators, one leader.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gondola_test_api_server::Seen;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;

use crate::world::{World, pipeline, until};

/// An operator as a process, which ends with this value.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// One of several, of which one leads.
    pub(crate) fn start(world: &World, identity: &str) -> anyhow::Result<Self> {
        Self::spawn(
            world,
            identity,
            &["--lease-namespace", "system", "--listen", "127.0.0.1:0"],
        )
    }

    /// One that waits for no lead.
    pub(crate) fn start_alone(world: &World, identity: &str, listen: &str) -> anyhow::Result<Self> {
        Self::spawn(world, identity, &["--listen", listen])
    }

    fn spawn(world: &World, identity: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let child = Command::new(env!("CARGO_BIN_EXE_gondola-operator"))
            .env("KUBECONFIG", world.server.kubeconfig("system")?)
            .args([
                "--router-image",
                "gondola-router:test",
                "--inference-image",
                "gondola-inference:test",
                "--identity",
                identity,
            ])
            .args(arguments)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    /// Memory that is its own now, in KiB.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line
            .and_then(|line| line.split_whitespace().next())
            .unwrap_or_default();
        Ok(number.parse()?)
    }

    /// Seconds of a processor that it used so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / 100.0)
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
