//! Who may reach whom: NetworkPolicies that deny everything else.

use gondola_crds::RecommenderPipeline;
use gondola_crds::spec::NetworkRules;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{Component, Names};
use super::pod::{PORT, some_if_any};

/// The policies of a pipeline that wants some: variants are reached by routers alone, and each pod reaches only what it needs.
pub fn policies(pipeline: &RecommenderPipeline) -> Vec<NetworkPolicy> {
    let Some(rules) = &pipeline.spec.network_policy else {
        return Vec::new();
    };
    let names = Names::of(pipeline);
    let variants = pipeline.spec.variants.iter().map(|variant| {
        let component = Component::Variant(&variant.name);
        let from_routers = ingress(Some(vec![peer(&names, Component::Router)]));
        policy(&names, component, vec![from_routers], vec![dns(), store(rules)])
    });
    let to_variants = pipeline
        .spec
        .variants
        .iter()
        .map(|variant| peer(&names, Component::Variant(&variant.name)));
    let to_variants = NetworkPolicyEgressRule {
        to: some_if_any(to_variants.collect()),
        ports: Some(vec![port("TCP", PORT)]),
    };
    let mut router_egress = vec![dns(), api_server(), to_variants];
    let mut analyzer = None;
    if pipeline.spec.experiment.is_some() {
        router_egress.push(store(rules));
        let to_routers = NetworkPolicyEgressRule {
            to: Some(vec![peer(&names, Component::Router)]),
            ports: Some(vec![port("TCP", PORT)]),
        };
        let egress = vec![dns(), api_server(), store(rules), to_routers];
        analyzer = Some(policy(&names, Component::Analyzer, vec![], egress));
    }
    let router = policy(&names, Component::Router, vec![ingress(None)], router_egress);
    let resolver_egress = vec![dns(), api_server(), store(rules)];
    let resolver = policy(&names, Component::Resolver, vec![], resolver_egress);
    variants.chain([router, resolver]).chain(analyzer).collect()
}

fn policy(
    names: &Names<'_>,
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

fn ingress(from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from,
        ports: Some(vec![port("TCP", PORT)]),
    }
}

fn peer(names: &Names<'_>, component: Component<'_>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(names.label_selector(component)),
        ..NetworkPolicyPeer::default()
    }
}

fn dns() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: None,
        ports: Some(vec![port("UDP", 53), port("TCP", 53)]),
    }
}

/// The API server's address is behind a Service that no selector can name; its ports are the two that are in use.
fn api_server() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: None,
        ports: Some(vec![port("TCP", 443), port("TCP", 6443)]),
    }
}

fn store(rules: &NetworkRules) -> NetworkPolicyEgressRule {
    let blocks = rules.store_cidrs.iter().map(|cidr| NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.clone(),
            except: None,
        }),
        ..NetworkPolicyPeer::default()
    });
    match some_if_any(blocks.collect()) {
        Some(to) => NetworkPolicyEgressRule {
            to: Some(to),
            ports: None,
        },
        // No range at all must not mean every address: a volume needs none.
        None => dns(),
    }
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        end_port: None,
    }
}
