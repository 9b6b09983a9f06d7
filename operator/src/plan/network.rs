//! NetworkPolicies: who may reach whom; everything else is denied.
//!
//! Anybody may send questions to routers; changes reach their second port from the pipeline's own namespace only.
//! Variants are reached by routers alone; Prometheus reads metrics. Every pod may look up
//! names, on whichever port the cluster's DNS pods listen; pods that speak to the API server reach it where it answers.

use gondola_wire::routes::Routes;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::{ADMIN_PORT, PORT, some_if_any};
use super::{access, routes};
use crate::names::{Component, Names};
use crate::observed::Address;
use crate::pipeline::Pipeline;

/// Labels of DNS pods: Kubernetes' own, and OpenShift's, which listen on 5353.
const DNS_PODS: [(&str, &str); 2] = [
    ("k8s-app", "kube-dns"),
    ("dns.operator.openshift.io/daemonset-dns", "default"),
];
/// Where a DNS cache of the node answers.
const DNS_CACHE: &str = "169.254.20.10/32";
/// Ports of API servers, where the one of this cluster is not known.
const API_SERVER_PORTS: [i32; 4] = [443, 6443, 8443, 16_443];
/// The label of Prometheus' pods, as its operator sets it.
const PROMETHEUS: (&str, &str) = ("app.kubernetes.io/name", "prometheus");

/// The policies of a pipeline that wants some; for every variant that gets users, also one that is about to leave.
pub fn policies(pipeline: &Pipeline, routes: &Routes, api_server: &[Address]) -> Vec<NetworkPolicy> {
    let Some(rules) = &pipeline.spec.network_policy else {
        return Vec::new();
    };
    let names = &pipeline.names;
    let stores = rules.egress.clone();
    let with_stores = |own: Vec<NetworkPolicyEgressRule>| [own, stores.clone()].concat();
    let in_spec = pipeline.spec.variants.iter().map(|variant| variant.name.as_str());
    let mut variants = routes::names(routes);
    variants.extend(in_spec);

    let mut policies: Vec<NetworkPolicy> = variants
        .iter()
        .map(|name| {
            let from_routers = ingress(Some(vec![peer(names, Component::Router)]), &[PORT, ADMIN_PORT]);
            let ingress = [vec![from_routers], metrics(pipeline)].concat();
            policy(names, Component::Variant(name), ingress, with_stores(vec![dns()]))
        })
        .collect();

    let to_variants = variants.iter().map(|name| peer(names, Component::Variant(name)));
    let to_variants = egress(some_if_any(to_variants.collect()), &[PORT, ADMIN_PORT]);
    let router_egress = vec![dns(), api_server_rule(api_server), to_variants];
    let records = pipeline.spec.experiment.is_some();
    let beyond = records || access::asks_issuer(pipeline) || pipeline.spec.tracing.is_some();
    let router_egress = if beyond {
        with_stores(router_egress)
    } else {
        router_egress
    };
    // Anybody may send questions; changes and outcomes come from the pipeline's own namespace. Policies are additive:
    // another one can admit more clients.
    let from_namespace = NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    let own = vec![
        ingress(None, &[PORT]),
        ingress(Some(vec![from_namespace]), &[ADMIN_PORT]),
    ];
    let router_ingress = [own, metrics(pipeline)].concat();
    policies.push(policy(names, Component::Router, router_ingress, router_egress));

    let resolver_egress = with_stores(vec![dns(), api_server_rule(api_server)]);
    policies.push(policy(names, Component::Resolver, vec![], resolver_egress));
    if records {
        let to_routers = egress(Some(vec![peer(names, Component::Router)]), &[ADMIN_PORT]);
        let egress = with_stores(vec![dns(), api_server_rule(api_server), to_routers]);
        policies.push(policy(names, Component::Analyzer, vec![], egress));
    }
    policies
}

fn policy(
    names: &Names,
    component: Component<'_>,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    let metadata: ObjectMeta = names.component_metadata(component);
    NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(names.label_selector(component)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: some_if_any(ingress),
            egress: some_if_any(egress),
        }),
    }
}

/// Lets Prometheus read metrics, where the spec wants them read.
fn metrics(pipeline: &Pipeline) -> Vec<NetworkPolicyIngressRule> {
    let Some(monitoring) = &pipeline.spec.monitoring else {
        return Vec::new();
    };
    let from = if monitoring.from.is_empty() {
        vec![pods_anywhere(PROMETHEUS)]
    } else {
        monitoring.from.clone()
    };
    vec![ingress(Some(from), &[ADMIN_PORT])]
}

fn ingress(from: Option<Vec<NetworkPolicyPeer>>, ports: &[i32]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from,
        ports: Some(ports.iter().map(|number| port("TCP", *number)).collect()),
    }
}

fn egress(to: Option<Vec<NetworkPolicyPeer>>, ports: &[i32]) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to,
        ports: Some(ports.iter().map(|number| port("TCP", *number)).collect()),
    }
}

fn peer(names: &Names, component: Component<'_>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(names.label_selector(component)),
        ..NetworkPolicyPeer::default()
    }
}

/// Pods with a label, in any namespace.
fn pods_anywhere((label, value): (&str, &str)) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(LabelSelector {
            match_labels: Some([(label.to_owned(), value.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ip_block: None,
    }
}

fn addresses(cidr: String) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr, except: None }),
        ..NetworkPolicyPeer::default()
    }
}

/// The cluster's DNS, on any port.
fn dns() -> NetworkPolicyEgressRule {
    let pods = DNS_PODS.map(pods_anywhere);
    NetworkPolicyEgressRule {
        to: Some(
            pods.into_iter()
                .chain([addresses(DNS_CACHE.to_owned())])
                .collect(),
        ),
        ports: None,
    }
}

/// The API server, at its own addresses and ports; anywhere on the usual ports where they are not known.
fn api_server_rule(known: &[Address]) -> NetworkPolicyEgressRule {
    if known.is_empty() {
        return egress(None, &API_SERVER_PORTS);
    }
    let mut ports: Vec<i32> = known.iter().map(|address| address.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let mut hosts: Vec<&str> = known.iter().map(|address| address.host.as_str()).collect();
    hosts.dedup();
    let block = |host: &str| addresses(format!("{host}/{}", if host.contains(':') { 128 } else { 32 }));
    egress(Some(hosts.into_iter().map(block).collect()), &ports)
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        end_port: None,
    }
}
