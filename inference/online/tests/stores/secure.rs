//! Redis over TLS, as `connection_string` asks for it.

use gondola_online::OnlineStore;
use gondola_request::{Moment, Value};
use gondola_test_stand_in::certificates::Authority;

use crate::server::{RedisServer, free_port};
use crate::suite;

const NOW: Moment = Moment(1_764_460_800_000);

/// A server that asks its clients for certificates, and where it listens for them.
async fn server(authority: &Authority) -> (RedisServer, String) {
    let folder = authority.sign("server", "localhost");
    let file = |name: &str| folder.join(name).display().to_string();
    let (ca, port) = (authority.ca().display().to_string(), free_port());
    let server = RedisServer::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &file("tls.crt"),
        "--tls-key-file",
        &file("tls.key"),
        "--tls-ca-cert-file",
        &ca,
    ])
    .await;
    (server, format!("localhost:{port},ssl=true"))
}

#[tokio::test]
async fn a_redis_over_tls_keeps_every_promise_of_an_online_store() {
    let authority = Authority::new();
    let (server, address) = server(&authority).await;
    let client = authority.sign("client", "gondola");
    let shown = format!(
        "{address},ssl_ca_certs={},ssl_certfile={},ssl_keyfile={}",
        authority.ca().display(),
        client.join("tls.crt").display(),
        client.join("tls.key").display()
    );
    suite::run(&server.store_of(&shown)).await;

    let unchecked = shown.replace("localhost", "127.0.0.1") + ",ssl_cert_reqs=none";
    let put = suite::put_user("anna", &[("age", Value::Number(1.0))]);
    server.store_of(&unchecked).write(&[put], NOW).await.unwrap();
}

#[tokio::test]
async fn certificates_that_do_not_fit_keep_both_sides_apart() {
    let authority = Authority::new();
    let (server, address) = server(&authority).await;
    let refused = async |connection: String| {
        let error = server.store_of(&connection).known_items().await.unwrap_err();
        gondola_causes::with_causes(&error)
    };
    let ca = authority.ca().display().to_string();
    let other = Authority::new();
    let other_ca = other.ca().display().to_string();

    let unknown = refused(format!("{address},ssl_ca_certs={other_ca}")).await;
    assert!(unknown.contains("certificate"), "{unknown}");
    let other_name = refused(format!("{address},ssl_ca_certs={ca}").replace("localhost", "127.0.0.1")).await;
    assert!(other_name.contains("certificate"), "{other_name}");
    let nobody = refused(format!("{address},ssl_ca_certs={ca}")).await;
    assert!(nobody.contains("does not answer"), "{nobody}");
    let no_file = refused(format!("{address},ssl_ca_certs=/nowhere/ca.crt")).await;
    assert!(
        no_file.contains("/nowhere/ca.crt can't be read") && no_file.contains("name a file that the pod has"),
        "{no_file}"
    );
    let plain = refused(address.replace(",ssl=true", "")).await;
    assert!(plain.contains("does not answer"), "{plain}");
}
