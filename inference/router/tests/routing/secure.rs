//! A router that reaches its variants over TLS, and shows them a certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gondola_protocol::Inquiry;
use gondola_protocol::Recommender as _;
use gondola_request::RecommendRequest;
use gondola_router::remote::RemoteVariant;
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_server::tls::{ClientTls, ServerTls};
use gondola_server::{Drain, Server};
use gondola_test_stand_in::certificates::Authority;
use gondola_test_stand_in::{Running, variant};

/// What the certificates of the pipeline's pods are for.
const NAME: &str = "shop.default.svc";

/// A variant's pod that takes no client without a certificate.
async fn pod(authority: &Authority, certificate: &Path) -> Running {
    let tls = ServerTls::start(certificate, Some(&authority.ca())).unwrap();
    let server = Server::bind("127.0.0.1:0", Front::new(Deadlines::default()))
        .await
        .unwrap()
        .with_tls(tls);
    Running::open(server, Destination::variant(variant("dlrm").0), Drain::default()).await
}

/// How many items there are for anna, or why there are none.
async fn ask(address: &str, tls: Option<ClientTls>) -> Result<usize, String> {
    let variant = Arc::new(RemoteVariant::over("dlrm", &[address.to_owned()], tls).unwrap());
    let request = RecommendRequest {
        user: "anna".into(),
        k: Some(2),
    };
    let inquiry: Inquiry = request.into();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    match variant.answer(inquiry, deadline).await {
        Ok(served) => Ok(served.answer.items.len()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn a_variant_is_reached_by_whoever_has_a_certificate_and_trusts_its_own() {
    let authority = Authority::new();
    let certificate = authority.sign("pods", NAME);
    let pod = pod(&authority, &certificate).await;
    let own = |identity: Option<&Path>, name: &str| {
        Some(ClientTls::start(&authority.ca(), identity, name).unwrap())
    };
    let address = pod.address.as_str();
    assert_eq!(ask(address, own(Some(&certificate), NAME)).await, Ok(2));

    assert!(ask(address, None).await.is_err(), "in plain text");
    assert!(
        ask(address, own(None, NAME)).await.is_err(),
        "without a certificate"
    );
    assert!(
        ask(address, own(Some(&certificate), "other.default.svc"))
            .await
            .is_err()
    );
    let stranger = Authority::new();
    let of_stranger = stranger.sign("pods", NAME);
    assert!(ask(address, own(Some(&of_stranger), NAME)).await.is_err());
    let trusts_another = ClientTls::start(&stranger.ca(), Some(&certificate), NAME).unwrap();
    assert!(ask(address, Some(trusts_another)).await.is_err());
}
