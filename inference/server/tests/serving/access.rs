//! Who may send what: keys, tokens, limits, ids of requests, pages and signed arms, over real sockets.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use gondola_protocol::proto::{PutUserRequest, RecommendRequest, RecordOutcomesRequest};
use gondola_server::Drain;
use gondola_server::arguments::ServerArguments;
use gondola_server::front::Destination;
use gondola_test_stand_in::certificates::Authority;
use gondola_test_stand_in::client::{Response, get, send_with};
use gondola_test_stand_in::{Gate, Running, until, variant};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tonic::{Code, Request};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    server: ServerArguments,
}

/// A server with an admin port, as a router is one, and what holds its answers back.
pub struct Served {
    pub main: Running,
    pub admin: String,
    pub gate: Arc<Gate>,
}

/// Starts one with options.
pub async fn serve(options: &[String]) -> Served {
    let both = ["program", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"].map(str::to_owned);
    let program = Program::parse_from(both.iter().chain(options));
    let server = program.server.bind_router().await.unwrap();
    let admin = server.admin_address().unwrap().unwrap().to_string();
    let (variant, gate) = variant("dlrm");
    Served {
        main: Running::open(server, Destination::variant(variant), Drain::default()).await,
        admin,
        gate,
    }
}

/// Why one can't be started with options.
async fn refused(options: &[String]) -> String {
    let program = Program::try_parse_from(["program".to_owned()].iter().chain(options));
    match program {
        Err(error) => error.to_string(),
        Ok(program) => format!(
            "{:#}",
            program.server.bind_router().await.map(|_| ()).unwrap_err()
        ),
    }
}

pub fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

fn line(key: &str, scopes: &str) -> String {
    format!(
        "sha256:{} {scopes}\n",
        hex::encode(digest(&SHA256, key.as_bytes()))
    )
}

/// A folder of keys, as a Secret is mounted.
pub fn keys() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (client, line) in [
        ("website", line("key-of-website", "read")),
        ("loader", line("key-of-loader", "read write")),
        ("till", line("key-of-till", "outcomes")),
        ("everything", line("key-of-everything", "read write outcomes")),
    ] {
        std::fs::write(folder.path().join(client), line).unwrap();
    }
    folder
}

async fn ask(address: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    send_with(address, "GET", path, headers, "").await
}

#[track_caller]
fn check_refused(answer: &Response, status: u16, code: &str, message: &str) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (status, code),
        "{answer:?}"
    );
    assert!(answer.message().contains(message), "{answer:?}");
    assert!(!answer.body.contains("key-of-"), "no key is repeated: {answer:?}");
}

const RECOMMEND: &str = "/v1/recommend?user=anna";

#[tokio::test]
async fn a_key_opens_what_its_scopes_say() {
    let keys = keys();
    let served = serve(&[option("api-keys", keys.path())]).await;
    let main = served.main.address.as_str();
    for headers in [
        ("x-api-key", "key-of-website"),
        ("authorization", "Bearer key-of-website"),
        ("authorization", "bearer  key-of-loader"),
    ] {
        assert_eq!(ask(main, RECOMMEND, &[headers]).await.status, 200, "{headers:?}");
    }
    let nothing = get(main, RECOMMEND).await;
    check_refused(
        &nothing,
        401,
        "UNAUTHENTICATED",
        "no API key was sent; send it as",
    );
    assert_eq!(
        nothing.header("www-authenticate"),
        Some("Bearer realm=\"gondola\"")
    );
    for (headers, status, code, message) in [
        (
            ("x-api-key", "key-of-websit"),
            401,
            "UNAUTHENTICATED",
            "the API key is not known here",
        ),
        (
            ("x-api-key", ""),
            401,
            "UNAUTHENTICATED",
            "the API key is not known here",
        ),
        (
            ("authorization", "Basic a2V5"),
            401,
            "UNAUTHENTICATED",
            "is not 'Bearer' followed by an API key",
        ),
        (
            ("x-api-key", "key-of-till"),
            403,
            "PERMISSION_DENIED",
            "\"till\" may not do this, which needs the scope read, and has outcomes",
        ),
    ] {
        check_refused(&ask(main, RECOMMEND, &[headers]).await, status, code, message);
    }

    let admin = served.admin.as_str();
    let put = async |key: &str| {
        let headers = [("x-api-key", key)];
        send_with(admin, "PUT", "/v1/users/anna", &headers, "{}").await
    };
    assert_eq!(put("key-of-loader").await.status, 204);
    let message = "\"website\" may not do this, which needs the scope write, and has read";
    check_refused(&put("key-of-website").await, 403, "PERMISSION_DENIED", message);
    let outcomes = async |key: &str| {
        let headers = [("x-api-key", key)];
        send_with(admin, "POST", "/v1/outcomes", &headers, r#"{"outcomes": []}"#).await
    };
    assert_eq!(outcomes("key-of-till").await.status, 501, "it is let in");
    assert_eq!(outcomes("key-of-loader").await.status, 403);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(admin, path).await.status, 200, "{path} needs nothing");
    }
    assert_eq!(get(admin, "/v1/pipeline").await.status, 401);
    assert_eq!(
        get(admin, "/nothing").await.status,
        401,
        "nor is it told what there is"
    );
    let metrics = get(admin, "/metrics").await.body;
    assert!(
        metrics.contains("gondola_denied_total{reason=\"scope\"} 3"),
        "{metrics}"
    );
    assert!(!metrics.contains("website"), "{metrics}");
}

#[tokio::test]
async fn grpc_is_refused_as_http_is() {
    let keys = keys();
    let served = serve(&[option("api-keys", keys.path())]).await;
    let mut client = served.main.grpc().await;
    let with = |key: Option<&str>| {
        let mut request = Request::new(RecommendRequest {
            user: "anna".to_owned(),
            ..RecommendRequest::default()
        });
        if let Some(key) = key {
            request.metadata_mut().insert("x-api-key", key.parse().unwrap());
        }
        request
    };
    assert!(client.recommend(with(Some("key-of-website"))).await.is_ok());
    let status = client.recommend(with(None)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().starts_with("no API key was sent"), "{status}");
    let status = client.recommend(with(Some("other"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = client.recommend(with(Some("key-of-till"))).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("needs the scope read"), "{status}");
    let id = status.metadata().get("x-request-id");
    assert_eq!(id.unwrap().len(), 32);

    let mut admin = gondola_protocol::proto::recommender_client::RecommenderClient::connect(format!(
        "http://{}",
        served.admin
    ))
    .await
    .unwrap();
    let mut request = Request::new(PutUserRequest {
        user: "anna".to_owned(),
        ..PutUserRequest::default()
    });
    request
        .metadata_mut()
        .insert("x-api-key", "key-of-website".parse().unwrap());
    let status = admin.put_user(request).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let status = admin
        .record_outcomes(RecordOutcomesRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_key_that_is_replaced_is_followed() {
    let keys = keys();
    let served = serve(&[option("api-keys", keys.path())]).await;
    let status = async |key: &str| {
        ask(&served.main.address, RECOMMEND, &[("x-api-key", key)])
            .await
            .status
    };
    assert_eq!(status("new-key").await, 401);
    std::fs::write(keys.path().join("website"), line("new-key", "read")).unwrap();
    until(|| async { status("new-key").await == 200 }).await;
    assert_eq!(status("key-of-website").await, 401);
    // A slip changes nothing.
    std::fs::write(keys.path().join("website"), "new-key read").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(status("new-key").await, 200);
}

#[tokio::test]
async fn what_is_wrong_with_the_options_is_told_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("website"), "s3cret read").unwrap();
    let message = refused(&[option("api-keys", folder.path())]).await;
    assert!(
        message.contains("website is not a list of API keys: line 1: write lines"),
        "{message}"
    );
    assert!(!message.contains("s3cret"), "{message}");
    let missing = refused(&[option("api-keys", &folder.path().join("no"))]).await;
    assert!(missing.contains("cannot read"), "{missing}");
    let issuer = [
        "--jwt-issuer=https://a",
        "--jwt-audience=b",
        "--jwt-keys=http://a/keys",
    ];
    let plain = refused(&issuer.map(str::to_owned)).await;
    assert!(plain.contains("give an https URL or a file"), "{plain}");
    let half = refused(&["--jwt-issuer=https://a".to_owned()]).await;
    assert!(half.contains("--jwt-audience"), "{half}");
    let origin = refused(&["--cors-origin=shop.example".to_owned()]).await;
    assert!(origin.contains("is not an origin"), "{origin}");
    let tls = refused(&[option("tls", folder.path())]).await;
    assert!(
        tls.contains("it has no tls.crt; mount a Secret of type kubernetes.io/tls"),
        "{tls}"
    );
}

/// An issuer of tokens, and the file with its keys.
struct Issuer {
    key: Ed25519KeyPair,
    file: tempfile::NamedTempFile,
}

impl Issuer {
    fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let issuer = Self {
            key: Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap(),
            file: tempfile::NamedTempFile::new().unwrap(),
        };
        std::fs::write(issuer.file.path(), issuer.key_set("key-1")).unwrap();
        issuer
    }

    fn key_set(&self, id: &str) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x}]}).to_string()
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_token_is_taken_if_everything_about_it_is_right() {
    let issuer = Issuer::new();
    let keys = keys();
    let options = [
        option("api-keys", keys.path()),
        "--jwt-issuer=https://login.example".to_owned(),
        "--jwt-audience=gondola".to_owned(),
        option("jwt-keys", issuer.file.path()),
    ];
    let served = serve(&options).await;
    let header = json!({"alg": "EdDSA", "kid": "key-1"});
    let good = json!({"iss": "https://login.example", "aud": "gondola", "sub": "website", "exp": seconds() + 60,
        "scope": "gondola:read"});
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        claims
    };
    let asked = async |header: &Value, claims: &Value| {
        let token = issuer.token(header, claims);
        ask(&served.main.address, RECOMMEND, &[("authorization", &token)]).await
    };
    let answer = asked(&header, &good).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for (header, claims, message) in [
        (
            json!({"alg": "none"}),
            good.clone(),
            "the token's alg is \"none\"",
        ),
        (
            json!({"alg": "HS256", "kid": "key-1"}),
            good.clone(),
            "the token's alg is \"HS256\"",
        ),
        (
            json!({"alg": "EdDSA", "kid": "key-2"}),
            good.clone(),
            "no key \"key-2\"",
        ),
        (
            header.clone(),
            with("exp", (seconds() - 100).into()),
            "the token expired 1",
        ),
        (
            header.clone(),
            with("iss", "https://else".into()),
            "the token is of another issuer",
        ),
        (
            header.clone(),
            with("aud", "orders".into()),
            "the token is for another audience",
        ),
    ] {
        let answer = asked(&header, &claims).await;
        check_refused(&answer, 401, "UNAUTHENTICATED", message);
    }
    let write_only = asked(&header, &with("scope", "gondola:write read".into())).await;
    let message = "\"website\" may not do this, which needs the scope read, and has write";
    check_refused(&write_only, 403, "PERMISSION_DENIED", message);
    let unsigned = issuer.token(&header, &good);
    let unsigned = &unsigned[..unsigned.rfind('.').unwrap() + 1];
    let answer = ask(&served.main.address, RECOMMEND, &[("authorization", unsigned)]).await;
    check_refused(
        &answer,
        401,
        "UNAUTHENTICATED",
        "the token's signature does not fit",
    );
    // Keys are taken beside tokens.
    let key = [("authorization", "Bearer key-of-website")];
    assert_eq!(ask(&served.main.address, RECOMMEND, &key).await.status, 200);

    // The issuer signs with another key from now on.
    std::fs::write(issuer.file.path(), issuer.key_set("key-2")).unwrap();
    let next = json!({"alg": "EdDSA", "kid": "key-2"});
    until(|| async { asked(&next, &good).await.status == 200 }).await;
    assert_eq!(asked(&header, &good).await.status, 401);
}

/// Answers whatever is asked over TLS with what `answer` holds: a status and a body.
async fn https(authority: &Authority, answer: watch::Receiver<(u16, String)>) -> String {
    let folder = authority.sign("issuer", "localhost");
    let chain = CertificateDer::from_pem_file(folder.join("tls.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let (status, body) = answer.borrow().clone();
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all((head + &body).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    format!("https://localhost:{port}/keys")
}

#[tokio::test]
async fn an_issuers_keys_come_from_its_url_as_soon_as_it_answers() {
    let (issuer, authority) = (Issuer::new(), Authority::new());
    let (answer, answers) = watch::channel((500, "later".to_owned()));
    let url = https(&authority, answers).await;
    let options = [
        "--jwt-issuer=https://login.example".to_owned(),
        "--jwt-audience=gondola".to_owned(),
        format!("--jwt-keys={url}"),
        option("jwt-keys-ca", &authority.ca()),
    ];
    let served = serve(&options).await;
    let claims = json!({"iss": "https://login.example", "aud": ["gondola"], "sub": "website", "exp": seconds() + 60,
        "scope": "gondola:read"});
    let token = issuer.token(&json!({"alg": "EdDSA", "kid": "key-1"}), &claims);
    let asked = async || ask(&served.main.address, RECOMMEND, &[("authorization", &token)]).await;
    let early = asked().await;
    check_refused(
        &early,
        503,
        "UNAVAILABLE",
        "the keys of the token's issuer have not been read yet",
    );
    assert_eq!(early.header("retry-after"), Some("1"));
    answer.send_replace((200, issuer.key_set("key-1")));
    until(|| async { asked().await.status == 200 }).await;
    // What can't be read changes nothing.
    answer.send_replace((200, "x".repeat(1 << 20)));
    assert_eq!(asked().await.status, 200);
}

#[tokio::test]
async fn a_client_that_asks_too_often_hears_when_it_may_again() {
    let keys = keys();
    let options = [
        option("api-keys", keys.path()),
        "--rate-per-second=1".to_owned(),
        "--rate-burst=2".to_owned(),
    ];
    let served = serve(&options).await;
    let main = &served.main.address;
    let with = |key| [("x-api-key", key)];
    for _ in 0..2 {
        assert_eq!(ask(main, RECOMMEND, &with("key-of-website")).await.status, 200);
    }
    // On a slow machine the bucket fills meanwhile.
    let late = loop {
        let answer = ask(main, RECOMMEND, &with("key-of-website")).await;
        if answer.status != 200 {
            break answer;
        }
    };
    check_refused(
        &late,
        429,
        "RESOURCE_EXHAUSTED",
        "too many requests of this client; wait 1 s",
    );
    assert_eq!(late.header("retry-after"), Some("1"));
    assert_eq!(
        ask(main, RECOMMEND, &with("key-of-loader")).await.status,
        200,
        "others may"
    );
    let mut grpc = served.main.grpc().await;
    let status = loop {
        let mut request = Request::new(RecommendRequest::default());
        request
            .metadata_mut()
            .insert("x-api-key", "key-of-website".parse().unwrap());
        if let Err(status) = grpc.recommend(request).await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.metadata().get("retry-after").unwrap(), "1");

    // Whoever guesses keys is counted by address, and hears nothing more.
    assert_eq!(ask(main, RECOMMEND, &with("a guess")).await.status, 401);
    until(|| async { ask(main, RECOMMEND, &with("a guess")).await.status == 429 }).await;
    // The admin port has no limits.
    for _ in 0..5 {
        assert_eq!(
            ask(&served.admin, RECOMMEND, &with("key-of-loader")).await.status,
            200
        );
    }
}

#[tokio::test]
async fn requests_of_one_client_at_once_are_bounded() {
    let served = serve(&[
        "--concurrency-per-client=1".to_owned(),
        "--deadline-ms=60000".to_owned(),
    ])
    .await;
    served.gate.close();
    let address = served.main.address.clone();
    let first = tokio::spawn(async move { get(&address, RECOMMEND).await });
    until(|| async { served.gate.arrived() == 1 }).await;
    let second = get(&served.main.address, RECOMMEND).await;
    check_refused(
        &second,
        429,
        "RESOURCE_EXHAUSTED",
        "this client has 1 requests under way",
    );
    assert_eq!(second.header("retry-after"), Some("1"));
    served.gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(get(&served.main.address, RECOMMEND).await.status, 200);
}

#[tokio::test]
async fn an_answer_has_the_id_of_its_request() {
    let served = serve(&[]).await;
    let main = &served.main.address;
    let own = ask(main, RECOMMEND, &[("x-request-id", "page-7")]).await;
    assert_eq!(own.header("x-request-id"), Some("page-7"));
    for answer in [
        ask(main, RECOMMEND, &[("x-request-id", "two words")]).await,
        get(main, "/v1/recommend?user=anna&k=0").await,
        get(main, "/metrics").await,
    ] {
        assert_eq!(
            answer.header("x-request-id").map(str::len),
            Some(32),
            "{answer:?}"
        );
    }
    let mut request = Request::new(RecommendRequest::default());
    request
        .metadata_mut()
        .insert("x-request-id", "call-8".parse().unwrap());
    let answer = served.main.grpc().await.recommend(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "call-8");
}

#[tokio::test]
async fn pages_of_an_origin_may_ask_and_browsers_are_told_before_they_have_a_key() {
    let keys = keys();
    let options = [
        option("api-keys", keys.path()),
        "--cors-origin=https://shop.example,https://b.example".to_owned(),
    ];
    let served = serve(&options).await;
    let preflight = async |address: &str, origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "GET")];
        send_with(address, "OPTIONS", RECOMMEND, &headers, "").await
    };
    let allowed = preflight(&served.main.address, "https://shop.example").await;
    assert_eq!(allowed.status, 204);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://shop.example")
    );
    assert_eq!(allowed.header("access-control-allow-methods"), Some("GET"));
    assert!(
        allowed
            .header("access-control-allow-headers")
            .unwrap()
            .contains("x-api-key")
    );
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    let other = preflight(&served.main.address, "https://else.example").await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    let inside = preflight(&served.admin, "https://shop.example").await;
    assert_eq!(
        (inside.status, inside.header("access-control-allow-origin")),
        (401, None)
    );

    let headers = [("origin", "https://b.example"), ("x-api-key", "key-of-website")];
    let answer = ask(&served.main.address, RECOMMEND, &headers).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://b.example")
    );
    assert_eq!(answer.header("vary"), Some("origin"));
    // A page learns what was wrong, too.
    let answer = ask(&served.main.address, RECOMMEND, &headers[..1]).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, Some("https://b.example"))
    );
}

#[tokio::test]
async fn an_arm_is_shown_on_the_main_port_to_whom_it_was_signed_for() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "0123456789abcdef").unwrap();
    let served = serve(&[option("arm-key", key.path())]).await;
    let signed = |user: &str, expires: u64| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let code = hmac::sign(&key, format!("forest\n{user}\n{expires}").as_bytes());
        format!("{expires}.{}", hex::encode(code))
    };
    let asked = async |signature: &str| {
        let headers = [
            ("x-gondola-arm", "forest"),
            ("x-gondola-arm-signature", signature),
        ];
        ask(&served.main.address, RECOMMEND, &headers).await
    };
    let answer = asked(&signed("anna", seconds() + 60)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for (signature, message) in [
        (signed("ben", seconds() + 60), "does not fit the arm and the user"),
        (signed("anna", seconds() - 60), "expired 6"),
        (signed("anna", seconds() + 90_000), "at most 86400 are taken"),
        ("nonsense".to_owned(), "can't be read"),
    ] {
        check_refused(&asked(&signature).await, 403, "PERMISSION_DENIED", message);
    }
    let mut request = Request::new(RecommendRequest {
        user: "ben".to_owned(),
        ..RecommendRequest::default()
    });
    let metadata = request.metadata_mut();
    metadata.insert("x-gondola-arm", "forest".parse().unwrap());
    let signature = signed("anna", seconds() + 60);
    metadata.insert("x-gondola-arm-signature", signature.parse().unwrap());
    let status = served.main.grpc().await.recommend(request).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}
