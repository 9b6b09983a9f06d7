//! Caches of everything that pipelines own, kept by watches; and which pipeline a change concerns.
//!
//! Only what carries our label is watched, so that a cluster's other objects cost nothing. Secrets are never watched. APIs that a
//! cluster may not have ([`Extension`]) are watched all the same: the watch fails until they are there, and is made again.

mod asked_for;
pub mod index;
pub mod lists;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::stream::{self, BoxStream, SelectAll, Stream, StreamExt as _};
use gondola_causes::with_causes;
use gondola_crds::RecommenderPipeline;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::DynamicObject;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::extension::Extension;
use crate::kinds::{Blank, ByName, Column, Kind, Live, Map, OwnedKinds};
use crate::names::{ALLOW_USE, MANAGED_BY, PIPELINE};
use crate::observed::Address;
use asked_for::AskedFor;
use index::Index;
use lists::Lists;

/// A dead connection is noticed after this many seconds and a margin.
const WATCH_SECONDS: u32 = 90;

/// The selector of all labels.
const EVERYTHING: &str = "";

/// The EndpointSlices of the API server itself.
const API_SERVER: (&str, &str) = ("default", "kubernetes.io/service-name=kubernetes");

/// Which namespaces are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Cluster,
    /// One.
    Namespace(String),
}

impl Scope {
    /// The API of a kind in this scope.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }

    fn extension_api(&self, client: &Client, extension: Extension) -> Api<DynamicObject> {
        let resource = extension.resource();
        match self {
            Self::Cluster => Api::all_with(client.clone(), &resource),
            Self::Namespace(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        }
    }
}

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct Watches {
    /// Which namespaces.
    pub scope: Scope,
    /// After so long everything is listed anew, so that an event that a watch lost does no harm for longer.
    pub relist: Duration,
}

impl Watches {
    /// Every change of the objects that an API has and `labels` select, for ever. `kind` is listed anew a little earlier or later
    /// than others, so that not everything is asked for at once.
    fn events<K>(
        &self,
        api: Api<K>,
        kind: &str,
        labels: &str,
    ) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        K::DynamicType: Clone + Send,
    {
        let relist = self.relist.mul_f64(0.9 + 0.2 * fraction(kind));
        let settings = watcher::Config::default().timeout(WATCH_SECONDS).labels(labels);
        let from_a_list = move || {
            watcher(api.clone(), settings.clone())
                .default_backoff()
                .take_until(Box::pin(tokio::time::sleep(relist)))
        };
        stream::repeat_with(from_a_list).flatten().modify(forget_managers)
    }
}

/// A number from 0 to 1 that stays the same for a text.
fn fraction(text: &str) -> f64 {
    let sum: u32 = text.bytes().map(u32::from).sum();
    f64::from(sum % 100) / 100.0
}

/// A pipeline, as the API server has it: one that this release can't read is an error of that pipeline alone.
pub type Guarded = DeserializeGuard<RecommenderPipeline>;
/// A pipeline that should be looked at.
pub type Key = ObjectRef<Guarded>;
/// Pipelines that should be looked at, as they come.
pub type Keys = SelectAll<BoxStream<'static, Result<Key, watcher::Error>>>;

/// One cache a kind.
#[derive(Clone)]
pub struct Caches {
    /// The pipelines.
    pub pipelines: Store<Guarded>,
    /// When each kind was listed last.
    pub lists: Lists,
    owned: OwnedKinds<Watched>,
    replica_sets: Index<ReplicaSet>,
    pods: Index<Pod>,
    /// Accounts whose owners let pipelines use them.
    allowed_accounts: Store<ServiceAccount>,
    api_server: Arc<RwLock<Vec<Address>>>,
    extensions: BTreeMap<Extension, ExtensionCache>,
    /// One for each index of what all clusters have.
    filled: Vec<watch::Receiver<bool>>,
}

/// An index of the objects of each kind.
#[derive(Clone, Copy, Debug)]
enum Watched {}

impl Column for Watched {
    type Of<K: Kind> = Index<K>;
}

/// An API that may not be there, and its objects.
#[derive(Clone, Default)]
struct ExtensionCache {
    objects: Index<DynamicObject>,
    is_there: Arc<AtomicBool>,
}

impl Caches {
    /// Starts to watch. The caches fill, and keep up, while the stream of keys is read.
    pub fn start(client: &Client, watches: &Watches, lists: &Lists) -> (Self, Keys) {
        let mut keys = Keys::new();
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
        let mut start = Start {
            client,
            watches,
            lists,
            keys: &mut keys,
            pipelines: &pipelines,
            filled: Vec::new(),
        };
        start.push(changes);
        let caches = Self {
            owned: OwnedKinds::<Blank>::default().map(&mut start),
            replica_sets: start.index(),
            pods: start.index(),
            allowed_accounts: start.allowed_accounts(),
            api_server: start.api_server(),
            extensions: Extension::ALL
                .into_iter()
                .map(|extension| (extension, start.extension(extension)))
                .collect(),
            filled: start.filled,
            lists: lists.clone(),
            pipelines,
        };
        (caches, keys)
    }

    /// Waits until every cache of what all clusters have was filled once: before that, what is missing tells nothing.
    pub async fn filled(&self) -> Result<(), reflector::store::WriterDropped> {
        self.pipelines.wait_until_ready().await?;
        self.allowed_accounts.wait_until_ready().await?;
        for filled in &self.filled {
            // The sender is in the index, which lives as long as this.
            let _ = filled.clone().wait_for(|filled| *filled).await;
        }
        Ok(())
    }

    /// What a pipeline owns.
    pub fn children(&self, pipeline: &Key) -> OwnedKinds<Live> {
        self.owned.map(&mut Of(pipeline))
    }

    /// What a pipeline's Deployments made of themselves.
    pub fn replica_sets(&self, pipeline: &Key) -> ByName<ReplicaSet> {
        self.replica_sets.of(pipeline)
    }

    /// A pipeline's pods.
    pub fn pods(&self, pipeline: &Key) -> ByName<Pod> {
        self.pods.of(pipeline)
    }

    /// A pipeline's objects of the APIs that this cluster has beside Kubernetes' own.
    pub fn extensions(&self, pipeline: &Key) -> BTreeMap<Extension, ByName<DynamicObject>> {
        let there = self.extensions.iter();
        let there = there.filter(|(_, cache)| cache.is_there.load(Ordering::Relaxed));
        there
            .map(|(extension, cache)| (*extension, cache.objects.of(pipeline)))
            .collect()
    }

    /// Where the API server answers; empty where that is not known.
    pub fn api_server(&self) -> Vec<Address> {
        let known = self.api_server.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    /// Whether pipelines may run pods as a service account: its owner says so with a label.
    pub fn allows_account(&self, namespace: &str, account: &str) -> bool {
        let account = ObjectRef::new(account).within(namespace);
        self.allowed_accounts.get(&account).is_some()
    }
}

/// Finds a pipeline's objects of each kind.
struct Of<'a>(&'a Key);

impl Map<Watched, Live> for Of<'_> {
    fn map<K: Kind>(&mut self, index: &Index<K>) -> ByName<K> {
        index.of(self.0)
    }
}

/// Starts one watch after the other.
struct Start<'a> {
    client: &'a Client,
    watches: &'a Watches,
    lists: &'a Lists,
    keys: &'a mut Keys,
    pipelines: &'a Store<Guarded>,
    filled: Vec<watch::Receiver<bool>>,
}

impl Map<Blank, Watched> for Start<'_> {
    fn map<K: Kind>(&mut self, (): &()) -> Index<K> {
        self.index()
    }
}

impl Start<'_> {
    /// Watches one kind.
    fn index<K: Kind>(&mut self) -> Index<K> {
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
    fn allowed_accounts(&mut self) -> Store<ServiceAccount> {
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

    /// Where the API server answers, for policies of networks. Where it may not be looked up, it stays unknown.
    fn api_server(&mut self) -> Arc<RwLock<Vec<Address>>> {
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

    fn extension(&mut self, extension: Extension) -> ExtensionCache {
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
                // An API that isn't there is no failure.
                Err(error) => {
                    tracing::debug!(
                        error = with_causes(error),
                        kind,
                        "can't be watched; it is tried again"
                    );
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

/// Managed fields are a third of an object's bytes, and nobody here reads them.
fn forget_managers<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
}

/// The pipeline that an object belongs to, as its label says.
fn pipeline_of<K: ResourceExt>(object: &K) -> Option<Key> {
    let name = object.labels().get(PIPELINE)?;
    Some(index::key(&object.namespace()?, name))
}
