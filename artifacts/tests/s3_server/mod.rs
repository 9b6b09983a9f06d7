//! An S3-compatible server for tests: moto's, which `make setup` installs and GONDOLA_S3_SERVER names.

use std::path::Path;

use gondola_artifacts::Access;

use crate::server::Server;

/// A server that ends with this value.
pub(crate) struct S3(Server);

impl S3 {
    /// Starts the server with an empty bucket `models`; none where there is no server.
    pub(crate) fn start() -> Option<Self> {
        let arguments = |port: &str| ["-H", "127.0.0.1", "-p", port].map(str::to_owned).to_vec();
        let make_bucket = |server: &Server| server.put("/models", "", 200);
        Server::start("GONDOLA_S3_SERVER", "make test", arguments, make_bucket).map(Self)
    }

    pub(crate) fn access(&self, credentials: &Path) -> Access {
        Access {
            credentials: Some(credentials.to_owned()),
            endpoint: Some(format!("http://{}", self.0.address)),
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
