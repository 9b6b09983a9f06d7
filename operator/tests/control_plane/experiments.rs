//! An experiment from apply to promotion, with shortened windows, and an operator that is killed on the way.

use std::time::Duration;

use gondola_crds::experiment_status::{ExperimentStatus, Phase};
use gondola_experiments::epoch;
use gondola_experiments::operations::observe;
use gondola_wire::counts::ArmCounts;
use gondola_wire::evidence::{ArmEvidence, EVIDENCE_KEY, Evidence, FORMAT, Look, RouterEvidence};
use gondola_wire::memory::{Ending, MEMORY_KEY, Memory};
use gondola_wire::operations::Operations;
use gondola_wire::sums::Sums;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{Operator, World, pipeline, routes, until};

const NAMESPACE: &str = "default";

fn with_experiment() -> Value {
    let mut spec = pipeline(&[("forest", 50, 1), ("dlrm", 50, 1)]);
    spec["spec"]["experiment"] = json!({
        "name": "dlrm-vs-forest",
        "control": "forest",
        "arms": [{"variant": "forest", "weight": 50}, {"variant": "dlrm", "weight": 50}],
        "traffic": {"ramp": [{"percent": "5%", "hold": "1s"}, {"percent": "20%", "hold": "1s"}], "settle": "1s"},
        "metrics": {"success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "1s"}]},
        "design": {"units": 1000, "minDuration": "1s", "maxDuration": "1h"},
        "promotion": "Automatic",
        "store": {"url": "s3://events/grocery"},
        "unitKey": {"secretRef": {"name": "unit-key"}},
        "cadence": {"flush": "1s", "analysis": "10s", "look": "1s", "lateness": "0s"},
    });
    spec
}

async fn status(world: &World) -> anyhow::Result<ExperimentStatus> {
    let pipeline = world.pipelines(NAMESPACE).get("grocery").await?;
    Ok(pipeline.status.unwrap_or_default().experiment.unwrap_or_default())
}

/// How the store says that the experiment of a status ended.
fn kept(status: &ExperimentStatus) -> anyhow::Result<Memory> {
    let token = &with_experiment()["spec"]["experiment"]["restartToken"];
    let token = serde_json::from_value(token.clone())?;
    Ok(Memory {
        ending: Ending::of(&epoch::from_status(status, token)),
        ..Memory::nothing("dlrm-vs-forest")
    })
}

/// What an analyzer would write: both routers have what they are told, arms have traffic, so many users with so many buyers, and
/// the store has kept how it ended.
async fn analyze(world: &World, users: u64, buyers: [u64; 2], errors: u64) -> anyhow::Result<()> {
    let memory = kept(&status(world).await?)?;
    analyze_and_remember(world, users, buyers, errors, &memory).await
}

async fn analyze_and_remember(
    world: &World,
    users: u64,
    buyers: [u64; 2],
    errors: u64,
    memory: &Memory,
) -> anyhow::Result<()> {
    let status = status(world).await?;
    let Some(started) = status.start_time.as_deref().and_then(|text| text.parse().ok()) else {
        return Ok(());
    };
    let revision = routes(world, NAMESPACE)
        .await?
        .experiment
        .map(|experiment| experiment.revision)
        .unwrap_or_default();
    let settings = gondola_experiments::settings::Settings::of(&serde_json::from_value(
        with_experiment()["spec"]["experiment"].clone(),
    )?)?;
    let mut operations = Operations::new(&settings.arms);
    let traffic = |errors| ArmCounts {
        requests: 500,
        errors,
        ..ArmCounts::default()
    };
    for _ in 0..2 {
        observe(
            &mut operations,
            &[traffic(0), traffic(errors)].into(),
            &settings.operations,
        );
    }
    let sums = |buyers: u64| Sums {
        n: users,
        nonzero: buyers,
        mean_y: buyers as f64 / users as f64,
        yy: buyers as f64 * (users - buyers) as f64 / users as f64,
        ..Sums::default()
    };
    let arm = |name: &str| ArmEvidence {
        name: name.into(),
        units: users,
        exposures: users,
        fallbacks: 0,
    };
    let router = |name: &str| RouterEvidence {
        name: name.into(),
        revision: revision.clone(),
        ..RouterEvidence::default()
    };
    let evidence = Evidence {
        format: FORMAT,
        experiment: status.name,
        epoch: u32::try_from(status.epoch)?,
        started_at: started,
        look: Duration::from_secs(1),
        analyzed_at: Timestamp::now(),
        arms: [arm("forest"), arm("dlrm")].into(),
        metrics: vec!["purchase".into()],
        looks: vec![Look {
            number: 0,
            units: [users, users].into(),
            metrics: vec![buyers.map(sums).into()],
        }],
        operations,
        routers: vec![router("a"), router("b")],
        ..Evidence::default()
    };
    let patch = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grocery--evidence"},
        "data": {EVIDENCE_KEY: serde_json::to_string(&evidence)?, MEMORY_KEY: serde_json::to_string(memory)?},
    });
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    let parameters = PatchParams::apply("gondola-analyzer").force();
    configs
        .patch("grocery--evidence", &parameters, &Patch::Apply(&patch))
        .await?;
    Ok(())
}

/// What an analyzer writes that has looked in the store how the experiment ended before.
async fn remember(world: &World, memory: &Memory) -> anyhow::Result<()> {
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    let patch = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grocery--evidence"},
        "data": {MEMORY_KEY: serde_json::to_string(memory)?},
    });
    until("there is a place for what is remembered", || async {
        Ok(configs.get_opt("grocery--evidence").await?.map(drop))
    })
    .await?;
    let parameters = PatchParams::apply("gondola-analyzer").force();
    configs
        .patch("grocery--evidence", &parameters, &Patch::Apply(&patch))
        .await?;
    Ok(())
}

/// What the operator shows at a path.
async fn shown(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Starts an operator with a pipeline whose experiment begins.
async fn begin(world: &World) -> anyhow::Result<Operator> {
    let operator = world.operator()?;
    world.apply(NAMESPACE, &with_experiment()).await?;
    remember(world, &Memory::nothing("dlrm-vs-forest")).await?;
    world
        .wait_for(NAMESPACE, "grocery", "ExperimentReady", "True")
        .await?;
    Ok(operator)
}

/// Analyzes twice a second until the status is as wanted.
async fn analyze_until(
    world: &World,
    what: &str,
    users: u64,
    buyers: [u64; 2],
    errors: u64,
    wanted: impl Fn(&ExperimentStatus) -> bool,
) -> anyhow::Result<ExperimentStatus> {
    until(what, || async {
        let now = status(world).await?;
        if wanted(&now) {
            return Ok(Some(now));
        }
        analyze(world, users, buyers, errors).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(None)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_climbs_is_decided_and_keeps_its_stage_through_a_crash() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = begin(&world).await?;
    let at = |stage| move |status: &ExperimentStatus| status.stage >= stage;
    analyze_until(&world, "the second step", 500, [50, 50], 0, at(1)).await?;
    operator.crash().await;
    let before = status(&world).await?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .to_string();
    let operator = world.operator_that_listens(&address)?;
    // Without a word from the analyzer nothing moves.
    world.wait_until_quiet().await?;
    let after = status(&world).await?;
    assert_eq!((before.stage, before.start_time), (after.stage, after.start_time));
    assert!(after.phase == Phase::Ramping || after.phase == Phase::Running);
    let seen = analyze_until(&world, "the last step", 500, [50, 50], 0, |status| {
        status.phase == Phase::Running
    })
    .await?;
    assert_eq!(seen.traffic_percent.as_deref(), Some("100%"));
    let seen = analyze_until(&world, "a winner", 2000, [200, 400], 0, |status| {
        status.phase == Phase::Promoted
    })
    .await?;
    assert_eq!(seen.winner.as_deref(), Some("dlrm"));
    world.wait_for(NAMESPACE, "grocery", "SpecDrift", "True").await?;
    // Nobody sees anything who does not say who they are.
    for path in [
        "/experiments",
        "/experiments/metrics",
        "/experiments/default/grocery",
        "/experiments/default/grocery/statistics.json",
    ] {
        let refused = shown(&address, path).await?;
        assert!(
            refused.starts_with("HTTP/1.1 401") && refused.contains("a token of the cluster is needed"),
            "{refused}"
        );
    }
    let metrics = shown(&address, "/metrics").await?;
    assert!(
        metrics.contains("gondola_operator_oldest_list_seconds") && !metrics.contains("gondola_experiment"),
        "{metrics}"
    );
    let everybody: Vec<(String, u32)> = routes(&world, NAMESPACE)
        .await?
        .variants
        .into_iter()
        .map(|route| (route.name, route.weight))
        .collect();
    assert_eq!(everybody, [("forest".to_owned(), 0), ("dlrm".to_owned(), 1)]);
    // The operator leaves the spec alone, and closes the experiment when the spec says the same.
    let spec = world.pipelines(NAMESPACE).get("grocery").await?.spec;
    assert_eq!(spec.variants[0].weight, 50);
    let mut adopted = with_experiment();
    adopted["spec"]["variants"][0]["weight"] = json!(0);
    world.apply(NAMESPACE, &adopted).await?;
    until("it is complete", || async {
        Ok((status(&world).await?.phase == Phase::Completed).then_some(()))
    })
    .await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_roll_an_arm_back_until_it_is_started_anew() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = begin(&world).await?;
    let seen = analyze_until(&world, "a rollback", 500, [50, 50], 50, |status| {
        status.phase == Phase::RolledBack
    })
    .await?;
    assert_eq!(seen.decision.unwrap().reason, "OperationsHarm");
    world
        .wait_for(NAMESPACE, "grocery", "OperationsHealthy", "False")
        .await?;
    let weights: Vec<u32> = routes(&world, NAMESPACE)
        .await?
        .variants
        .iter()
        .map(|route| route.weight)
        .collect();
    assert_eq!(weights, [1, 0], "everybody gets the control");
    let mut again = with_experiment();
    again["spec"]["experiment"]["restartToken"] = json!("2");
    world.apply(NAMESPACE, &again).await?;
    let seen = analyze_until(&world, "a second epoch", 500, [50, 50], 0, |status| {
        status.epoch == 2 && status.phase != Phase::Pending
    })
    .await?;
    assert_eq!(seen.history[0].phase, Phase::RolledBack);
    // Nothing of an experiment stays once the spec has none.
    world
        .apply(NAMESPACE, &pipeline(&[("forest", 50, 1), ("dlrm", 50, 1)]))
        .await?;
    until("what belonged to it is gone", || async {
        let dump = world.dump(NAMESPACE).await?;
        let left = ["grocery--experiment", "grocery--evidence", "grocery--analyzer"];
        Ok(dump
            .keys()
            .all(|name| !left.iter().any(|gone| name.ends_with(gone)))
            .then_some(()))
    })
    .await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_stays_so_when_the_pipeline_is_made_again() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = begin(&world).await?;
    let seen = analyze_until(&world, "a rollback", 500, [50, 50], 50, |status| {
        status.phase == Phase::RolledBack
    })
    .await?;
    // What the analyzer keeps in the store.
    let memory = Memory {
        last_epoch: Some(1),
        ..kept(&seen)?
    };
    assert!(memory.ending.is_some());
    world.delete(NAMESPACE, "grocery").await?;
    until("nothing is left", || async {
        world.server.collect_garbage().await?;
        Ok(world.dump(NAMESPACE).await?.is_empty().then_some(()))
    })
    .await?;
    world.apply(NAMESPACE, &with_experiment()).await?;
    world.wait_for(NAMESPACE, "grocery", "Ready", "True").await?;
    assert_eq!(
        status(&world).await?.phase,
        Phase::Pending,
        "it waits for a look into the store"
    );
    remember(&world, &memory).await?;
    until("it is as it was", || async {
        Ok((status(&world).await?.phase == Phase::RolledBack).then_some(()))
    })
    .await?;
    world.wait_until_quiet().await?;
    let told = routes(&world, NAMESPACE).await?;
    assert_eq!(told.experiment, None, "nobody takes part");
    let weights: Vec<u32> = told.variants.iter().map(|route| route.weight).collect();
    assert_eq!(weights, [1, 0], "everybody gets the control");
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_is_over_once_the_store_has_kept_its_end() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = begin(&world).await?;
    let forgetful = Memory::nothing("dlrm-vs-forest");
    until("everybody gets the control", || async {
        analyze_and_remember(&world, 500, [50, 50], 50, &forgetful).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let told = routes(&world, NAMESPACE).await?;
        let weights: Vec<u32> = told.variants.iter().map(|route| route.weight).collect();
        Ok((told.experiment.is_none() && weights == [1, 0]).then_some(()))
    })
    .await?;
    let waiting = world
        .wait_for(NAMESPACE, "grocery", "ExperimentReady", "False")
        .await?;
    world.wait_until_quiet().await?;
    let conditions = waiting.status.unwrap().conditions;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "ExperimentReady");
    assert_eq!(ready.unwrap().reason, "WaitingForStore");
    // Who waits for the end before they delete the pipeline waits for the record that outlives it.
    let seen = status(&world).await?;
    assert!(!seen.phase.is_over(), "{:?}", seen.phase);
    assert_eq!(seen.decision.as_ref().unwrap().verdict, "RolledBack");
    remember(&world, &kept(&seen)?).await?;
    until("it is told as over", || async {
        Ok((status(&world).await?.phase == Phase::RolledBack).then_some(()))
    })
    .await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_moves_changes_no_treatment() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = begin(&world).await?;
    world.publish(Some("v2"));
    let moved = world
        .wait_for(NAMESPACE, "grocery", "TreatmentChanged", "True")
        .await?;
    let conditions = moved.status.unwrap().conditions;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "TreatmentChanged")
        .unwrap();
    assert!(
        condition
            .message
            .contains("would now be v2, but stays v1 until the experiment is over"),
        "{}",
        condition.message
    );
    world.wait_until_quiet().await?;
    let dump = world.dump(NAMESPACE).await?;
    for arm in ["forest", "dlrm"] {
        let deployment = dump[&format!("Deployment grocery--{arm}")].to_string();
        assert!(
            deployment.contains("v1") && !deployment.contains("v2"),
            "{deployment}"
        );
    }
    // Once it is over, channels count again.
    analyze_until(&world, "a rollback", 500, [50, 50], 50, |status| {
        status.phase == Phase::RolledBack
    })
    .await?;
    until("the new version is rolled out", || async {
        let dump = world.dump(NAMESPACE).await?;
        Ok(dump["Deployment grocery--dlrm"]
            .to_string()
            .contains("v2")
            .then_some(()))
    })
    .await?;
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arm_that_does_harm_is_rolled_back_also_while_all_is_suspended() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = begin(&world).await?;
    let mut suspended = with_experiment();
    suspended["spec"]["suspend"] = json!(true);
    suspended["spec"]["variants"][1]["replicas"] = json!(9);
    world.apply(NAMESPACE, &suspended).await?;
    world.wait_for(NAMESPACE, "grocery", "Suspended", "True").await?;
    analyze_until(&world, "a rollback", 500, [50, 50], 50, |status| {
        status.phase == Phase::RolledBack
    })
    .await?;
    until("routers hear of it", || async {
        let told = routes(&world, NAMESPACE).await?;
        Ok((told.experiment.is_none()
            && told
                .variants
                .iter()
                .all(|route| route.name != "dlrm" || route.weight == 0))
        .then_some(()))
    })
    .await?;
    let dump = world.dump(NAMESPACE).await?;
    assert_ne!(
        dump["Deployment grocery--dlrm"]["spec"]["replicas"], 9,
        "all else is left alone"
    );
    operator.stop().await
}
