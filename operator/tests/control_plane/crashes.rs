//! The operator dies after its k-th write, for every k, and whoever follows it ends where it would have.
//!
//! One life of a pipeline: created, scaled, a new version of its bundles, a variant added, one removed, deleted.

use std::collections::BTreeMap;

use gondola_test_api_server::{Action, Fault};
use serde_json::Value;

use crate::world::{Operator, World, is_operator, pipeline, until};

type Dump = BTreeMap<String, Value>;

/// One life; the operator dies after its k-th write, if there is a k and it comes to it.
struct Life<'a> {
    world: &'a World,
    namespace: String,
    operator: Option<Operator>,
    death: Option<gondola_test_api_server::Injected>,
    died: bool,
}

impl<'a> Life<'a> {
    fn begin(world: &'a World, namespace: &str, k: Option<u64>) -> anyhow::Result<Self> {
        let traffic = world.server.traffic();
        traffic.heal();
        let ours = |request: &gondola_test_api_server::Request| request.is_write() && is_operator(request);
        let death = k.map(|k| traffic.inject(Fault::on(Action::UnplugAfter, ours).nth(k)));
        Ok(Self {
            world,
            namespace: namespace.to_owned(),
            operator: Some(world.operator()?),
            death,
            died: false,
        })
    }

    /// Waits for an end; a death on the way is followed by another operator.
    async fn reach(&mut self, end: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        tokio::pin!(end);
        loop {
            let dead = async {
                match &mut self.death {
                    Some(death) if !self.died => drop(death.fired().await),
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                outcome = &mut end => return outcome,
                () = dead => {}
            }
            self.died = true;
            if let Some(operator) = self.operator.take() {
                operator.crash().await;
            }
            self.world.server.traffic().plug_in();
            self.operator = Some(self.world.operator()?);
        }
    }

    async fn step(&mut self, variants: &[(&str, u32, i32)]) -> anyhow::Result<()> {
        let (world, namespace) = (self.world, self.namespace.clone());
        let spec = pipeline(variants);
        let count = variants.len();
        self.reach(async {
            world.apply(&namespace, &spec).await?;
            world.wait_for(&namespace, "grocery", "Ready", "True").await?;
            // A variant that is removed is gone only after the status was written.
            until("its Deployments are as many as its variants", || async {
                let dump = world.dump(&namespace).await.unwrap_or_default();
                let deployments = dump.keys().filter(|name| name.starts_with("Deployment ")).count();
                Ok((deployments == count + 2).then_some(()))
            })
            .await
        })
        .await
    }

    /// Lives the whole life, and gives what was there before its end.
    async fn live(mut self) -> anyhow::Result<(Dump, bool)> {
        let world = self.world;
        let namespace = self.namespace.clone();
        world.publish(Some("v1"));
        self.step(&[("dlrm", 50, 1)]).await?;
        self.step(&[("dlrm", 50, 3)]).await?;
        world.publish(Some("v2"));
        self.reach(async {
            until("the new version is rolled out", || async {
                let dump = world.dump(&namespace).await.unwrap_or_default();
                let rolled = dump
                    .get("Deployment grocery--dlrm")
                    .is_some_and(|deployment| deployment.to_string().contains("v2"));
                Ok(rolled.then_some(()))
            })
            .await?;
            world
                .wait_for(&namespace, "grocery", "Ready", "True")
                .await
                .map(drop)
        })
        .await?;
        self.step(&[("dlrm", 50, 3), ("forest", 50, 2)]).await?;
        self.step(&[("dlrm", 50, 3)]).await?;
        self.reach(world.wait_until_quiet()).await?;
        let dump = world.dump(&namespace).await?;
        self.reach(world.delete(&namespace, "grocery")).await?;
        self.reach(world.wait_until_quiet()).await?;
        until("nothing is left", || async {
            world.server.collect_garbage().await?;
            Ok(world.dump(&namespace).await?.is_empty().then_some(()))
        })
        .await?;
        if let Some(operator) = self.operator.take() {
            operator.stop().await?;
        }
        Ok((dump, self.died))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_at_any_write_the_end_is_the_same() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let (undisturbed, _) = Life::begin(&world, "run-0", None)?.live().await?;
    let mut points = 0;
    for k in 1.. {
        let (dump, died) = Life::begin(&world, &format!("run-{k}"), Some(k))?.live().await?;
        assert_eq!(dump, undisturbed, "after a crash at write {k}");
        if !died {
            break;
        }
        points = k;
    }
    eprintln!("crash points covered: {points}");
    assert!(points > 30, "only {points} writes were seen");
    Ok(())
}
