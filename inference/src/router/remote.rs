//! A variant in other processes, asked over gRPC.
//!
//! Addresses take turns, because a gRPC connection stays with the pod that it was made to. What one address can't answer is
//! asked once more at the next, as long as the deadline allows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::join_all;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::features::{ItemId, RawRow, UserId};
use crate::pipeline::{RecommendRequest, SimilarRequest, SimilarTo, UserUpdate};
use crate::server::front::LARGEST_BODY;
use crate::server::grpc;
use crate::server::proto::recommender_client::RecommenderClient;
use crate::server::proto::{self, similar_request};
use crate::server::service::{Code, PipelineDescription, Recommender, Served, ServiceError};

const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// A connection whose other end is gone without a word is found out by pings.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_WITHIN: Duration = Duration::from_secs(3);

/// Why a variant can't be asked at an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no address.
    #[error("{address:?} of variant {variant} is no address; write HOST:PORT")]
    Form {
        /// The variant.
        variant: String,
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// There is none.
    #[error("variant {variant} has no address; give it one")]
    None {
        /// The variant.
        variant: String,
    },
}

/// A variant at one address or several. Connections are made when they are needed.
pub struct RemoteVariant {
    name: Arc<str>,
    peers: Vec<Peer>,
    next: AtomicUsize,
}

#[derive(Clone)]
struct Peer {
    address: String,
    client: RecommenderClient<Channel>,
}

impl Peer {
    fn new(variant: &str, address: &str) -> Result<Self, AddressError> {
        let wrong = |source| AddressError::Form {
            variant: variant.to_owned(),
            address: address.to_owned(),
            source,
        };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(wrong)?;
        let channel = endpoint
            .connect_timeout(CONNECT_WITHIN)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .connect_lazy();
        Ok(Self {
            address: address.to_owned(),
            client: RecommenderClient::new(channel).max_decoding_message_size(LARGEST_BODY),
        })
    }
}

/// Connections by address, for variants whose addresses come and go.
#[derive(Default)]
pub struct Connections(HashMap<String, Peer>);

impl Connections {
    fn to(&mut self, variant: &str, address: &str) -> Result<Peer, AddressError> {
        if let Some(peer) = self.0.get(address) {
            return Ok(peer.clone());
        }
        let peer = Peer::new(variant, address)?;
        self.0.insert(address.to_owned(), peer.clone());
        Ok(peer)
    }

    /// Forgets connections to addresses that are not used any more. Requests that are under way end as they would.
    pub fn forget_all_but<'a>(&mut self, addresses: impl Iterator<Item = &'a String>) {
        let used: HashSet<&String> = addresses.collect();
        self.0.retain(|address, _| used.contains(address));
    }
}

impl RemoteVariant {
    /// The variant `name` at `addresses`, each as `HOST:PORT`. Must be called within Tokio.
    pub fn new(name: &str, addresses: &[String]) -> Result<Self, AddressError> {
        if addresses.is_empty() {
            return Err(AddressError::None {
                variant: name.to_owned(),
            });
        }
        Self::kept(name, addresses, &mut Connections::default())
    }

    /// The same with connections that are kept; without any address it answers that it can't be reached.
    pub fn kept(
        name: &str,
        addresses: &[String],
        connections: &mut Connections,
    ) -> Result<Self, AddressError> {
        let peers = addresses.iter().map(|address| connections.to(name, address));
        Ok(Self {
            name: name.into(),
            peers: peers.collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
        })
    }

    /// Why nobody is asked where there is nobody.
    fn nobody(&self) -> ServiceError {
        ServiceError::Unreachable {
            variant: Arc::clone(&self.name),
            addresses: Vec::new(),
            problem: "it has no pod that is ready".to_owned(),
        }
    }

    /// Asks the next address, and the one after it if that one can't answer.
    async fn ask<M, T, F>(
        &self,
        deadline: Instant,
        message: M,
        ask: impl Fn(RecommenderClient<Channel>, Request<M>) -> F,
    ) -> Result<T, ServiceError>
    where
        M: Clone,
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        if self.peers.is_empty() {
            return Err(self.nobody());
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let peer = |turn: usize| &self.peers[(first + turn) % self.peers.len()];
        let turns = self.peers.len().min(2);
        let mut outcome = ask_peer(peer(0), deadline, message.clone(), &ask).await;
        for turn in 1..turns {
            match &outcome {
                Err(status) if another_may_answer(status) && Instant::now() < deadline => {
                    outcome = ask_peer(peer(turn), deadline, message.clone(), &ask).await;
                }
                _ => break,
            }
        }
        outcome.map_err(|status| {
            self.error(
                &status,
                (0..turns).map(|turn| peer(turn).address.clone()).collect(),
            )
        })
    }

    /// Makes a change at every address.
    async fn put<M, T, F>(
        &self,
        deadline: Instant,
        message: M,
        put: impl Fn(RecommenderClient<Channel>, Request<M>) -> F,
    ) -> Result<(), ServiceError>
    where
        M: Clone,
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        if self.peers.is_empty() {
            return Err(self.nobody());
        }
        let outcomes = join_all(
            self.peers
                .iter()
                .map(|peer| ask_peer(peer, deadline, message.clone(), &put)),
        )
        .await;
        for (peer, outcome) in self.peers.iter().zip(outcomes) {
            outcome.map_err(|status| self.error(&status, vec![peer.address.clone()]))?;
        }
        Ok(())
    }

    fn error(&self, status: &Status, addresses: Vec<String>) -> ServiceError {
        let message = status.message().to_owned();
        match grpc::code(status.code()) {
            Code::Unavailable => ServiceError::Unreachable {
                variant: Arc::clone(&self.name),
                addresses,
                problem: message,
            },
            code => ServiceError::Remote { code, message },
        }
    }
}

async fn ask_peer<M, T, F>(
    peer: &Peer,
    deadline: Instant,
    message: M,
    ask: impl Fn(RecommenderClient<Channel>, Request<M>) -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    match tokio::time::timeout_at(deadline.into(), ask(peer.client.clone(), request)).await {
        Ok(response) => Ok(response?.into_inner()),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "{} did not answer before the deadline",
            peer.address
        ))),
    }
}

/// Whether the same ask may go better elsewhere: the pod is gone, stopping, broken or has too much to do.
fn another_may_answer(status: &Status) -> bool {
    matches!(
        grpc::code(status.code()),
        Code::Unavailable | Code::Internal | Code::ResourceExhausted
    )
}

#[async_trait]
impl Recommender for RemoteVariant {
    async fn recommend(&self, request: RecommendRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let message = proto::RecommendRequest {
            user: request.user.as_str().to_owned(),
            k: request.k.map(saturated),
            explain_timing: true,
        };
        let ask =
            |mut client: RecommenderClient<Channel>, request| async move { client.recommend(request).await };
        Ok(self.ask(deadline, message, ask).await?.into())
    }

    async fn similar(&self, request: SimilarRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let to = match request.to {
            SimilarTo::Item(item) => similar_request::To::Item(item.as_str().to_owned()),
            SimilarTo::Text(text) => similar_request::To::Text(text),
        };
        let message = proto::SimilarRequest {
            to: Some(to),
            k: request.k.map(saturated),
            explain_timing: true,
        };
        let ask =
            |mut client: RecommenderClient<Channel>, request| async move { client.similar(request).await };
        Ok(self.ask(deadline, message, ask).await?.into())
    }

    async fn put_user(
        &self,
        user: UserId,
        update: UserUpdate,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        let message = proto::PutUserRequest {
            user: user.as_str().to_owned(),
            features: proto::features(update.features),
            history: update.history.map(proto::history),
        };
        let put =
            |mut client: RecommenderClient<Channel>, request| async move { client.put_user(request).await };
        self.put(deadline, message, put).await
    }

    async fn put_item(&self, item: ItemId, features: RawRow, deadline: Instant) -> Result<(), ServiceError> {
        let message = proto::PutItemRequest {
            item: item.as_str().to_owned(),
            features: proto::features(features),
        };
        let put =
            |mut client: RecommenderClient<Channel>, request| async move { client.put_item(request).await };
        self.put(deadline, message, put).await
    }

    async fn describe(&self, deadline: Instant) -> Result<PipelineDescription, ServiceError> {
        let ask = |mut client: RecommenderClient<Channel>, request| async move {
            client.get_pipeline(request).await
        };
        Ok(self
            .ask(deadline, proto::GetPipelineRequest {}, ask)
            .await?
            .into())
    }
}

/// As many as a message can ask for; the pipeline refuses such numbers by itself.
fn saturated(k: usize) -> u32 {
    u32::try_from(k).unwrap_or(u32::MAX)
}
