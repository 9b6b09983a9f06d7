//! What is served on the main port and what on the admin port.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_protocol::proto::{GetPipelineRequest, PutUserRequest, RecommendRequest, SimilarRequest};
use gondola_router::{Backend, Router};
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_server::ports::{ArmHeader, MainPort};
use gondola_server::{Drain, Server};
use std::sync::Arc;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use gondola_test_stand_in::client::{get, send, send_with};
use gondola_test_stand_in::{Running, one_variant, variant};

/// A router of two variants, of which everybody gets the first, and the address of its admin port.
async fn router(main: MainPort) -> (Running, String) {
    let backends = [("dlrm", 1), ("forest", 0)].map(|(name, weight)| Backend {
        name: name.to_owned(),
        weight,
        buckets: Vec::new(),
        recommender: variant(name).0,
    });
    let router = Router::new("demo", "shop", "dlrm", backends.into()).unwrap();
    let server = Server::bind("127.0.0.1:0", Front::new(Deadlines::default()))
        .await
        .unwrap();
    let server = server.with_admin("127.0.0.1:0", main).await.unwrap();
    let admin = server.admin_address().unwrap().unwrap().to_string();
    (
        Running::open(server, Destination::router(Arc::new(router)), Drain::default()).await,
        admin,
    )
}

/// The variant that answers whoever asks for an arm by header.
async fn asked_for_forest(address: &str) -> String {
    let headers = [("x-gondola-arm", "forest")];
    let answer = send_with(address, "GET", "/v1/recommend?user=anna", &headers, "").await;
    answer.json()["variant"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_main_port_answers_questions_and_the_admin_port_everything() {
    let (main, admin) = router(MainPort::Questions(ArmHeader::Ignored)).await;
    for path in ["/v1/recommend?user=anna", "/v1/similar?item=a"] {
        assert_eq!(get(&main.address, path).await.status, 200, "{path}");
        assert_eq!(get(&admin, path).await.status, 200, "{path}");
    }
    let others = [
        ("PUT", "/v1/users/anna", 204),
        ("PUT", "/v1/items/shoe", 204),
        ("POST", "/v1/outcomes", 501),
        ("GET", "/v1/experiment", 501),
        ("GET", "/v1/pipeline", 200),
        ("GET", "/metrics", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
    ];
    for (method, path, status) in others {
        let body = if method == "POST" {
            r#"{"outcomes": []}"#
        } else {
            "{}"
        };
        let refused = send(&main.address, method, path, body).await;
        assert_eq!((refused.status, &*refused.code()), (404, "NOT_FOUND"), "{path}");
        assert_eq!(
            refused.message(),
            "this port serves GET /v1/recommend, /v1/similar, /openapi.json and /v2 alone; everything else is on the admin port"
        );
        assert_eq!(send(&admin, method, path, body).await.status, status, "{path}");
    }
    for path in [
        "/v1%2Fusers/anna",
        "//v1/users/anna",
        "/v1/recommend/../users/anna",
    ] {
        assert_eq!(send(&main.address, "PUT", path, "{}").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn questions_alone_are_answered_over_grpc_on_the_main_port() {
    let (main, admin) = router(MainPort::Questions(ArmHeader::Ignored)).await;
    let mut client = main.grpc().await;
    client.recommend(RecommendRequest::default()).await.unwrap();
    let asked = client.similar(SimilarRequest::default()).await.unwrap_err();
    assert_eq!(asked.code(), tonic::Code::InvalidArgument, "it is served");
    let put = || PutUserRequest {
        user: "anna".into(),
        ..PutUserRequest::default()
    };
    let refused = client.put_user(put()).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (
            tonic::Code::PermissionDenied,
            "gondola.v1.Recommender/PutUser is served on the admin port"
        )
    );
    let described = client.get_pipeline(GetPipelineRequest {}).await;
    assert_eq!(described.unwrap_err().code(), tonic::Code::PermissionDenied);
    let endpoint = |address: &str| Endpoint::from_shared(format!("http://{address}")).unwrap();
    let check = |address: String| async move {
        let mut health = HealthClient::new(endpoint(&address).connect().await.unwrap());
        health.check(HealthCheckRequest::default()).await.map(drop)
    };
    let refused = check(main.address.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    check(admin.clone()).await.unwrap();
    let mut client = RecommenderClient::connect(format!("http://{admin}"))
        .await
        .unwrap();
    client.put_user(put()).await.unwrap();
}

#[tokio::test]
async fn an_arm_is_had_by_header_only_where_that_is_allowed() {
    let (main, admin) = router(MainPort::Questions(ArmHeader::Ignored)).await;
    assert_eq!(asked_for_forest(&main.address).await, "dlrm");
    assert_eq!(asked_for_forest(&admin).await, "forest");
    let (main, _) = router(MainPort::Questions(ArmHeader::Honored)).await;
    assert_eq!(asked_for_forest(&main.address).await, "forest");
}

#[tokio::test]
async fn a_variants_pod_serves_everything_on_both_ports() {
    let (main, admin) = router(MainPort::Everything).await;
    for address in [&main.address, &admin] {
        assert_eq!(send(address, "PUT", "/v1/users/anna", "{}").await.status, 204);
        assert_eq!(get(address, "/readyz").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_routers_program_has_one_port_unless_it_is_given_two() {
    let (pod, _gate) = one_variant().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.yaml");
    let routes = format!(
        "pipeline: shop\nvariants: [{{name: dlrm, weight: 1, addresses: [\"{}\"]}}]\n",
        pod.address
    );
    std::fs::write(&file, routes).unwrap();
    for admin in [false, true] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gondola-router"));
        command
            .args(["route", "--listen", "127.0.0.1:0", "--file"])
            .arg(&file);
        if admin {
            command.args(["--admin-listen", "127.0.0.1:0"]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        let mut address = |prefix: &str| {
            let line = lines.find_map(|line| line.strip_prefix(prefix).map(str::to_owned));
            line.unwrap().split(' ').next().unwrap().to_owned()
        };
        let other = admin.then(|| address("everything else at http://"));
        let main = address("ready at http://");
        assert_eq!(get(&main, "/v1/recommend?user=anna").await.status, 200);
        let put = send(&main, "PUT", "/v1/users/anna", "{}").await;
        assert_eq!(put.status, if admin { 404 } else { 204 });
        if let Some(other) = other {
            assert_eq!(send(&other, "PUT", "/v1/users/anna", "{}").await.status, 204);
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
}
