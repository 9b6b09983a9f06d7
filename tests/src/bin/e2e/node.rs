//! With pods: the whole life, under load.

mod admission;
mod experiment;
mod hanging;
mod leaders;
mod online;
mod pods;
mod refusals;
mod rollouts;
mod runs;
mod scaling;
mod setup;
mod variants;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::kubectl::{apply, get, ready};
use crate::load::{Counts, Load};
use crate::manifest::{self, NAME};
use crate::redis::Redis;
use crate::step::{Stage, Step, chosen, run_all as run_steps};
use crate::store::Bundles;
use crate::table::Table;
use crate::{Arguments, api, install};

/// The example's pipeline, which serves, and clients that ask it.
pub(crate) struct Shop {
    arguments: Arguments,
    bundles: Bundles,
    /// What is applied when a step begins.
    manifest: Value,
    /// Where the pipeline's Service answers clients.
    address: String,
    /// Where its Service for whoever runs it answers.
    admin: String,
    load: Option<Load>,
    /// The online store, while the pipeline has one.
    redis: Option<Redis>,
}

impl Stage for Shop {
    fn counts(&self) -> Counts {
        self.load.as_ref().map(Load::counts).unwrap_or_default()
    }

    fn complaints(&self) -> Vec<String> {
        self.load.as_ref().map(Load::complaints).unwrap_or_default()
    }

    async fn restore(&mut self) -> anyhow::Result<()> {
        // While the shop is set up there is nothing to go back to.
        let Some(load) = &self.load else { return Ok(()) };
        self.bundles.point_to_trained().await?;
        apply(&self.manifest).await?;
        ready().await?;
        load.rest(false);
        Ok(())
    }
}

impl Shop {
    fn redis(&mut self) -> anyhow::Result<&mut Redis> {
        self.redis.as_mut().context("no Redis was started")
    }

    /// Nobody asks from now on, until the step is over.
    async fn send_clients_home(&self) {
        let Some(load) = &self.load else { return };
        load.rest(true);
        // Whoever has asked already gets an answer.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Runs every step that was asked for.
pub(crate) async fn run_all(arguments: &Arguments, table: &mut Table) -> anyhow::Result<()> {
    let steps = chosen(steps(), &arguments.only)?;
    let mut shop = Shop {
        arguments: arguments.clone(),
        bundles: Bundles::upload(&arguments.bundles, &arguments.endpoint).await?,
        manifest: manifest::read(&arguments.manifest, &arguments.endpoint)?,
        address: String::new(),
        admin: String::new(),
        load: None,
        redis: None,
    };
    let (before, after) = steps
        .into_iter()
        .partition::<Vec<_>, _>(|step| step.is_called(TWO_RELEASES));
    run_steps(&mut shop, &before, table).await;
    run_steps(&mut shop, &setup_steps(), table).await;
    if let Some(why) = table.broken().next() {
        anyhow::bail!("the set-up failed, so that no other step was run: {why}");
    }
    shop.address = address(NAME, 8080).await?;
    shop.admin = address(&format!("{NAME}--admin"), 8081).await?;
    shop.load = Some(Load::start(&shop.address));
    run_steps(&mut shop, &after, table).await;
    Ok(())
}

const TWO_RELEASES: &str = "two releases in one namespace";

fn setup_steps() -> Vec<Step<Shop>> {
    vec![
        Step::new("install the chart", |shop| {
            Box::pin(install::chart_with_pods(&shop.arguments))
        }),
        Step::new("a Secret that is missing is named", |shop| {
            Box::pin(setup::without_secret(shop))
        }),
        Step::new("apply the example, to Ready", |shop| {
            Box::pin(setup::become_ready(shop))
        }),
    ]
}

fn steps() -> Vec<Step<Shop>> {
    vec![
        Step::new(TWO_RELEASES, |shop| {
            Box::pin(install::two_releases(&shop.arguments))
        }),
        Step::new("ask through the Services", |shop| Box::pin(setup::ask(shop))),
        Step::new("the dashboard asks who looks", |shop| {
            Box::pin(setup::dashboard(shop))
        }),
        // Users and variants.
        Step::new("both routers give a user the same variant", |shop| {
            Box::pin(variants::sticky(shop))
        }),
        Step::new("change the weights", |shop| {
            Box::pin(variants::change_weights(shop))
        }),
        Step::new("weights of three variants, 50/30/20 to 20/30/50", |shop| {
            Box::pin(variants::three(shop))
        }),
        Step::new("reorder the variants", |shop| Box::pin(variants::reorder(shop))),
        Step::new("replace a variant", |shop| Box::pin(variants::replace(shop))),
        Step::new("one variant, then another, a new control", |shop| {
            Box::pin(variants::replace_the_only_one(shop))
        }),
        Step::new("rename both variants at once", |shop| {
            Box::pin(variants::rename_both(shop))
        }),
        // Versions.
        Step::new("roll out a new version", |shop| {
            Box::pin(rollouts::new_version(shop))
        }),
        Step::new("a bundle that doesn't belong", |shop| {
            Box::pin(rollouts::other_workflow(shop))
        }),
        Step::new("a stuck rollout: a damaged file", |shop| {
            Box::pin(rollouts::damaged(shop))
        }),
        Step::new("a stuck rollout: kubelet restarted, old pod deleted", |shop| {
            Box::pin(rollouts::old_pod_comes_back(shop))
        }),
        Step::new("a stuck rollout: kubectl rollout undo under suspend", |shop| {
            Box::pin(rollouts::undo(shop))
        }),
        Step::new("a stuck rollout: the node is drained", |shop| {
            Box::pin(rollouts::drain(shop))
        }),
        // What is put at run time.
        Step::new("a change without an online store", |shop| {
            Box::pin(online::refused(shop))
        }),
        Step::new("what is put survives a rollout", |shop| {
            Box::pin(online::survives_a_rollout(shop))
        }),
        Step::new("a new pod catches up with what was put", |shop| {
            Box::pin(online::new_pod_catches_up(shop))
        }),
        Step::new("Redis is killed under load", |shop| {
            Box::pin(online::redis_is_killed(shop))
        }),
        // Pods that can't run, or don't stay.
        Step::new("an image that crashes", |shop| Box::pin(pods::crash(shop))),
        Step::new("a memory limit that is too small", |shop| {
            Box::pin(pods::out_of_memory(shop))
        }),
        Step::new("a GPU that no node has, then one that has", |shop| {
            Box::pin(pods::gpu(shop))
        }),
        Step::new("a volume that can't be mounted", |shop| {
            Box::pin(pods::failed_mount(shop))
        }),
        Step::new("a quota that is used up", |shop| Box::pin(refusals::quota(shop))),
        Step::new("a priority class that is missing", |shop| {
            Box::pin(refusals::priority_class(shop))
        }),
        Step::new("end a pod of a variant", |shop| Box::pin(pods::end(shop, "dlrm"))),
        Step::new("end a router", |shop| Box::pin(pods::end(shop, "router"))),
        Step::new("a router that is killed", |shop| Box::pin(hanging::killed_router(shop))).may_fail(
            100,
            "a crash resets what is under way, and the Service sends clients there until the node has noticed",
        ),
        Step::new("a variant's process that is killed", |shop| {
            Box::pin(hanging::killed_variant(shop))
        }),
        // Processes that hang.
        Step::new("the default deadline", |shop| {
            Box::pin(hanging::default_deadline(shop))
        }),
        Step::new("a process that hangs, with the default deadline", |shop| {
            Box::pin(hanging::one_process(shop))
        }),
        // Numbers of pods.
        Step::new("autoscaling on at 4 pods, and off", |shop| {
            Box::pin(scaling::autoscaling(shop))
        }),
        Step::new("replicas left out, and scaled by a person", |shop| {
            Box::pin(scaling::by_a_person(shop))
        }),
        // The operator and its surroundings.
        Step::new("a leader that is killed on a lost node", |shop| {
            Box::pin(leaders::kill(shop))
        }),
        Step::new("a leader that hangs", |shop| Box::pin(leaders::freeze(shop))),
        Step::new("kill the API server", |shop| {
            Box::pin(leaders::kill_api_server(shop))
        }),
        Step::new("suspend, and go on", |shop| Box::pin(scaling::suspend(shop))),
        Step::new("admission that changes every Deployment", |shop| {
            Box::pin(admission::mutated(shop))
        }),
        // Programs that end.
        Step::new("everybody's lists by one variant, a pod killed", |shop| {
            Box::pin(runs::lists_of_a_variant(shop))
        }),
        Step::new("everybody's lists by their own variants", |shop| {
            Box::pin(runs::own_variants(shop))
        }),
        Step::new("a training whose pod is killed", |shop| {
            Box::pin(runs::training(shop))
        }),
        // Experiments.
        Step::new("an experiment, to automatic promotion", |shop| {
            Box::pin(experiment::promote(shop))
        }),
        Step::new("an experiment that was rolled back stays so", |shop| {
            Box::pin(experiment::roll_back(shop))
        }),
        Step::new("delete", |shop| Box::pin(leave(shop))).last(),
    ]
}

async fn leave(shop: &mut Shop) -> anyhow::Result<String> {
    shop.send_clients_home().await;
    api::delete().await
}

/// Where a Service answers.
async fn address(service: &str, port: u16) -> anyhow::Result<String> {
    let service = get(&["service", service]).await?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .context("the Service has no address")?;
    Ok(format!("{address}:{port}"))
}
