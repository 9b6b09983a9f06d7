//! TLS on both ports, certificates that change, and clients that show their own.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gondola_server::tls::{ClientTls, client_of_the_owner};
use gondola_test_stand_in::certificates::Authority;
use gondola_test_stand_in::client::exchange_over;
use gondola_test_stand_in::until;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::{option, serve};

/// A client that trusts an authority.
fn client_of(authority: &Authority, protocols: &[&str]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    let pem = authority.pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(client: &TlsConnector, address: &str) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("shop.default.svc").unwrap();
    client.connect(name, stream).await
}

async fn status(client: &TlsConnector, address: &str, path: &str) -> io::Result<u16> {
    let stream = connect(client, address).await?;
    Ok(exchange_over(stream, address, "GET", path).await?.status)
}

#[tokio::test]
async fn both_ports_are_served_over_tls_alone() {
    let authority = Authority::new();
    let folder = authority.sign("server", "shop.default.svc");
    let served = serve(&[option("tls", &folder)]).await;
    let client = client_of(&authority, &["http/1.1"]);
    assert_eq!(
        status(&client, &served.main.address, "/v1/recommend?user=a")
            .await
            .unwrap(),
        200
    );
    assert_eq!(status(&client, &served.admin, "/readyz").await.unwrap(), 200);
    // Both versions are offered.
    for (offered, taken) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1")] {
        let stream = connect(&client_of(&authority, offered), &served.main.address)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(taken.as_bytes()));
    }
    // Somebody else's client does not trust it, and plain text is not answered.
    assert!(
        connect(&client_of(&Authority::new(), &[]), &served.main.address)
            .await
            .is_err()
    );
    let plain = TcpStream::connect(&served.main.address).await.unwrap();
    assert!(
        exchange_over(plain, "a", "GET", "/v1/recommend?user=a")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_open_ones_stay() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = old.sign("server", "shop.default.svc");
    let served = serve(&[option("tls", &folder)]).await;
    let address = &served.main.address;
    let open = connect(&client_of(&old, &["http/1.1"]), address).await.unwrap();
    let client = client_of(&new, &["http/1.1"]);
    assert!(connect(&client, address).await.is_err());
    new.sign_into(&folder, "shop.default.svc");
    until(|| async { connect(&client, address).await.is_ok() }).await;
    assert!(connect(&client_of(&old, &[]), address).await.is_err());
    let answer = exchange_over(open, address, "GET", "/v1/recommend?user=a").await;
    assert_eq!(answer.unwrap().status, 200, "a connection that was open");
}

#[tokio::test]
async fn an_analyzer_knows_its_routers_by_their_own_certificate() {
    let authority = Authority::new();
    let folder = authority.sign("server", "shop.default.svc");
    let other = authority.sign("other", "shop.default.svc");
    let served = serve(&[option("tls", &folder)]).await;
    let status = async |certificate: &Path| {
        let config = client_of_the_owner(&certificate.join("tls.crt")).unwrap();
        status(&TlsConnector::from(Arc::new(config)), &served.admin, "/readyz").await
    };
    assert_eq!(status(&folder).await.unwrap(), 200);
    assert!(status(&other).await.is_err(), "of the same name and authority");
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_holds_up_nobody() {
    let authority = Authority::new();
    let folder = authority.sign("server", "shop.default.svc");
    let served = serve(&[option("tls", &folder)]).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(&served.main.address).await.unwrap());
    }
    let started = Instant::now();
    let client = client_of(&authority, &["http/1.1"]);
    assert_eq!(
        status(&client, &served.main.address, "/v1/recommend?user=a")
            .await
            .unwrap(),
        200
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    // Nor the end.
    let mut server = served.main;
    server.stop();
    server.ended().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_variant_answers_only_clients_that_show_a_certificate() {
    let authority = Authority::new();
    let folder = authority.sign("variant", "shop.default.svc");
    let router = authority.sign("router", "router");
    let served = serve(&[option("tls", &folder), option("client-ca", &authority.ca())]).await;
    let address = &served.main.address;
    let path = "/v1/recommend?user=a";
    let asked = async |client: &ClientTls| {
        let stream = TcpStream::connect(address).await?;
        let stream = client.connect(stream).await?;
        exchange_over(stream, address, "GET", path)
            .await
            .map(|answer| answer.status)
    };
    let client =
        |identity: Option<&Path>, name: &str| ClientTls::start(&authority.ca(), identity, name).unwrap();
    let known = client(Some(&router), "shop.default.svc");
    assert!(
        known
            .connect(TcpStream::connect(address).await.unwrap())
            .await
            .is_ok()
    );
    // The name is that of the variants, whatever the address.
    assert!(asked(&client(Some(&router), "other.default.svc")).await.is_err());
    assert!(
        asked(&client(None, "shop.default.svc")).await.is_err(),
        "without a certificate"
    );
    let stranger = Authority::new();
    let of_stranger = stranger.sign("router", "router");
    assert!(
        asked(&client(Some(&of_stranger), "shop.default.svc"))
            .await
            .is_err()
    );

    // Probes and scrapers have no certificate, and nothing else is on that port.
    let plain = client_of(&authority, &["http/1.1"]);
    for (path, expected) in [
        ("/readyz", 200),
        ("/metrics", 200),
        ("/v1/recommend?user=a", 403),
        ("/v1/pipeline", 403),
    ] {
        assert_eq!(
            status(&plain, &served.admin, path).await.unwrap(),
            expected,
            "{path}"
        );
    }
}
