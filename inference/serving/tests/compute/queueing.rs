//! A variant on one compute thread, asked over real sockets: what waits, what is refused, and what comes too late.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gondola_protocol::proto::RecommendRequest;
use gondola_request::Answer;
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_serving::compute::{Compute, ComputeSettings, GatherSettings};
use gondola_test_stand_in::client::get;
use gondola_test_stand_in::{Running, until};
use serde_json::json;
use tonic::Code;

use crate::stand_in::StandIn;

/// Holds the compute thread up.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    arrived: AtomicUsize,
}

impl Gate {
    fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let closed = self.closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
    }
}

/// A variant on one thread with `queue` places, which has `ask` for a question; it recommends when the gate is open.
async fn one_variant(ask: Duration, queue: usize) -> (Running, Arc<Gate>) {
    let front = Front::new(Deadlines {
        ask,
        ..Deadlines::default()
    });
    let settings = ComputeSettings {
        threads: NonZeroUsize::MIN,
        queue,
        gather: GatherSettings::default(),
    };
    let compute = Compute::start(&settings, front.metrics().compute().clone()).unwrap();
    let gate = Arc::new(Gate::default());
    let to_pass = Arc::clone(&gate);
    let pipeline = Arc::new(StandIn::new(move |_| {
        to_pass.pass();
        Ok(Answer::default())
    }));
    let variant = Arc::new(pipeline.on(compute));
    (Running::start(front, Destination::variant(variant)).await, gate)
}

#[tokio::test]
async fn a_full_queue_is_429_at_once() {
    let (server, gate) = one_variant(Duration::from_secs(30), 1).await;
    gate.close();
    let ask_over_http = || {
        let address = server.address.clone();
        tokio::spawn(async move { get(&address, "/v1/recommend?user=anna").await })
    };
    let answered = ask_over_http();
    until(|| async { gate.arrived() == 1 }).await;
    let waiting = ask_over_http();
    until(|| async {
        get(&server.address, "/metrics")
            .await
            .body
            .contains("gondola_compute_waiting 1")
    })
    .await;

    let refused = get(&server.address, "/v1/recommend?user=anna").await;
    assert_eq!((refused.status, &*refused.code()), (429, "RESOURCE_EXHAUSTED"));
    assert!(
        refused
            .message()
            .contains("1 requests wait already, as many as may; ask again later"),
        "{refused:?}"
    );
    let status = server
        .grpc()
        .await
        .recommend(RecommendRequest {
            user: "anna".to_owned(),
            ..RecommendRequest::default()
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        get(&server.address, "/metrics")
            .await
            .body
            .contains("gondola_compute_refused_total 2")
    );
    gate.open();
    assert_eq!(
        (answered.await.unwrap().status, waiting.await.unwrap().status),
        (200, 200)
    );
}

#[tokio::test]
async fn a_late_answer_is_popular_items_and_says_so() {
    let (server, gate) = one_variant(Duration::from_millis(20), 64).await;
    gate.close();
    let answer = get(&server.address, "/v1/recommend?user=anna&k=2").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["degraded"], json!(["deadline"]));
    assert_eq!(answer.json()["items"][1]["item"], "popular-1");

    // This one waits behind the first, so that it is never begun.
    let similar = get(&server.address, "/v1/similar?item=a").await;
    assert_eq!((similar.status, &*similar.code()), (504, "DEADLINE_EXCEEDED"));
    gate.open();
    until(|| async {
        get(&server.address, "/metrics")
            .await
            .body
            .contains("gondola_compute_expired_total 1")
    })
    .await;
    let metrics = get(&server.address, "/metrics").await.body;
    assert!(
        metrics.contains(r#"gondola_degraded_total{variant="stand-in",reason="deadline"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"gondola_requests_total{method="similar",code="DEADLINE_EXCEEDED"} 1"#),
        "{metrics}"
    );
}
