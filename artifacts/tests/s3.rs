//! Bundles in an S3-compatible store: moto's server, which `make setup` installs and GONDOLA_S3_SERVER names.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gondola_artifacts::{
    Access, BundleDescription, Cache, Contract, Digest, Kind, Reference, Store, publish, resolve, set_channel,
};

/// A server that ends with this value.
struct S3 {
    server: Child,
    endpoint: String,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl S3 {
    /// Starts the server with an empty bucket `models`; none where there is no server.
    fn start() -> Option<Self> {
        let Ok(program) = std::env::var("GONDOLA_S3_SERVER") else {
            eprintln!("not run: GONDOLA_S3_SERVER names no S3-compatible server; make test sets it");
            return None;
        };
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let started = Instant::now();
        let s3 = Self {
            server,
            endpoint: format!("http://{address}"),
        };
        while !s3.make_bucket() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "the S3 server does not answer"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(s3)
    }

    fn make_bucket(&self) -> bool {
        let address = self.endpoint.trim_start_matches("http://");
        let Ok(mut connection) = TcpStream::connect(address) else {
            return false;
        };
        let request = format!(
            "PUT /models HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let mut answer = String::new();
        connection.write_all(request.as_bytes()).is_ok()
            && connection.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    fn access(&self, credentials: &Path) -> Access {
        Access {
            credentials: Some(credentials.to_owned()),
            endpoint: Some(self.endpoint.clone()),
        }
    }
}

/// A folder as a Secret is mounted.
fn credentials() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ] {
        std::fs::write(folder.path().join(name), value).unwrap();
    }
    folder
}

#[tokio::test]
async fn a_bundle_goes_through_s3_and_comes_back_whole() {
    let Some(s3) = S3::start() else {
        return;
    };
    let credentials = credentials();
    let store = Store::open_with("s3://models/grocery", &s3.access(credentials.path())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000u32).map(|byte| byte as u8).collect();
    std::fs::write(folder.path().join("users.parquet"), &content).unwrap();
    let description = BundleDescription {
        name: "features".into(),
        kind: Kind::Features,
        contract: Contract {
            workflow: Some(Digest::of(b"workflow")),
            ..Contract::default()
        },
    };
    let reference: Reference = "features@stable".parse().unwrap();
    let first = publish(&store, folder.path(), &description).await.unwrap();
    set_channel(&store, "features", "stable", &first.version)
        .await
        .unwrap();
    // The channel moves: on S3 that is a put on condition.
    std::fs::write(folder.path().join("users.parquet"), &content[1..]).unwrap();
    let second = publish(&store, folder.path(), &description).await.unwrap();
    set_channel(&store, "features", "stable", &second.version)
        .await
        .unwrap();

    let resolved = resolve(&store, &reference).await.unwrap();
    assert_eq!(resolved.version, second.version);
    let cache_folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(cache_folder.path()).unwrap();
    let bundle = cache.fetch(&store, &resolved, &|_| {}).await.unwrap();
    assert_eq!(
        std::fs::read(bundle.path.join("users.parquet")).unwrap(),
        content[1..]
    );
    let kept = cache
        .find(resolved.digest)
        .await
        .expect("it is here, and no store is asked");
    assert_eq!(kept.path, bundle.path);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_an_error_and_no_panic() {
    let Some(s3) = S3::start() else {
        return;
    };
    let credentials = credentials();
    let access = s3.access(credentials.path());
    let elsewhere = Store::open_with("s3://no-such-bucket/grocery", &access).unwrap();
    let reference: Reference = "features@stable".parse().unwrap();
    let error = resolve(&elsewhere, &reference).await.unwrap_err();
    assert!(error.to_string().contains("features@stable"), "{error}");
}
