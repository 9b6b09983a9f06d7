//! Caches of everything that pipelines own, kept by watches; and which pipeline a change concerns.
//!
//! Only what carries our label is watched, so that a cluster's other objects cost nothing. Secrets are never watched. APIs that a
//! cluster may not have ([`Extension`]) are watched all the same: the watch fails until they are installed, and is restarted.

mod asked_for;
pub mod index;
pub mod lists;
mod start;
mod watches;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures::stream::{BoxStream, SelectAll};
use gondola_crds::RecommenderPipeline;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::DynamicObject;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use tokio::sync::watch;

use crate::extension::Extension;
use crate::kinds::{Blank, ByName, Column, Kind, Live, Map, OwnedKinds};
use crate::names::PIPELINE;
use crate::observed::Address;
use index::Index;
use lists::Lists;
use start::Start;
pub use watches::{Scope, Watches};

/// A pipeline in the API server: one that this release can't read is an error of that pipeline only.
pub type Guarded = DeserializeGuard<RecommenderPipeline>;
/// The key of a pipeline that needs a pass.
pub type Key = ObjectRef<Guarded>;
/// Keys of pipelines that need a pass, as changes arrive.
pub type Keys = SelectAll<BoxStream<'static, Result<Key, watcher::Error>>>;

/// One cache per kind.
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

/// An API that may not be installed, and its objects.
#[derive(Clone, Default)]
struct ExtensionCache {
    objects: Index<DynamicObject>,
    is_there: Arc<AtomicBool>,
}

impl Caches {
    /// Starts to watch. The caches fill, and keep up, while the stream of keys is read.
    pub fn start(client: &Client, watches: &Watches, lists: &Lists) -> (Self, Keys) {
        let mut start = Start::new(client, watches, lists);
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
            pipelines: start.pipelines,
        };
        (caches, start.keys)
    }

    /// Waits until every cache of what all clusters have was filled once: before that, a missing object means nothing.
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

    /// The ReplicaSets of a pipeline's Deployments.
    pub fn replica_sets(&self, pipeline: &Key) -> ByName<ReplicaSet> {
        self.replica_sets.owned_by(pipeline)
    }

    /// A pipeline's pods.
    pub fn pods(&self, pipeline: &Key) -> ByName<Pod> {
        self.pods.owned_by(pipeline)
    }

    /// A pipeline's objects of the APIs that this cluster has beside Kubernetes' own.
    pub fn extensions(&self, pipeline: &Key) -> BTreeMap<Extension, ByName<DynamicObject>> {
        let there = self.extensions.iter();
        let there = there.filter(|(_, cache)| cache.is_there.load(Ordering::Relaxed));
        there
            .map(|(extension, cache)| (*extension, cache.objects.owned_by(pipeline)))
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
        index.owned_by(self.0)
    }
}

/// The pipeline that an object belongs to, as its label says.
fn pipeline_of<K: ResourceExt>(object: &K) -> Option<Key> {
    let name = object.labels().get(PIPELINE)?;
    Some(index::key(&object.namespace()?, name))
}
