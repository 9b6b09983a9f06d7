//! What is watched, and how: every watch ends after a while and begins again with a list.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::extension::Extension;

/// A dead connection is noticed after this many seconds and a margin.
const WATCH_SECONDS: u32 = 90;

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

    pub(super) fn extension_api(&self, client: &Client, extension: Extension) -> Api<DynamicObject> {
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
    /// Interval after which everything is listed again, which bounds the harm of a lost event.
    pub relist: Duration,
}

impl Watches {
    /// Every change of the objects that an API has and `labels` select, for ever. `kind` is listed again a little earlier or later
    /// than others, so that not everything is listed at once.
    pub(super) fn events<K>(
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

/// Managed fields are a third of an object's bytes, and nobody here reads them.
fn forget_managers<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
}
