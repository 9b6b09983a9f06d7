//! A variant in other processes, called over gRPC.
//!
//! Of the healthy pods, the one with the fewest running requests is called, in turn if they are equal. Another one is called
//! too when a pod fails, or takes longer than nineteen of twenty answers do; the first answer wins. `peer` knows which pods
//! can be counted on, `hedge` how long answers take. A change goes to one pod, which hands it to the online store of all of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tonic::transport::Channel;
use tonic::{Request, Status};

use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_protocol::proto::{self, similar_request};
use gondola_protocol::{
    ChangeReceipt, Code, Explained, Inquiry, PipelineDescription, Recommender, Served, ServiceError, Visit,
};
use gondola_request::{Change, ExplainRequest, Question, RecommendRequest, Rules, SimilarRequest, SimilarTo};
use gondola_server::tls::ClientTls;
use gondola_server::traces::{self, Span};

use crate::hedge::{Cause, Outlive, Pace, first_answer};
pub use crate::peer::AddressError;
use crate::peer::{self, Peer};

/// Maximum number of pods that one request may try.
const MAX_ASKED: usize = 3;

/// A variant at one address or several. Connections are made when they are needed.
pub struct RemoteVariant {
    name: Arc<str>,
    peers: Vec<Arc<Peer>>,
    paces: Arc<Paces>,
    next: AtomicUsize,
}

/// How long answers of a variant take, by the kind of request.
#[derive(Default)]
struct Paces {
    recommend: Pace,
    similar: Pace,
    explain: Pace,
    change: Pace,
    rules: Pace,
    describe: Pace,
}

/// What is kept of variants whose addresses come and go: connections, and what is known of pods and of how long answers take.
#[derive(Default)]
pub struct Connections {
    peers: HashMap<String, Arc<Peer>>,
    paces: HashMap<String, Arc<Paces>>,
    tls: Option<ClientTls>,
}

impl Connections {
    /// None yet; they will be made over TLS, where that is wanted.
    pub fn over(tls: Option<ClientTls>) -> Self {
        Self {
            tls,
            ..Self::default()
        }
    }

    fn to(&mut self, variant: &str, address: &str) -> Result<Arc<Peer>, AddressError> {
        if let Some(peer) = self.peers.get(address) {
            return Ok(Arc::clone(peer));
        }
        let peer = Arc::new(Peer::new(variant, address, self.tls.as_ref())?);
        self.peers.insert(address.to_owned(), Arc::clone(&peer));
        Ok(peer)
    }

    fn paces(&mut self, variant: &str) -> Arc<Paces> {
        Arc::clone(self.paces.entry(variant.to_owned()).or_default())
    }

    /// Forgets addresses and variants that are no longer used. Requests that are under way end as they would.
    pub fn forget_all_but<'a>(
        &mut self,
        variants: impl Iterator<Item = &'a String>,
        addresses: impl Iterator<Item = &'a String>,
    ) {
        let (variants, addresses): (HashSet<_>, HashSet<_>) = (variants.collect(), addresses.collect());
        self.paces.retain(|variant, _| variants.contains(variant));
        self.peers.retain(|address, _| addresses.contains(address));
    }
}

impl RemoteVariant {
    /// The variant `name` at `addresses`, each as `HOST:PORT`. Must be called within Tokio.
    pub fn new(name: &str, addresses: &[String]) -> Result<Self, AddressError> {
        Self::over(name, addresses, None)
    }

    /// The same over TLS, where that is wanted.
    pub fn over(name: &str, addresses: &[String], tls: Option<ClientTls>) -> Result<Self, AddressError> {
        if addresses.is_empty() {
            return Err(AddressError::None {
                variant: name.to_owned(),
            });
        }
        Self::kept(name, addresses, &mut Connections::over(tls))
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
            paces: connections.paces(name),
            next: AtomicUsize::new(0),
        })
    }

    /// The error if there is no pod.
    fn nobody(&self) -> ServiceError {
        ServiceError::Unreachable {
            variant: Arc::clone(&self.name),
            addresses: Vec::new(),
            problem: "it has no pod that is ready".to_owned(),
        }
    }

    /// Asks a pod, and others when it can't answer or takes too long.
    async fn ask<M, T, F>(
        &self,
        pace: impl Fn(&Paces) -> &Pace + Copy + Send + 'static,
        deadline: Instant,
        message: M,
        ask: impl Fn(RecommenderClient<Channel>, Request<M>) -> F + Copy + Send + 'static,
    ) -> Result<T, ServiceError>
    where
        M: Clone + Send + 'static,
        T: Send + 'static,
        F: Future<Output = Result<tonic::Response<T>, Status>> + Send + 'static,
    {
        let own_pace = pace(&self.paces);
        own_pace.earn();
        let mut asked = Vec::with_capacity(MAX_ASKED);
        let next = |cause| {
            let place = self.next_peer(cause, own_pace, deadline, &asked)?;
            asked.push(place);
            let peer = Arc::clone(&self.peers[place]);
            let (paces, message) = (Arc::clone(&self.paces), message.clone());
            Some(Outlive::new(traces::here(async move {
                ask_peer(&peer, pace(&paces), deadline, message, ask).await
            })))
        };
        let patience = |asked: u32| own_pace.patience(left(deadline)) * asked;
        let outcome = first_answer(next, patience, |status| !another_may_answer(status)).await;
        match outcome {
            None => Err(self.nobody()),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(status)) => {
                let addresses = asked.iter().map(|place| self.peers[*place].address.clone());
                Err(self.error(&status, addresses.collect()))
            }
        }
    }

    /// The pod to call now, if any: one whose time aside is over, or else the least busy of the healthy ones, or else of all.
    fn next_peer(&self, cause: Cause, pace: &Pace, deadline: Instant, asked: &[usize]) -> Option<usize> {
        let all = self.peers.len();
        if asked.len() == all.min(MAX_ASKED) || (cause != Cause::First && left(deadline).is_zero()) {
            return None;
        }
        if cause == Cause::Slowness && !pace.spend() {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let others = (0..all)
            .map(|turn| first.wrapping_add(turn) % all)
            .filter(|place| !asked.contains(place));
        let now = peer::now();
        let standing = |place: &usize| &self.peers[*place].standing;
        let probed = others.clone().find(|place| standing(place).claim_probe(now));
        let least_busy = |place: &usize| standing(place).under_way();
        probed
            .or_else(|| {
                let counted_on = others.clone().filter(|place| !standing(place).is_aside(now));
                counted_on.min_by_key(least_busy)
            })
            .or_else(|| others.clone().min_by_key(least_busy))
    }

    /// Has one pod make changes; another only if that one can't be reached. One that is merely slow may be making them: asked again
    /// elsewhere, they could come after later ones.
    async fn apply(
        &self,
        message: proto::ApplyChangesRequest,
        deadline: Instant,
    ) -> Result<proto::ApplyChangesResponse, ServiceError> {
        let apply = |mut client: RecommenderClient<Channel>, request| async move {
            client.apply_changes(request).await
        };
        let mut asked = Vec::with_capacity(MAX_ASKED);
        let mut refused = None;
        while let Some(place) = self.next_peer(Cause::First, &self.paces.change, deadline, &asked) {
            asked.push(place);
            let peer = &self.peers[place];
            match ask_peer(peer, &self.paces.change, deadline, message.clone(), apply).await {
                Ok(response) => return Ok(response),
                Err(status) => {
                    let error = self.error(&status, vec![peer.address.clone()]);
                    if Code::from(status.code()) != Code::Unavailable {
                        return Err(error);
                    }
                    refused = Some(error);
                }
            }
        }
        Err(refused.unwrap_or_else(|| self.nobody()))
    }

    fn error(&self, status: &Status, addresses: Vec<String>) -> ServiceError {
        let message = status.message().to_owned();
        match Code::from(status.code()) {
            Code::Unavailable => ServiceError::Unreachable {
                variant: Arc::clone(&self.name),
                addresses,
                problem: message,
            },
            code => ServiceError::Refused { code, message },
        }
    }
}

/// Asks one pod, and notes how it did.
async fn ask_peer<M, T, F>(
    peer: &Peer,
    pace: &Pace,
    deadline: Instant,
    message: M,
    ask: impl Fn(RecommenderClient<Channel>, Request<M>) -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let started = Instant::now();
    let under_way = peer.standing.begin();
    let span = Span::of_question(&peer.address);
    let outcome = traces::within(span.as_ref(), send(peer, deadline, message, ask)).await;
    if let (Some(span), Err(status)) = (span, &outcome) {
        span.failed(status.message().to_owned());
    }
    drop(under_way);
    let took = started.elapsed();
    match &outcome {
        Ok(_) => pace.note(took),
        Err(status) if is_its_fault(status, took, pace) => {
            if peer.standing.failed(peer::now()) {
                let error = status.message();
                tracing::warn!(
                    pod = peer.address,
                    error,
                    "a pod is set aside; others are asked until it is well"
                );
            }
            return outcome;
        }
        // It is there, and says that the request is wrong or that it has too much to do.
        Err(_) => {}
    }
    if peer.standing.succeeded() {
        tracing::info!(pod = peer.address, "a pod that was set aside answers again");
    }
    outcome
}

/// Whether the pod failed. One that was given less time than answers usually take did not.
fn is_its_fault(status: &Status, took: Duration, pace: &Pace) -> bool {
    match Code::from(status.code()) {
        Code::Unavailable | Code::Internal => true,
        Code::DeadlineExceeded => took >= pace.usual(),
        Code::InvalidArgument
        | Code::NotFound
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::Unauthenticated
        | Code::PermissionDenied => false,
    }
}

/// Sends one message to one pod, and waits for the answer until the deadline.
async fn send<M, T, F>(
    peer: &Peer,
    deadline: Instant,
    message: M,
    send: impl Fn(RecommenderClient<Channel>, Request<M>) -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(left(deadline));
    traces::write(request.metadata_mut());
    match tokio::time::timeout_at(deadline.into(), send(peer.client.clone(), request)).await {
        Ok(response) => Ok(response?.into_inner()),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "{} did not answer before the deadline",
            peer.address
        ))),
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Whether the same request may succeed elsewhere: the pod is gone, stopping, broken or too slow. One that has too much to do is the least busy
/// of all, so that the others have too much as well.
fn another_may_answer(status: &Status) -> bool {
    matches!(
        Code::from(status.code()),
        Code::Unavailable | Code::Internal | Code::DeadlineExceeded
    )
}

impl RemoteVariant {
    async fn recommend(&self, request: RecommendRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let message = proto::RecommendRequest {
            user: request.user.as_str().to_owned(),
            k: request.k.map(saturated),
            explain_timing: true,
        };
        let ask =
            |mut client: RecommenderClient<Channel>, request| async move { client.recommend(request).await };
        let response = self.ask(|paces| &paces.recommend, deadline, message, ask);
        Ok(response.await?.into())
    }

    async fn similar(&self, request: SimilarRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let to = match request.to {
            SimilarTo::Item(item) => similar_request::To::Item(item.as_str().to_owned()),
            SimilarTo::Text(text) => similar_request::To::Text(text),
            SimilarTo::BoughtWith(item) => similar_request::To::BoughtWith(item.as_str().to_owned()),
        };
        let message = proto::SimilarRequest {
            to: Some(to),
            k: request.k.map(saturated),
            explain_timing: true,
        };
        let ask =
            |mut client: RecommenderClient<Channel>, request| async move { client.similar(request).await };
        let response = self.ask(|paces| &paces.similar, deadline, message, ask);
        Ok(response.await?.into())
    }
}

#[async_trait]
impl Recommender for RemoteVariant {
    async fn answer(&self, inquiry: Inquiry, deadline: Instant) -> Result<Served, ServiceError> {
        match inquiry.question {
            Question::Recommend(request) => self.recommend(request, deadline).await,
            Question::Similar(request) => self.similar(request, deadline).await,
        }
    }

    async fn explain(
        &self,
        request: ExplainRequest,
        _visit: Visit,
        deadline: Instant,
    ) -> Result<Explained, ServiceError> {
        let items = request.items.iter();
        let message = proto::ExplainRequest {
            user: request.user.as_str().to_owned(),
            items: items.map(|item| item.as_str().to_owned()).collect(),
            k: request.k.map(saturated),
            parts: request.parts,
        };
        let ask =
            |mut client: RecommenderClient<Channel>, request| async move { client.explain(request).await };
        let response = self.ask(|paces| &paces.explain, deadline, message, ask);
        Ok(response.await?.into())
    }

    async fn change(&self, changes: Vec<Change>, deadline: Instant) -> Result<ChangeReceipt, ServiceError> {
        let message = proto::ApplyChangesRequest {
            changes: changes.into_iter().map(Into::into).collect(),
        };
        Ok(self.apply(message, deadline).await?.into())
    }

    async fn rules(&self, deadline: Instant) -> Result<Rules, ServiceError> {
        let ask =
            |mut client: RecommenderClient<Channel>, request| async move { client.get_rules(request).await };
        let response = self
            .ask(|paces| &paces.rules, deadline, proto::GetRulesRequest {}, ask)
            .await?;
        Ok(response.rules.unwrap_or_default().into())
    }

    async fn describe(&self, deadline: Instant) -> Result<PipelineDescription, ServiceError> {
        let ask = |mut client: RecommenderClient<Channel>, request| async move {
            client.get_pipeline(request).await
        };
        Ok(self
            .ask(
                |paces| &paces.describe,
                deadline,
                proto::GetPipelineRequest {},
                ask,
            )
            .await?
            .into())
    }
}

/// The largest number that a message can hold; the pipeline itself refuses such numbers.
fn saturated(k: usize) -> u32 {
    u32::try_from(k).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_known_of_a_pod_outlives_a_change_of_routes() {
        let mut connections = Connections::default();
        let mut variant = |addresses: &[&str]| {
            let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
            let variant = RemoteVariant::kept("dlrm", &addresses, &mut connections).unwrap();
            connections.forget_all_but(["dlrm".to_owned()].iter(), addresses.iter());
            variant
        };
        let before = variant(&["10.0.0.1:8080", "10.0.0.2:8080"]);
        let after = variant(&["10.0.0.2:8080"]);
        assert!(Arc::ptr_eq(&before.peers[1], &after.peers[0]));
        assert!(Arc::ptr_eq(&before.paces, &after.paces));
        let again = variant(&["10.0.0.1:8080"]);
        assert!(
            !Arc::ptr_eq(&before.peers[0], &again.peers[0]),
            "it was gone in between"
        );
    }

    #[tokio::test]
    async fn pods_that_are_set_aside_are_asked_when_there_are_no_others() {
        let addresses = ["10.0.0.1:8080", "10.0.0.2:8080"].map(str::to_owned);
        let variant = RemoteVariant::new("dlrm", &addresses).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let next =
            |asked: &[usize]| variant.next_peer(Cause::First, &variant.paces.recommend, deadline, asked);
        let fail = |place: usize| {
            for _ in 0..3 {
                variant.peers[place].standing.failed(peer::now());
            }
        };
        assert_ne!(next(&[]), next(&[]), "they take turns");
        fail(0);
        assert_eq!((next(&[]), next(&[])), (Some(1), Some(1)));
        assert_eq!(next(&[1]), Some(0));
        fail(1);
        assert_ne!(next(&[]), next(&[]));
        assert_eq!(next(&[0, 1]), None);
        let busy = variant.peers[0].standing.begin();
        assert_eq!((next(&[]), next(&[])), (Some(1), Some(1)));
        drop(busy);
    }
}
