use std::sync::Arc;
use std::time::Duration;

use gondola_server::front::{Deadlines, Destination, Front};
use gondola_server::{Drain, Server};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use gondola_test_stand_in::client::get;
use gondola_test_stand_in::{Gate, Running, one_variant, until, variant};

async fn health(address: &str) -> ServingStatus {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    let request = HealthCheckRequest {
        service: "gondola.v1.Recommender".to_owned(),
    };
    client.check(request).await.unwrap().into_inner().status()
}

/// A server of one variant, which waits half a minute for its answers; the gate holds them back.
async fn patient(drain: Drain) -> (Running, Arc<Gate>) {
    let front = Front::new(Deadlines {
        ask: Duration::from_secs(30),
        ..Deadlines::default()
    });
    let (variant, gate) = variant("dlrm");
    let server = Server::bind("127.0.0.1:0", front).await.unwrap();
    server.opening().open(Destination::variant(variant)).await;
    (Running::serve(server, drain), gate)
}

#[tokio::test]
async fn what_was_begun_is_finished_after_the_signal() {
    let (mut server, gate) = patient(Drain {
        notice: Duration::from_millis(300),
        ..Drain::default()
    })
    .await;
    let address = server.address.clone();
    assert_eq!(health(&address).await, ServingStatus::Serving);

    gate.close();
    let slow = {
        let address = address.clone();
        tokio::spawn(async move { get(&address, "/v1/recommend?user=anna").await })
    };
    until(|| async { gate.arrived() == 1 }).await;
    server.stop();
    until(|| async { get(&address, "/readyz").await.status == 503 }).await;
    // During the notice, requests are still taken; only health says that none should come.
    assert_eq!(get(&address, "/healthz").await.status, 200);
    assert_eq!(health(&address).await, ServingStatus::NotServing);
    gate.open();
    assert_eq!(slow.await.unwrap().status, 200);
    server.ended().await.unwrap();
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn requests_that_never_end_do_not_hold_up_the_end() {
    let (mut server, gate) = patient(Drain {
        notice: Duration::ZERO,
        patience: Duration::from_millis(50),
    })
    .await;
    gate.close();
    // A client that sends half a request and waits.
    let mut half = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut half, b"GET /v1/recommend?user=a HTTP/1.1\r\n")
        .await
        .unwrap();
    let mut client = server.grpc().await;
    let endless = tokio::spawn(async move {
        client
            .recommend(gondola_protocol::proto::RecommendRequest::default())
            .await
    });
    server.stop();
    server.ended().await.unwrap();
    gate.open();
    drop(endless);
}

#[tokio::test]
async fn an_address_in_use_is_named_with_a_way_out() {
    let (server, _) = one_variant().await;
    let front = Front::new(Deadlines::default());
    let error = Server::bind(&server.address, front)
        .await
        .err()
        .expect("somebody listens there")
        .to_string();
    assert!(
        error.contains(&server.address) && error.contains("choose another with --listen"),
        "{error}"
    );

    let front = Front::new(Deadlines::default());
    let error = Server::bind("nonsense", front)
        .await
        .err()
        .expect("no address")
        .to_string();
    assert!(error.contains("cannot listen on nonsense"), "{error}");
}
