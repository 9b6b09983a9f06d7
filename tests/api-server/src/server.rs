//! The API server as a test holds it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use hyper::http;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Config, ResourceExt};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::binaries::Binaries;
use crate::kinds::KINDS;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::traffic::Traffic;

/// How long the server may take to be healthy, and a kind to be served: alone it takes a second, beside a build more.
const READY: Duration = Duration::from_secs(60);
/// How often is looked whether it is.
const LOOK: Duration = Duration::from_millis(20);

/// A Kubernetes API server with the built-in kinds, and the proxy in front of it. Both end with this value.
///
/// It can be shared by tests with runtimes of their own: put each test's objects into a namespace of its own.
pub struct ApiServer {
    // In this order they are dropped: no request meets a server that is going.
    proxy: Proxy,
    traffic: Traffic,
    process: Process,
}

impl ApiServer {
    /// Starts a server, or says in one line that it can't be, because its programs have not been made, and gives none.
    ///
    /// ```ignore
    /// let Some(server) = ApiServer::start().await? else { return Ok(()) };
    /// ```
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let binaries = match Binaries::find() {
            Ok(binaries) => binaries,
            Err(folder) => {
                let name = std::thread::current().name().unwrap_or("a test").to_owned();
                let folder = folder.display();
                // Past the test runner, which shows what a test prints only when it fails.
                writeln!(
                    std::io::stderr(),
                    "{name}: skipped, there is no API server in {folder} (make api-server)"
                )?;
                return Ok(None);
            }
        };
        let process = tokio::task::spawn_blocking(move || Process::start(&binaries)).await??;
        let traffic = Traffic::new();
        let proxy = Proxy::start(process.url(), traffic.clone())?;
        let server = Self {
            proxy,
            traffic,
            process,
        };
        server.make_ready().await.with_context(|| server.process.logs())?;
        Ok(Some(server))
    }

    /// A client as an operator's: through the proxy. It belongs to the runtime that it is made in.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::try_from(self.config()?)?)
    }

    /// [`ApiServer::client`]'s configuration, to which headers (a `user-agent`) or time limits can be added.
    pub fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::new(self.url().parse()?))
    }

    /// A client past the proxy: not recorded, not spoiled, and with the names under which the server knows the kinds.
    pub fn direct(&self) -> anyhow::Result<Client> {
        Ok(Client::try_from(Config::new(self.process.url().parse()?))?)
    }

    /// Where clients find the proxy, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.proxy.url()
    }

    /// Writes a kubeconfig for a program that is started beside (`KUBECONFIG`); it leads through the proxy.
    pub fn kubeconfig(&self, namespace: &str) -> anyhow::Result<PathBuf> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url()}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        });
        let path = self.folder().join(format!("kubeconfig-{namespace}"));
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// The requests that went through the proxy, and its faults.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The folder of the server's data and logs; gone with this value.
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// Registers a kind and returns when it is served.
    pub async fn install(&self, definition: CustomResourceDefinition) -> anyhow::Result<()> {
        install(&self.impatient()?, definition).await
    }

    /// A client that does not wait a second when the server answers that a new kind's storage is not ready.
    fn impatient(&self) -> anyhow::Result<Client> {
        let mut config = Config::new(self.process.url().parse()?);
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    async fn make_ready(&self) -> anyhow::Result<()> {
        let client = self.impatient()?;
        wait_until_found(&client, "/healthz")
            .await
            .context("the API server does not become healthy")?;
        try_join_all(KINDS.iter().map(|kind| install(&client, kind.definition()))).await?;
        Ok(())
    }
}

async fn install(client: &Client, definition: CustomResourceDefinition) -> anyhow::Result<()> {
    let spec = &definition.spec;
    let version = spec
        .versions
        .iter()
        .find(|version| version.served)
        .context("no version of the kind is served")?;
    let path = format!("/apis/{}/{}/{}", spec.group, version.name, spec.names.plural);
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions
        .create(&PostParams::default(), &definition)
        .await
        .with_context(|| format!("the API server refuses the kind {}", spec.names.kind))?;
    // A list and not an object: lists come from the server's cache, and wait for it.
    wait_until_found(client, &path).await?;
    grow_old(&definitions, &definition).await
}

/// Says that the kind has been there for long: objects of a kind younger than two seconds are created only after two
/// seconds, because another API server might not know it yet. There is no other.
async fn grow_old(
    definitions: &Api<CustomResourceDefinition>,
    definition: &CustomResourceDefinition,
) -> anyhow::Result<()> {
    let status = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "status": {"conditions": [{
            "type": "Established", "status": "True", "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted", "lastTransitionTime": "2020-01-01T00:00:00Z",
        }]},
    });
    let how = PatchParams::apply("gondola-test-api-server").force();
    definitions
        .patch_status(&definition.name_any(), &how, &Patch::Apply(&status))
        .await?;
    Ok(())
}

/// Waits until a GET of the path is answered well.
async fn wait_until_found(client: &Client, path: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        let request = http::Request::get(path).body(Vec::new())?;
        let Err(error) = client.request_text(request).await else {
            return Ok(());
        };
        if Instant::now() > deadline {
            bail!("{path} is not found after {READY:?}: {error}");
        }
        sleep(LOOK).await;
    }
}
