//! A server of Azure's blobs for tests: Azurite, which `make test-azure` installs and GONDOLA_AZURE_SERVER names.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gondola_artifacts::Access;
use ring::hmac;

/// The account that Azurite has, and its published key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server that ends with this value.
pub(crate) struct Azure {
    server: Child,
    address: String,
    credentials: tempfile::TempDir,
}

impl Drop for Azure {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Azure {
    /// Starts the server with an empty container `models`; none where there is no server.
    pub(crate) fn start() -> Option<Self> {
        let Ok(program) = std::env::var("GONDOLA_AZURE_SERVER") else {
            eprintln!("not run: GONDOLA_AZURE_SERVER names no Azurite; make test-azure sets it");
            return None;
        };
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = Command::new(&program)
            .args(["--inMemoryPersistence", "--silent", "--skipApiVersionCheck"])
            .args([
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &address.port().to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let started = Instant::now();
        let azure = Self {
            server,
            address: address.to_string(),
            credentials: credentials(&format!("http://{address}/{ACCOUNT}")),
        };
        while !azure.make_container() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "Azurite does not answer"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(azure)
    }

    /// Containers are made by whoever owns the account, never by a pipeline, so that no client of ours can.
    fn make_container(&self) -> bool {
        let Ok(mut connection) = TcpStream::connect(&self.address) else {
            return false;
        };
        let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
        let headers = format!("x-ms-date:{date}\nx-ms-version:2021-12-02");
        let resource = format!("/{ACCOUNT}/{ACCOUNT}/models\nrestype:container");
        let signed = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n{resource}");
        let key = BASE64_STANDARD.decode(KEY).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = BASE64_STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        let request = format!(
            "PUT /{ACCOUNT}/models?restype=container HTTP/1.1\r\nHost: {}\r\nx-ms-date: {date}\r\nx-ms-version: 2021-12-02\r\nAuthorization: SharedKey {ACCOUNT}:{signature}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        let mut answer = String::new();
        connection.write_all(request.as_bytes()).is_ok()
            && connection.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 201")
    }

    pub(crate) fn access(&self) -> Access {
        Access {
            credentials: Some(self.credentials.path().to_owned()),
            ..Access::default()
        }
    }
}

/// A folder as a Secret is mounted.
fn credentials(endpoint: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
        ("AZURE_STORAGE_ENDPOINT", endpoint),
        ("AZURE_ALLOW_HTTP", "true"),
    ] {
        std::fs::write(folder.path().join(name), value).unwrap();
    }
    folder
}
