//! A server of Azure's blobs for tests: Azurite, which `make test-azure` installs and GONDOLA_AZURE_SERVER names.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gondola_artifacts::Access;
use ring::hmac;

use crate::server::Server;

/// The account that Azurite has, and its published key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server that ends with this value.
pub(crate) struct Azure {
    server: Server,
    credentials: tempfile::TempDir,
}

impl Azure {
    /// Starts the server with an empty container `models`; none where there is no server.
    pub(crate) fn start() -> Option<Self> {
        let arguments = |port: &str| {
            let quiet = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck"];
            let place = ["--blobHost", "127.0.0.1", "--blobPort", port];
            quiet.into_iter().chain(place).map(str::to_owned).collect()
        };
        let server = Server::start(
            "GONDOLA_AZURE_SERVER",
            "make test-azure",
            arguments,
            make_container,
        )?;
        Some(Self {
            server,
            credentials: credentials(),
        })
    }

    pub(crate) fn access(&self) -> Access {
        Access {
            credentials: Some(self.credentials.path().to_owned()),
            endpoint: Some(format!("http://{}/{ACCOUNT}", self.server.address)),
            ..Access::default()
        }
    }
}

/// Containers are made by whoever owns the account, never by a pipeline, so that no client of ours can.
fn make_container(server: &Server) -> bool {
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-12-02");
    let resource = format!("/{ACCOUNT}/{ACCOUNT}/models\nrestype:container");
    let signed = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n{resource}");
    let key = BASE64_STANDARD.decode(KEY).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
    let headers = format!(
        "x-ms-date: {date}\r\nx-ms-version: 2021-12-02\r\nAuthorization: SharedKey {ACCOUNT}:{signature}\r\n"
    );
    server.put(&format!("/{ACCOUNT}/models?restype=container"), &headers, 201)
}

/// A folder as a Secret is mounted.
fn credentials() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
    ] {
        std::fs::write(folder.path().join(name), value).unwrap();
    }
    folder
}
