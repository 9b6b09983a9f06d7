//! Caches that are behind: lists of the past, watches that are held, events that are lost, watches that end.

use std::collections::HashMap;
use std::time::Duration;

use gondola_test_api_server::{Action, Fault, Request};

use crate::world::{World, is_operator, pipeline, until};

/// How long an operator lives in the past: longer than it waits for a cache to catch up, several times.
const A_WHILE: Duration = Duration::from_secs(4);

/// What of a pipeline with one variant, then two, has to be served again as it was with one.
async fn live_in_the_past(old: fn(&str) -> bool) -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    world.apply("shop", &pipeline(&[("dlrm", 50, 3)])).await?;
    let first = world.operator()?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;
    first.stop().await?;
    // An operator that starts here lists everything as it is with one variant; that is what is relived below.
    let second = world.operator()?;
    world.wait_until_quiet().await?;
    world
        .apply("shop", &pipeline(&[("dlrm", 50, 5), ("forest", 50, 2)]))
        .await?;
    world.publish(Some("v2"));
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;
    second.stop().await?;
    let before = world.dump("shop").await?;

    let traffic = world.server.traffic();
    traffic.relive_lists(old);
    traffic.hold_watches();
    traffic.forget();
    let third = world.operator()?;
    tokio::time::sleep(A_WHILE).await;
    let writes = traffic.writes();
    let accepted: Vec<_> = writes
        .iter()
        .filter(|seen| is_operator(&seen.request) && seen.status.is_some_and(|status| status.is_success()))
        .collect();
    assert!(accepted.is_empty(), "an old cache made it write {accepted:?}");
    traffic.release_watches();
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;
    assert_eq!(before, world.dump("shop").await?);
    third.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_view_of_pipelines_undoes_nothing() -> anyhow::Result<()> {
    live_in_the_past(|path| path.contains("recommenderpipelines")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_view_of_children_undoes_nothing() -> anyhow::Result<()> {
    live_in_the_past(|path| !path.contains("recommenderpipelines")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_view_of_everything_undoes_nothing() -> anyhow::Result<()> {
    live_in_the_past(|_| true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_wrote_itself_and_does_not_see_yet_is_not_written_again() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    world.wait_until_quiet().await?;
    let traffic = world.server.traffic();
    traffic.forget();
    // Its watch tells of the new spec, and of nothing that follows from it.
    traffic.lose_events(|event| event["object"]["kind"] != "RecommenderPipeline");
    world
        .apply("shop", &pipeline(&[("dlrm", 1, 2), ("forest", 1, 1)]))
        .await?;
    tokio::time::sleep(A_WHILE).await;
    let mut times: HashMap<String, usize> = HashMap::new();
    for seen in traffic.writes() {
        let child = is_operator(&seen.request) && !seen.request.path.contains("recommenderpipelines");
        if child && seen.status.is_some_and(|status| status.is_success()) {
            *times.entry(seen.request.path).or_default() += 1;
        }
    }
    assert!(times.len() > 3, "{times:?}");
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 2).collect();
    assert!(twice.is_empty(), "written again and again: {twice:?}");
    traffic.heal();
    operator.stop().await?;
    let operator = world.operator()?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    operator.stop().await
}

/// The k-th event about each of so many namespaces is lost, all in one life.
const LOST_EVENTS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn whichever_event_is_lost_the_next_list_makes_up_for_it() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator_that_relists(Duration::from_secs(8))?;
    let mut counts: HashMap<usize, usize> = HashMap::new();
    world.server.traffic().lose_events(move |event| {
        let namespace = event["object"]["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default();
        let Some(place) = namespace
            .strip_prefix("shop-")
            .and_then(|number| number.parse().ok())
        else {
            return false;
        };
        let count = counts.entry(place).or_default();
        *count += 1;
        *count == place + 1
    });
    let namespaces: Vec<String> = (0..LOST_EVENTS).map(|place| format!("shop-{place}")).collect();
    for namespace in &namespaces {
        world.apply(namespace, &pipeline(&[("dlrm", 1, 1)])).await?;
    }
    for namespace in &namespaces {
        world.wait_for(namespace, "grocery", "Ready", "True").await?;
    }
    for namespace in &namespaces {
        world
            .apply(namespace, &pipeline(&[("dlrm", 1, 2), ("forest", 1, 1)]))
            .await?;
    }
    for namespace in &namespaces {
        world.wait_for(namespace, "grocery", "Ready", "True").await?;
    }
    println!("{LOST_EVENTS} lost events covered");
    operator.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_end_and_versions_that_are_gone_leave_no_gap() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let operator = world.operator()?;
    world.apply("shop", &pipeline(&[("dlrm", 1, 1)])).await?;
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    let traffic = world.server.traffic();
    for round in 0..10 {
        // Every other time the version that a watch would go on from is gone from the server.
        if round % 2 == 0 {
            let gone = Fault::on(Action::Answer(410.try_into()?), |request: &Request| {
                request.is_watch() && is_operator(request)
            });
            traffic.inject(gone.times(12));
        }
        traffic.end_watches();
        let replicas = 1 + round % 3;
        world.apply("shop", &pipeline(&[("dlrm", 1, replicas)])).await?;
        until("the Deployment follows", || async {
            let dump = world.dump("shop").await?;
            let wanted = &dump["Deployment grocery--dlrm"]["spec"]["replicas"];
            // One is what there is where nobody said how many.
            Ok((wanted.as_i64().unwrap_or(1) == i64::from(replicas)).then_some(()))
        })
        .await?;
    }
    traffic.heal();
    world.wait_for("shop", "grocery", "Ready", "True").await?;
    operator.stop().await
}
