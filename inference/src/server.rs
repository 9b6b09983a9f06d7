//! gRPC and HTTP on one port, health, metrics, and an orderly end.
//!
//! A request comes in through [`http`] or [`grpc`], is checked and counted by [`front`], and is answered by a
//! [`service::Recommender`]: a variant in this process ([`local`]), whose models run on the threads of [`compute`], or the
//! router ([`crate::router`]). Errors become statuses here and nowhere else.

pub mod compute;
pub mod front;
pub mod grpc;
pub mod http;
pub mod local;
pub mod metrics;
pub mod proto;
pub mod service;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use front::Front;
use service::Recommender;

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
        /// Why.
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
    /// How long it goes on taking requests after it said that it is not ready, so that load balancers can look.
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

/// A server that listens: clients can connect, and are told that nothing is ready until [`Server::open`].
pub struct Server {
    listener: TcpListener,
    front: Arc<Front>,
    health: HealthReporter,
}

impl Server {
    /// Listens on `address`.
    pub async fn bind(address: &str, front: Front) -> Result<Self, ServeError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => ServeError::InUse {
                    address: address.to_owned(),
                },
                _ => ServeError::Listen {
                    address: address.to_owned(),
                    source,
                },
            })?;
        let health = HealthReporter::new();
        let server = Self {
            listener,
            front: Arc::new(front),
            health,
        };
        server
            .opening()
            .report(tonic_health::ServingStatus::NotServing)
            .await;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Serve)
    }

    /// The way in, for counting.
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
        let app = routes(&self.front, &self.health);
        // Small answers must not wait for more of them.
        let listener = self.listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let (stop, mut stopping) = watch::channel(false);
        let mut told = stop.subscribe();
        let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        tokio::spawn(async move {
            shutdown.await;
            opening.front.drain();
            opening.report(tonic_health::ServingStatus::NotServing).await;
            tokio::time::sleep(drain.notice).await;
            let _ = stop.send(true);
        });
        let give_up = async {
            // An error means that the server ended by itself; then there is nothing to give up.
            if told.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(drain.patience).await;
        };
        tokio::select! {
            served = async { serving.await } => served.map_err(ServeError::Serve),
            () = give_up => {
                tracing::warn!(patience = ?drain.patience, "some requests were not answered in time; stopping without them");
                Ok(())
            }
        }
    }
}

/// Makes a server ready.
pub struct Opening {
    front: Arc<Front>,
    health: HealthReporter,
}

impl Opening {
    /// From now on requests are answered by `recommender`.
    pub async fn open(self, recommender: Arc<dyn Recommender>) {
        self.front.open(recommender);
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
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the definitions were compiled with this program");
    Routes::from(http::routes(Arc::clone(front)))
        .add_service(grpc::service(Arc::clone(front)))
        .add_service(health)
        .add_service(reflection)
        .into_axum_router()
}
