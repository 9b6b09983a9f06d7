//! A router in a cluster: its configuration and its pods' addresses, as the API server has them.
//!
//! The operator writes the [`Routes`] into a ConfigMap; the addresses of a variant's pods are in the EndpointSlices of its
//! Service. Both are watched, so that a change of weights or a pod that goes is known in the time of an event. Each change
//! makes a new [`Router`], which takes the place of the old between two requests; connections to pods that stay are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use futures::{FutureExt as _, Stream, StreamExt as _};
use gondola_causes::with_causes;
use gondola_events::intake::RawOutcome;
use gondola_protocol::{
    ChangeReceipt, Explained, Inquiry, PipelineDescription, Recommender, Served, ServiceError, Visit,
};
use gondola_request::{Change, ExplainRequest, Rules};
use gondola_server::experimenter::{Experimenter, Receipt};
use gondola_wire::router_report::RouterReport;
use gondola_wire::routes::{ROUTES_KEY, Routes};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Config, watcher};
use kube::{Api, Client, ResourceExt as _};

use crate::experiment::Recording;
use crate::last_resort::{LastResort, REFRESH_EVERY, TRY_EVERY};
use crate::remote::{Connections, RemoteVariant};
use crate::router::{Backend, Router};

/// The label with the name of the Service that a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// A dead connection to the API server is noticed after this many seconds and a margin.
const WATCH_SECONDS: u32 = 60;

/// The router of the moment, and what outlives it.
#[derive(Default)]
pub struct CurrentRouter {
    router: ArcSwapOption<Router>,
    last_resort: Arc<LastResort>,
}

impl CurrentRouter {
    /// Whether there is one yet.
    pub fn is_known(&self) -> bool {
        self.router.load().is_some()
    }

    /// Puts a router into the place of the one before.
    pub fn set(&self, router: Router) {
        let router = router.with_last_resort(Arc::clone(&self.last_resort));
        self.router.store(Some(Arc::new(router)));
    }

    fn now(&self) -> Result<Arc<Router>, ServiceError> {
        self.router.load_full().ok_or(ServiceError::Loading)
    }

    /// Keeps the list of last resort fresh, for as long as it is polled.
    pub async fn keep_last_resort(&self) {
        loop {
            if let Ok(router) = self.now() {
                router.refresh_last_resort().await;
            }
            let wait = if self.last_resort.is_known() {
                REFRESH_EVERY
            } else {
                TRY_EVERY
            };
            tokio::time::sleep(wait).await;
        }
    }
}

#[async_trait]
impl Recommender for CurrentRouter {
    async fn answer(&self, inquiry: Inquiry, deadline: Instant) -> Result<Served, ServiceError> {
        self.now()?.answer(inquiry, deadline).await
    }

    async fn explain(
        &self,
        request: ExplainRequest,
        visit: Visit,
        deadline: Instant,
    ) -> Result<Explained, ServiceError> {
        self.now()?.explain(request, visit, deadline).await
    }

    async fn change(&self, changes: Vec<Change>, deadline: Instant) -> Result<ChangeReceipt, ServiceError> {
        self.now()?.change(changes, deadline).await
    }

    async fn rules(&self, deadline: Instant) -> Result<Rules, ServiceError> {
        self.now()?.rules(deadline).await
    }

    async fn describe(&self, deadline: Instant) -> Result<PipelineDescription, ServiceError> {
        self.now()?.describe(deadline).await
    }
}

impl Experimenter for CurrentRouter {
    fn unit_header(&self) -> Option<Arc<str>> {
        self.now().ok()?.unit_header()
    }

    fn report(&self) -> Option<RouterReport> {
        self.now().ok()?.report()
    }

    fn record_outcomes(&self, reported: Vec<Result<RawOutcome, String>>) -> Result<Receipt, ServiceError> {
        self.now()?.record_outcomes(reported)
    }
}

/// Watches, and puts a new router into its place at each change. Ends only if a watch does.
pub async fn follow(
    client: Client,
    namespace: &str,
    config_map: &str,
    current: Arc<CurrentRouter>,
    recording: Arc<Recording>,
    mut connections: Connections,
) {
    let (configs, config_changes) = watched::<ConfigMap>(
        &client,
        namespace,
        Config::default().fields(&format!("metadata.name={config_map}")),
    );
    let slices_of_services = Config::default().labels(SERVICE_NAME);
    let (slices, slice_changes) = watched::<EndpointSlice>(&client, namespace, slices_of_services);
    let changes = futures::stream::select(config_changes, slice_changes);
    tokio::pin!(changes);
    let mut applied = None;
    while let Some(()) = changes.next().await {
        // A router that knows the routes and no pod yet would refuse everybody.
        if slices.wait_until_ready().now_or_never().is_none() {
            continue;
        }
        let Some(routes) = configs.state().first().and_then(|config| routes(config)) else {
            continue;
        };
        let addresses = addresses(&routes, &slices.state());
        if applied.as_ref() == Some(&(routes.clone(), addresses.clone())) {
            continue;
        }
        match router(&routes, &addresses, &mut connections, &recording) {
            Ok(router) => {
                tracing::info!(?routes, ?addresses, "routes changed");
                current.set(router);
                applied = Some((routes, addresses));
            }
            Err(error) => {
                tracing::error!(error = %format!("{error:#}"), "the routes can't be used; the old stay")
            }
        }
    }
}

/// A cache of one kind and its changes; a failed watch is logged and restarted.
fn watched<K>(client: &Client, namespace: &str, config: Config) -> (Store<K>, impl Stream<Item = ()> + use<K>)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let (store, writer) = reflector::store();
    let events = watcher(api, config.timeout(WATCH_SECONDS))
        .default_backoff()
        .reflect(writer);
    let changes = events.filter_map(|event| async move {
        match event {
            // While a list comes in piece by piece, the cache has the old one.
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
            Ok(_) => Some(()),
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "a watch failed; what is known stays");
                None
            }
        }
    });
    (store, changes)
}

fn routes(config: &ConfigMap) -> Option<Routes> {
    let text = config.data.as_ref()?.get(ROUTES_KEY)?;
    serde_json::from_str(text)
        .inspect_err(|error| {
            tracing::error!(
                config = config.name_any(),
                error = with_causes(error),
                "these are no routes"
            )
        })
        .ok()
}

/// The name of the port that requests come to.
pub const HTTP_PORT: &str = "http";
/// The name of the port for everything else.
pub const ADMIN_PORT: &str = "admin";

/// The addresses of each variant's pods that answer, sorted.
fn addresses(routes: &Routes, slices: &[Arc<EndpointSlice>]) -> BTreeMap<String, BTreeSet<String>> {
    let of = |service: &str| {
        let slices = slices.iter().filter(|slice| {
            slice
                .labels()
                .get(SERVICE_NAME)
                .is_some_and(|name| name == service)
        });
        slices
            .flat_map(|slice| slice_addresses(slice, HTTP_PORT))
            .collect()
    };
    let variants = routes.variants.iter();
    variants
        .map(|route| (route.name.clone(), of(&route.service)))
        .collect()
}

/// The addresses of the pods of a slice that answer, as `HOST:PORT`: at the port of this name, or at the first where none has it.
pub fn slice_addresses(slice: &EndpointSlice, port: &str) -> Vec<String> {
    let ports = || slice.ports.iter().flatten();
    let named = ports().find(|candidate| candidate.name.as_deref() == Some(port));
    let port = named.or(ports().next()).and_then(|port| port.port);
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    let hosts = ready.flat_map(|endpoint| &endpoint.addresses);
    let address = |host: &String| {
        let port = port?;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        Some(format!("{host}:{port}"))
    };
    hosts.filter_map(address).collect()
}

fn router(
    routes: &Routes,
    addresses: &BTreeMap<String, BTreeSet<String>>,
    connections: &mut Connections,
    recording: &Arc<Recording>,
) -> anyhow::Result<Router> {
    let mut backends = Vec::new();
    for route in &routes.variants {
        let of_variant: Vec<String> = addresses[&route.name].iter().cloned().collect();
        backends.push(Backend {
            name: route.name.clone(),
            weight: route.weight,
            buckets: route.buckets.clone(),
            recommender: Arc::new(RemoteVariant::kept(&route.name, &of_variant, connections)?),
        });
    }
    connections.forget_all_but(addresses.keys(), addresses.values().flatten());
    let router = Router::new(&routes.namespace, &routes.pipeline, &routes.control, backends)?;
    Ok(match &routes.experiment {
        Some(experiment) => router.with_experiment(experiment, Arc::clone(recording))?,
        None => router.with_recording(Arc::clone(recording)),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn slice(service: &str, hosts: &[(&str, Option<bool>)]) -> Arc<EndpointSlice> {
        let endpoint = |(host, ready): &(&str, Option<bool>)| Endpoint {
            addresses: vec![(*host).to_owned()],
            conditions: Some(EndpointConditions {
                ready: *ready,
                ..EndpointConditions::default()
            }),
            ..Endpoint::default()
        };
        Arc::new(EndpointSlice {
            metadata: ObjectMeta {
                labels: Some([(SERVICE_NAME.to_owned(), service.to_owned())].into()),
                ..ObjectMeta::default()
            },
            endpoints: Some(hosts.iter().map(endpoint).collect()),
            ports: Some(vec![EndpointPort {
                port: Some(8080),
                ..EndpointPort::default()
            }]),
            ..EndpointSlice::default()
        })
    }

    #[test]
    fn a_port_is_found_by_its_name_and_the_first_is_taken_where_none_has_it() {
        let mut slice = (*slice("grocery-dlrm", &[("10.0.0.2", None)])).clone();
        let port = |name: &str, port| EndpointPort {
            name: Some(name.to_owned()),
            port: Some(port),
            ..EndpointPort::default()
        };
        slice.ports = Some(vec![port("admin", 8081), port("http", 8080)]);
        assert_eq!(slice_addresses(&slice, HTTP_PORT), ["10.0.0.2:8080"]);
        assert_eq!(slice_addresses(&slice, ADMIN_PORT), ["10.0.0.2:8081"]);
        assert_eq!(slice_addresses(&slice, "grpc"), ["10.0.0.2:8081"]);
        slice.ports = None;
        assert!(slice_addresses(&slice, HTTP_PORT).is_empty());
    }

    #[test]
    fn a_variant_is_asked_at_the_pods_of_its_service_that_are_ready() {
        let route = |name: &str| gondola_wire::routes::Route {
            name: name.into(),
            weight: 1,
            buckets: Vec::new(),
            service: format!("grocery-{name}"),
        };
        let routes = Routes {
            variants: vec![route("dlrm"), route("forest")],
            ..Routes::default()
        };
        let slices = [
            slice(
                "grocery-dlrm",
                &[("10.0.0.2", Some(true)), ("10.0.0.3", Some(false))],
            ),
            slice("grocery-dlrm", &[("fd00::1", None)]),
            slice("other", &[("10.0.0.9", Some(true))]),
        ];
        let found = addresses(&routes, &slices);
        assert_eq!(
            found["dlrm"],
            BTreeSet::from(["10.0.0.2:8080".into(), "[fd00::1]:8080".into()])
        );
        assert!(found["forest"].is_empty(), "no pod, and no error");
    }
}
