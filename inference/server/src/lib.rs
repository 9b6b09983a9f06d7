//! HTTP and gRPC on one port or two, health, metrics, and an orderly end, in front of whatever answers.
//!
//! [`connections`] are accepted and ended, in plain text or over [`tls`]; [`ports`] say what is served on which, and [`access`] who may
//! send it. A request comes in through [`http`] or [`grpc`], or as clients of Triton and KServe send it (`open_inference.rs`),
//! is checked ([`changes`] too) and counted by [`front`], a question if `room.rs` has a place for it, and is answered by a [`Recommender`](gondola_protocol::Recommender): a variant's models, or
//! the router, which is an [`experimenter`] as well. Errors become statuses here and nowhere else.
//!
//! [`traces`] follow a request from the client through router and variant to its stages.
//!
//! [`arguments`] and [`program`] are what every program that serves has in common: its options, its log, its end.
//!
//! Absent on purpose: models, routing, Kubernetes.

pub mod access;
pub mod arguments;
pub mod changes;
pub mod connections;
pub mod experimenter;
pub mod front;
pub mod grpc;
pub mod http;
mod http_error;
pub mod metrics;
mod open_inference;
mod openapi;
pub mod ports;
pub mod program;
mod query;
mod reloading;
mod request_id;
mod room;
pub mod tls;
pub mod traces;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use access::{Guard, Port};
use connections::{Door, Limits, Stage};
use front::{Destination, Front};
use gondola_protocol::proto;
use ports::MainPort;
use tls::ServerTls;

/// How long after the signal HTTP/2 clients are asked to go elsewhere: load balancers know by that time.
const GO_AWAY_AFTER: Duration = Duration::from_secs(2);

/// Why a server could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else listens there.
    #[error("{address} is in use already; stop what listens there, or choose another with --listen")]
    InUse {
        /// Where.
        address: String,
    },
    /// The address can't be listened on.
    #[error("cannot listen on {address}; choose another with --listen, for example 127.0.0.1:8080")]
    Listen {
        /// Where.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The server broke.
    #[error("the server stopped")]
    Serve(#[source] io::Error),
}

/// How a server ends.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long it keeps accepting requests after it became unready, so that load balancers can notice.
    pub notice: Duration,
    /// How long requests that are being answered are waited for.
    pub patience: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            notice: Duration::ZERO,
            patience: Duration::from_secs(30),
        }
    }
}

/// A server that listens: clients can connect, and get "not ready" until [`Opening::open`].
pub struct Server {
    listener: TcpListener,
    admin: Option<(TcpListener, MainPort)>,
    limits: Limits,
    guard: Arc<Guard>,
    tls: Option<ServerTls>,
    front: Arc<Front>,
    health: HealthReporter,
}

impl Server {
    /// Listens on `address`.
    pub async fn bind(address: &str, front: Front) -> Result<Self, ServeError> {
        let listener = listen(address).await?;
        let health = HealthReporter::new();
        let server = Self {
            listener,
            admin: None,
            limits: Limits::default(),
            guard: Arc::default(),
            tls: None,
            front: Arc::new(front),
            health,
        };
        server
            .opening()
            .report(tonic_health::ServingStatus::NotServing)
            .await;
        Ok(server)
    }

    /// Listens on another address too, where everything is served; `main` says what of it is served on the first.
    pub async fn with_admin(mut self, address: &str, main: MainPort) -> Result<Self, ServeError> {
        self.admin = Some((listen(address).await?, main));
        Ok(self)
    }

    /// Bounds connections otherwise.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Puts a guard before what its ports serve.
    pub fn with_guard(mut self, guard: Guard) -> Self {
        self.guard = Arc::new(guard);
        self
    }

    /// Takes connections over TLS alone.
    pub fn with_tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Serve)
    }

    /// Where its admin port listens, if it has one.
    pub fn admin_address(&self) -> Result<Option<SocketAddr>, ServeError> {
        let listener = self.admin.as_ref().map(|(listener, _)| listener);
        listener
            .map(TcpListener::local_addr)
            .transpose()
            .map_err(ServeError::Serve)
    }

    /// The entry point, for its counters.
    pub fn front(&self) -> &Arc<Front> {
        &self.front
    }

    /// What makes the server ready, to be used when everything is loaded.
    pub fn opening(&self) -> Opening {
        Opening {
            front: Arc::clone(&self.front),
            health: self.health.clone(),
        }
    }

    /// Serves until `shutdown` is there, then finishes what was begun.
    pub async fn serve(
        self,
        drain: Drain,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let opening = self.opening();
        let (stage, stages) = watch::channel(Stage::Serving);
        let mut serving = JoinSet::new();
        let limits = self.limits;
        for door in self.doors() {
            serving.spawn(door.serve(limits, stages.clone()));
        }
        let end = async {
            shutdown.await;
            opening.front.drain();
            opening.report(tonic_health::ServingStatus::NotServing).await;
            stage.send_replace(Stage::Leaving);
            let early = GO_AWAY_AFTER.min(drain.notice);
            tokio::time::sleep(early).await;
            stage.send_replace(Stage::GoingAway);
            tokio::time::sleep(drain.notice - early).await;
            stage.send_replace(Stage::Stopping);
            tokio::time::sleep(drain.patience).await;
        };
        tokio::select! {
            ended = async { while serving.join_next().await.transpose()?.is_some() {} Ok(()) } => {
                ended.map_err(|error: JoinError| ServeError::Serve(error.into()))
            }
            () = end => {
                tracing::warn!(patience = ?drain.patience, "some requests were not answered in time; stopping without them");
                Ok(())
            }
        }
    }

    fn doors(self) -> Vec<Door> {
        let app = routes(&self.front, &self.health);
        let guarded = |app, port| access::guarded(app, &self.guard, &self.front, port);
        let (main, admin) = match self.admin {
            None => (ports::only_port(app, &self.front), None),
            Some((listener, main)) => {
                let shows_certificates = self.tls.as_ref().is_some_and(ServerTls::asks_clients);
                let everything = ports::admin_port(app.clone(), shows_certificates);
                let admin = Door {
                    listener,
                    app: guarded(everything, Port::Admin),
                    tls: self.tls.as_ref().map(ServerTls::admin),
                };
                (ports::main_port(app, main, &self.front), Some(admin))
            }
        };
        let main = Door {
            listener: self.listener,
            app: guarded(main, Port::Main),
            tls: self.tls.as_ref().map(ServerTls::main),
        };
        std::iter::once(main).chain(admin).collect()
    }
}

/// Listens at an address. `[::]` is every address of both kinds.
pub async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    let wrong = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse {
            address: address.to_owned(),
        },
        _ => ServeError::Listen {
            address: address.to_owned(),
            source,
        },
    };
    match TcpListener::bind(address).await {
        // Where the kernel has no IPv6 at all, every address is every one of IPv4.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) && address.starts_with("[::]:") => {
            let address = address.replace("[::]", "0.0.0.0");
            TcpListener::bind(address).await.map_err(wrong)
        }
        outcome => outcome.map_err(wrong),
    }
}

/// Makes a server ready.
pub struct Opening {
    front: Arc<Front>,
    health: HealthReporter,
}

impl Opening {
    /// From now on requests are answered by `destination`.
    pub async fn open(self, destination: Destination) {
        self.front.open(destination);
        self.report(tonic_health::ServingStatus::Serving).await;
    }

    async fn report(&self, status: tonic_health::ServingStatus) {
        for service in ["", proto::SERVICE] {
            self.health.set_service_status(service, status).await;
        }
    }
}

fn routes(front: &Arc<Front>, health: &HealthReporter) -> axum::Router {
    let health = tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(health.clone()),
    );
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(gondola_open_inference::proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the definitions were compiled with this program");
    Routes::from(http::routes(Arc::clone(front)))
        .add_service(grpc::service(Arc::clone(front)))
        .add_service(open_inference::grpc::service(Arc::clone(front)))
        .add_service(health)
        .add_service(reflection)
        .into_axum_router()
}
