//! Starting the watches: what each of them fills, and which pipelines its events concern.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use futures::stream::{self, Stream, StreamExt as _};
use gondola_causes::with_causes;
use gondola_crds::RecommenderPipeline;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use super::asked_for::AskedFor;
use super::index::Index;
use super::lists::Lists;
use super::watches::Watches;
use super::{ExtensionCache, Guarded, Key, Keys, Watched};
use crate::extension::Extension;
use crate::kinds::{Blank, Kind, Map};
use crate::names::{ALLOW_USE, MANAGED_BY};
use crate::observed::Address;

/// The selector of all labels.
const EVERYTHING: &str = "";
/// The EndpointSlices of the API server itself.
const API_SERVER: (&str, &str) = ("default", "kubernetes.io/service-name=kubernetes");

/// Starts one watch after the other.
pub(super) struct Start<'a> {
    client: &'a Client,
    watches: &'a Watches,
    lists: &'a Lists,
    pub(super) keys: Keys,
    pub(super) pipelines: Store<Guarded>,
    pub(super) filled: Vec<watch::Receiver<bool>>,
}

impl Map<Blank, Watched> for Start<'_> {
    fn map<K: Kind>(&mut self, (): &()) -> Index<K> {
        self.index()
    }
}

impl<'a> Start<'a> {
    /// Begins with the pipelines themselves.
    pub(super) fn new(client: &'a Client, watches: &'a Watches, lists: &'a Lists) -> Self {
        let (pipelines, writer) = reflector::store();
        let events = watches.events::<Guarded>(watches.scope.api(client), "RecommenderPipeline", EVERYTHING);
        let (listed, mut asked_for) = (lists.clone(), AskedFor::default());
        let changes = events.reflect(writer).map(move |event| {
            let event = event?;
            if matches!(event, Event::InitDone) {
                listed.listed("RecommenderPipeline");
            }
            Ok(asked_for.changed(&event))
        });
        let mut start = Self {
            client,
            watches,
            lists,
            keys: Keys::new(),
            pipelines,
            filled: Vec::new(),
        };
        start.push(changes);
        start
    }

    /// Watches one kind.
    pub(super) fn index<K: Kind>(&mut self) -> Index<K> {
        let kind = K::kind(&()).into_owned();
        let ours = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
        let events = self
            .watches
            .events::<K>(self.watches.scope.api(self.client), &kind, &ours);
        let (index, lists) = (Index::default(), self.lists.clone());
        self.filled.push(index.filled());
        let noted = index.clone();
        self.push(events.map(move |event| {
            let event = event?;
            if matches!(event, Event::InitDone) {
                lists.listed(&kind);
            }
            Ok(noted.note(&event).into_iter().collect())
        }));
        index
    }

    /// Accounts that may be used; a change of one concerns the pipelines that name it.
    pub(super) fn allowed_accounts(&mut self) -> Store<ServiceAccount> {
        let (store, writer) = reflector::store();
        let allowed = format!("{ALLOW_USE}=true");
        let api = self.watches.scope.api(self.client);
        let events = self
            .watches
            .events::<ServiceAccount>(api, "allowed accounts", &allowed);
        let pipelines = self.pipelines.clone();
        self.push(events.reflect(writer).touched_objects().map(move |account| {
            let account = account?;
            Ok(chosen(&pipelines, |pipeline| {
                pipeline.namespace() == account.namespace()
                    && pipeline.spec.artifacts.service_account_name == account.metadata.name
            }))
        }));
        store
    }

    /// The API server's addresses, for network policies; unknown if the operator may not read them.
    pub(super) fn api_server(&mut self) -> Arc<RwLock<Vec<Address>>> {
        let (store, writer) = reflector::store::<EndpointSlice>();
        let api = Api::namespaced(self.client.clone(), API_SERVER.0);
        let events = self
            .watches
            .events(api, "addresses of the API server", API_SERVER.1);
        let known = Arc::new(RwLock::new(Vec::new()));
        let (found, pipelines) = (Arc::clone(&known), self.pipelines.clone());
        self.push(events.reflect(writer).map(move |event| {
            let Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone) = event else {
                return Ok(Vec::new());
            };
            let mut addresses: Vec<Address> = store
                .state()
                .iter()
                .flat_map(|slice| Address::all(slice))
                .collect();
            addresses.sort_unstable();
            let mut known = found.write().unwrap_or_else(PoisonError::into_inner);
            if *known == addresses {
                return Ok(Vec::new());
            }
            *known = addresses;
            Ok(chosen(&pipelines, |pipeline| {
                pipeline.spec.network_policy.is_some()
            }))
        }));
        known
    }

    pub(super) fn extension(&mut self, extension: Extension) -> ExtensionCache {
        let cache = ExtensionCache::default();
        let kind = extension.resource().kind;
        let ours = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
        let api = self.watches.scope.extension_api(self.client, extension);
        let events = self.watches.events::<DynamicObject>(api, &kind, &ours);
        let (noted, pipelines) = (cache.clone(), self.pipelines.clone());
        self.push(events.map(move |event| {
            let was_there = noted.is_there.load(Ordering::Relaxed);
            match &event {
                Ok(Event::InitDone) => noted.is_there.store(true, Ordering::Relaxed),
                Err(error) if is_missing(error) => noted.is_there.store(false, Ordering::Relaxed),
                Ok(_) | Err(_) => {}
            }
            let mut keys: Vec<Key> = match &event {
                Ok(event) => noted.objects.note(event).into_iter().collect(),
                // A missing API is not a failure.
                Err(error) => {
                    tracing::debug!(error = with_causes(error), kind, "can't be watched; retrying");
                    Vec::new()
                }
            };
            if was_there != noted.is_there.load(Ordering::Relaxed) {
                keys.extend(chosen(&pipelines, |pipeline| extension.is_wanted(&pipeline.spec)));
            }
            Ok(keys)
        }));
        cache
    }

    fn push<S>(&mut self, keys: S)
    where
        S: Stream<Item = Result<Vec<Key>, watcher::Error>> + Send + 'static,
    {
        let one_by_one = keys.flat_map(|keys| match keys {
            Ok(keys) => stream::iter(keys.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        });
        self.keys.push(one_by_one.boxed());
    }
}

/// The pipelines that a choice holds for.
fn chosen(pipelines: &Store<Guarded>, choice: impl Fn(&RecommenderPipeline) -> bool) -> Vec<Key> {
    let all = pipelines.state();
    let chosen = all
        .iter()
        .filter(|pipeline| pipeline.0.as_ref().is_ok_and(&choice));
    chosen
        .map(|pipeline| ObjectRef::from_obj(pipeline.as_ref()))
        .collect()
}

fn is_missing(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
