//! An S3-compatible server for tests: moto's, which `make setup` installs and GONDOLA_S3_SERVER names.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gondola_artifacts::Access;

/// A server that ends with this value.
pub(crate) struct S3 {
    server: Child,
    pub(crate) endpoint: String,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl S3 {
    /// Starts the server with an empty bucket `models`; none where there is no server.
    pub(crate) fn start() -> Option<Self> {
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

    pub(crate) fn access(&self, credentials: &Path) -> Access {
        Access {
            credentials: Some(credentials.to_owned()),
            endpoint: Some(self.endpoint.clone()),
            ..Access::default()
        }
    }
}

/// A folder as a Secret is mounted.
pub(crate) fn credentials() -> tempfile::TempDir {
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
