//! Caches of everything that pipelines own, kept by watches; and which pipeline a change concerns.
//!
//! Only what carries our label is watched, so that a cluster's other objects cost nothing. Secrets are never watched.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, SelectAll, Stream, StreamExt as _};
use gondola_crds::RecommenderPipeline;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::observe::{ByName, Observed};
use crate::plan::extensions::Extension;
use crate::plan::names::{MANAGED_BY, PIPELINE};

/// A dead connection is noticed after this many seconds and a margin.
const WATCH_SECONDS: u32 = 90;

/// The selector of all labels.
const EVERYTHING: &str = "";

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
    /// Every change of the objects of a kind that `labels` select, for ever.
    fn events<K>(
        &self,
        client: &Client,
        labels: &str,
    ) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let (api, relist) = (self.scope.api::<K>(client), self.relist);
        let settings = watcher::Config::default().timeout(WATCH_SECONDS).labels(labels);
        let from_a_list = move || {
            watcher(api.clone(), settings.clone())
                .default_backoff()
                .take_until(Box::pin(tokio::time::sleep(relist)))
        };
        stream::repeat_with(from_a_list).flatten().modify(forget_managers)
    }
}

/// A pipeline that should be looked at.
pub type Key = ObjectRef<RecommenderPipeline>;
/// Pipelines that should be looked at, as they come.
pub type Keys = SelectAll<BoxStream<'static, Result<Key, watcher::Error>>>;

/// One cache a kind.
#[derive(Clone)]
pub struct Caches {
    /// The pipelines.
    pub pipelines: Store<RecommenderPipeline>,
    accounts: Store<ServiceAccount>,
    roles: Store<Role>,
    bindings: Store<RoleBinding>,
    configs: Store<ConfigMap>,
    services: Store<Service>,
    deployments: Store<Deployment>,
    budgets: Store<PodDisruptionBudget>,
    autoscalers: Store<HorizontalPodAutoscaler>,
    policies: Store<NetworkPolicy>,
    pods: Store<Pod>,
    extensions: BTreeSet<Extension>,
}

impl Caches {
    /// Starts to watch. The caches fill, and keep up, while the stream of keys is read.
    pub fn start(client: &Client, watches: &Watches, extensions: BTreeSet<Extension>) -> (Self, Keys) {
        let mut keys = Keys::new();
        let (pipelines, writer) = reflector::store();
        let pipeline_changes = watches
            .events::<RecommenderPipeline>(client, EVERYTHING)
            .reflect(writer)
            .touched_objects()
            .map(|pipeline| pipeline.map(|pipeline| ObjectRef::from_obj(&pipeline)));
        keys.push(pipeline_changes.boxed());
        let caches = Self {
            pipelines,
            accounts: cache(client, watches, &mut keys),
            roles: cache(client, watches, &mut keys),
            bindings: cache(client, watches, &mut keys),
            configs: cache(client, watches, &mut keys),
            services: cache(client, watches, &mut keys),
            deployments: cache(client, watches, &mut keys),
            budgets: cache(client, watches, &mut keys),
            autoscalers: cache(client, watches, &mut keys),
            policies: cache(client, watches, &mut keys),
            pods: cache(client, watches, &mut keys),
            extensions,
        };
        (caches, keys)
    }

    /// Waits until every cache has been filled once: before that, what is missing tells nothing.
    pub async fn filled(&self) -> Result<(), reflector::store::WriterDropped> {
        self.pipelines.wait_until_ready().await?;
        self.accounts.wait_until_ready().await?;
        self.roles.wait_until_ready().await?;
        self.bindings.wait_until_ready().await?;
        self.configs.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.deployments.wait_until_ready().await?;
        self.budgets.wait_until_ready().await?;
        self.autoscalers.wait_until_ready().await?;
        self.policies.wait_until_ready().await?;
        self.pods.wait_until_ready().await
    }

    /// Everything that a pipeline owns.
    pub fn observe(&self, pipeline: &RecommenderPipeline, account_allowed: bool) -> Observed {
        Observed {
            now: Timestamp::now().into(),
            accounts: of(&self.accounts, pipeline),
            roles: of(&self.roles, pipeline),
            bindings: of(&self.bindings, pipeline),
            configs: of(&self.configs, pipeline),
            services: of(&self.services, pipeline),
            deployments: of(&self.deployments, pipeline),
            budgets: of(&self.budgets, pipeline),
            autoscalers: of(&self.autoscalers, pipeline),
            policies: of(&self.policies, pipeline),
            pods: of(&self.pods, pipeline).into_values().collect(),
            extensions: self.extensions.clone(),
            account_allowed,
        }
    }
}

/// Managed fields are a third of an object's bytes, and nobody here reads them.
fn forget_managers<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
}

fn cache<K>(client: &Client, watches: &Watches, keys: &mut Keys) -> Store<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    K::DynamicType: Hash + Eq + Clone + Default,
{
    let (store, writer) = reflector::store();
    let ours = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
    let changes = watches
        .events::<K>(client, &ours)
        .reflect(writer)
        .touched_objects()
        .filter_map(|object| async move { object.map(|object| pipeline_of(&object)).transpose() });
    keys.push(changes.boxed());
    store
}

/// The pipeline that an object belongs to, as its label says.
fn pipeline_of<K: ResourceExt>(object: &K) -> Option<Key> {
    let name = object.labels().get(PIPELINE)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// What is labelled as a pipeline's, of one kind. Labels can be written by anyone: whoever changes something looks at its owner.
fn of<K>(store: &Store<K>, pipeline: &RecommenderPipeline) -> ByName<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let belongs = |object: &Arc<K>| {
        object.namespace() == pipeline.namespace()
            && object.labels().get(PIPELINE) == pipeline.metadata.name.as_ref()
    };
    let objects = store.state().into_iter().filter(belongs);
    objects.map(|object| (object.name_any(), object)).collect()
}
