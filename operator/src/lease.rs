//! Leader election: of several operators, one acts at a time.
//!
//! A Lease names the leader. Whether it is held is decided by a monotonic clock and by changes that we saw ourselves,
//! never by the times that others wrote: clocks differ. Every write to the Lease names the version that it replaces, so
//! that two can't both win. A leader that can't renew stops acting before anyone else may begin, and one that stops by
//! itself gives the Lease back, so that the next begins at once.
//!
//! Renewals stop when the reconcile loop stops: an idle leader is worse than none. See [`crate::health`].

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use gondola_causes::with_causes;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};

/// How an election goes.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Name of the Lease.
    pub lease: String,
    /// This candidate's identity: the pod's name.
    pub identity: String,
    /// How long nobody else may take over after the leader's last renewal.
    pub lasts: Duration,
    /// How long before that the leader stops, as a margin for clock drift and writes in progress.
    pub margin: Duration,
    /// How often the leader renews, and others look.
    pub every: Duration,
}

impl Terms {
    /// Takes over within 12 seconds of the leader's death.
    pub fn new(lease: &str, identity: &str) -> Self {
        Self {
            lease: lease.to_owned(),
            identity: identity.to_owned(),
            lasts: Duration::from_secs(10),
            margin: Duration::from_secs(3),
            every: Duration::from_millis(1500),
        }
    }
}

/// Until when we may act. Shared with whatever writes.
#[derive(Clone, Debug, Default)]
pub struct Leadership(Arc<Mutex<Option<Instant>>>);

impl Leadership {
    /// A leadership without end, for an operator that runs alone.
    pub fn alone() -> Self {
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        Self(Arc::new(Mutex::new(Some(Instant::now() + century))))
    }

    /// Whether we may act now.
    pub fn holds(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    /// Until when we may act if nothing is renewed.
    pub fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// What was last seen of the Lease, and when by our own clock.
#[derive(Debug)]
struct Sighting {
    version: Option<String>,
    at: Instant,
}

/// One candidate.
pub struct Election {
    api: Api<Lease>,
    terms: Terms,
    leadership: Leadership,
    seen: Option<Sighting>,
}

impl Election {
    /// A candidate. `api` must not retry by itself: a renewal that goes out late is worse than none.
    pub fn new(api: Api<Lease>, terms: Terms) -> Self {
        Self {
            api,
            terms,
            leadership: Leadership::default(),
            seen: None,
        }
    }

    /// Until when this candidate may act.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until this candidate leads.
    pub async fn win(&mut self) {
        while !self.try_to_lead().await {
            tokio::time::sleep(self.terms.every).await;
        }
        tracing::info!(
            lease = self.terms.lease,
            identity = self.terms.identity,
            "leading"
        );
    }

    /// Renews until the Lease is lost, or until `alive` says that there is nothing to lead.
    pub async fn keep(&mut self, alive: impl Fn() -> bool) {
        while self.leadership.holds() {
            tokio::time::sleep(self.terms.every).await;
            if !alive() {
                tracing::error!("the reconcile loop is stuck; the lease is not renewed");
                continue;
            }
            self.try_to_lead().await;
        }
        tracing::error!(lease = self.terms.lease, "lost the lease");
    }

    /// Gives the Lease back, so that another begins at once. Nothing may be written after.
    pub async fn give_back(&mut self) {
        if !self.leadership.holds() {
            return;
        }
        self.leadership.set(None);
        let Ok(Some(mut lease)) = self.get().await else {
            return;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.terms.identity) {
            return;
        }
        spec.holder_identity = None;
        // The next candidate sees a change and an empty holder.
        if let Err(error) = self.replace(&lease).await {
            tracing::warn!(
                error = with_causes(&error),
                "the lease could not be released; it expires by itself"
            );
        }
    }

    /// Takes or renews the Lease if it may, and says whether this candidate leads.
    async fn try_to_lead(&mut self) -> bool {
        // The moment before the request: what the server stores is not older.
        let asked = Instant::now();
        match self.attempt().await {
            Ok(true) => self
                .leadership
                .set(Some(asked + self.terms.lasts - self.terms.margin)),
            Ok(false) => self.leadership.set(None),
            // Unknown: the last renewal still decides whether we lead.
            Err(error) => {
                tracing::warn!(
                    error = with_causes(&error),
                    lease = self.terms.lease,
                    "could not reach the lease"
                )
            }
        }
        self.leadership.holds()
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.get().await? else {
            return self.create().await;
        };
        let version = lease.metadata.resource_version.clone();
        if self.seen.as_ref().is_none_or(|seen| seen.version != version) {
            self.seen = Some(Sighting {
                version,
                at: Instant::now(),
            });
        }
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        let ours = holder.as_deref() == Some(&self.terms.identity);
        let free = holder.is_none_or(|holder| holder.is_empty());
        let silent = || {
            self.seen
                .as_ref()
                .is_some_and(|seen| seen.at.elapsed() >= self.terms.lasts)
        };
        if !(ours || free || silent()) {
            return Ok(false);
        }
        match self.replace(&self.claimed(lease, ours)).await {
            Ok(()) => Ok(true),
            // Another was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn claimed(&self, mut lease: Lease, ours: bool) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if !ours {
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(self.terms.identity.clone());
        spec.lease_duration_seconds = i32::try_from(self.terms.lasts.as_secs()).ok();
        // For people only: nobody decides by it.
        spec.renew_time = Some(now);
        lease
    }

    async fn create(&self) -> Result<bool, kube::Error> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.terms.lease.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec::default()),
        };
        let created = self
            .within(
                self.api
                    .create(&PostParams::default(), &self.claimed(lease, false)),
            )
            .await;
        match created {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get(&self) -> Result<Option<Lease>, kube::Error> {
        self.within(self.api.get_opt(&self.terms.lease)).await
    }

    async fn replace(&self, lease: &Lease) -> Result<(), kube::Error> {
        self.within(self.api.replace(&self.terms.lease, &PostParams::default(), lease))
            .await
            .map(drop)
    }

    /// A request that hangs must not keep the leader from stopping in time.
    async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        match tokio::time::timeout(self.terms.margin, request).await {
            Ok(outcome) => outcome,
            Err(_) => Err(kube::Error::Service(
                "the API server did not answer in time".into(),
            )),
        }
    }
}
