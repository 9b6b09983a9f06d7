//! Who may send requests, as pods learn it: Secrets as folders, each at a path of ours, and variables that name them.

use gondola_crds::access::{Access, ClientLimits, Jwt, SecretSource};
use gondola_wire::variables;
use k8s_openapi::api::core::v1::{Container, PodSpec, Service};

use super::pod::{self, Access::Read};
use crate::pipeline::Pipeline;

/// Where Secrets and the issuer's keys are mounted in routers.
const TLS_FOLDER: &str = "/etc/gondola/tls";
const API_KEYS_FOLDER: &str = "/etc/gondola/api-keys";
const ARM_KEY_FOLDER: &str = "/etc/gondola/arm-key";
const JWT_KEYS_FOLDER: &str = "/etc/gondola/jwt-keys";
/// The key of the ConfigMap with the issuer's keys.
const JWT_KEYS_FILE: &str = "jwks.json";
/// Where the Secret of routers and variants is mounted in both.
const MUTUAL_TLS_FOLDER: &str = "/etc/gondola/mutual-tls";
/// Its authority.
const AUTHORITY_FILE: &str = "ca.crt";
/// The certificate of a Secret for TLS, without its key.
const CERTIFICATE_FILE: &str = "tls.crt";

fn access(pipeline: &Pipeline) -> Option<&Access> {
    pipeline.spec.router.as_ref()?.access.as_ref()
}

fn router_tls(pipeline: &Pipeline) -> Option<&SecretSource> {
    access(pipeline)?.tls.as_ref()
}

/// Whether routers are reached over TLS.
pub fn routers_have_tls(pipeline: &Pipeline) -> bool {
    router_tls(pipeline).is_some()
}

/// Whether variants are.
pub fn variants_have_tls(pipeline: &Pipeline) -> bool {
    pipeline.spec.mutual_tls.is_some()
}

/// Whether routers ask an issuer for its keys.
pub fn asks_issuer(pipeline: &Pipeline) -> bool {
    let jwt = access(pipeline).and_then(|access| access.jwt.as_ref());
    jwt.is_some_and(|jwt| jwt.keys.url.is_some())
}

/// Whether pages may ask from a browser.
pub fn lets_pages_in(pipeline: &Pipeline) -> bool {
    access(pipeline).is_some_and(|access| access.cors.is_some())
}

/// What routers let in, and how they reach variants.
pub fn of_routers(pod: &mut PodSpec, pipeline: &Pipeline) {
    if let Some(mutual) = &pipeline.spec.mutual_tls {
        mount(pod, "mutual-tls", mutual, MUTUAL_TLS_FOLDER);
        let name = format!("{}.{}.svc", pipeline.names.pipeline(), pipeline.names.namespace());
        for container in &mut pod.containers {
            pod::set(container, variables::VARIANTS_CA, authority());
            pod::set(container, variables::VARIANTS_NAME, name.as_str());
            pod::set(container, variables::CLIENT_TLS, MUTUAL_TLS_FOLDER);
        }
    }
    let Some(Access {
        tls,
        api_keys,
        jwt,
        limits,
        cors,
        forced_arms,
    }) = access(pipeline)
    else {
        return;
    };
    for (name, source, folder, variable) in [
        ("tls", tls, TLS_FOLDER, variables::TLS),
        ("api-keys", api_keys, API_KEYS_FOLDER, variables::API_KEYS),
        ("arm-key", forced_arms, ARM_KEY_FOLDER, variables::ARM_KEY),
    ] {
        if let Some(source) = source {
            mount(pod, name, source, folder);
            set(pod, variable, folder);
        }
    }
    if let Some(jwt) = jwt {
        takes_tokens(pod, jwt);
    }
    if let Some(limits) = limits {
        limit(pod, limits);
    }
    if let Some(cors) = cors {
        set(pod, variables::CORS_ORIGIN, &cors.origins.join(","));
    }
    if tls.is_some() {
        pod.containers.iter_mut().for_each(probe_over_tls);
    }
}

/// What variants let in.
pub fn of_variants(pod: &mut PodSpec, pipeline: &Pipeline) {
    let Some(mutual) = &pipeline.spec.mutual_tls else {
        return;
    };
    mount(pod, "mutual-tls", mutual, MUTUAL_TLS_FOLDER);
    set(pod, variables::TLS, MUTUAL_TLS_FOLDER);
    set(pod, variables::CLIENT_CA, &authority());
    pod.containers.iter_mut().for_each(probe_over_tls);
}

/// How the analyzer knows the routers: by the very certificate that they show, without its key.
pub fn of_analyzer(pod: &mut PodSpec, pipeline: &Pipeline) {
    let Some(tls) = router_tls(pipeline) else {
        return;
    };
    let volume = pod::secret_file("router-tls", &tls.secret_ref, CERTIFICATE_FILE);
    pod::mount(pod, volume, TLS_FOLDER, Read);
    set(
        pod,
        variables::ROUTERS_CERTIFICATE,
        &format!("{TLS_FOLDER}/{CERTIFICATE_FILE}"),
    );
}

fn takes_tokens(pod: &mut PodSpec, jwt: &Jwt) {
    set(pod, variables::JWT_ISSUER, &jwt.issuer);
    set(pod, variables::JWT_AUDIENCE, &jwt.audience);
    if let Some(url) = &jwt.keys.url {
        set(pod, variables::JWT_KEYS, url);
    }
    if let Some(config) = &jwt.keys.config_map_ref {
        pod::mount(
            pod,
            pod::config_map("jwt-keys", &config.name),
            JWT_KEYS_FOLDER,
            Read,
        );
        set(
            pod,
            variables::JWT_KEYS,
            &format!("{JWT_KEYS_FOLDER}/{JWT_KEYS_FILE}"),
        );
    }
}

fn limit(pod: &mut PodSpec, limits: &ClientLimits) {
    for (variable, value) in [
        (variables::RATE_PER_SECOND, limits.requests_per_second),
        (variables::RATE_BURST, limits.burst),
        (variables::CONCURRENCY_PER_CLIENT, limits.concurrency),
    ] {
        if let Some(value) = value {
            set(pod, variable, &value.to_string());
        }
    }
}

fn mount(pod: &mut PodSpec, name: &str, source: &SecretSource, folder: &str) {
    pod::mount(pod, pod::secret(name, &source.secret_ref), folder, Read);
}

fn authority() -> String {
    format!("{MUTUAL_TLS_FOLDER}/{AUTHORITY_FILE}")
}

fn set(pod: &mut PodSpec, variable: &str, value: &str) {
    for container in &mut pod.containers {
        pod::set(container, variable, value);
    }
}

/// Says in a Service what its ports speak, where that is not plain HTTP/2: gateways and meshes go by it.
pub fn over_tls(service: &mut Service) {
    let ports = service.spec.iter_mut().flat_map(|spec| spec.ports.iter_mut());
    for port in ports.flatten() {
        port.app_protocol = Some("https".to_owned());
    }
}

/// Probes don't verify certificates.
fn probe_over_tls(container: &mut Container) {
    let probes = [
        &mut container.startup_probe,
        &mut container.readiness_probe,
        &mut container.liveness_probe,
    ];
    for probe in probes.into_iter().flatten() {
        if let Some(get) = &mut probe.http_get {
            get.scheme = Some("HTTPS".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use gondola_crds::RecommenderPipeline;
    use gondola_wire::resolution::VariantResolution;
    use k8s_openapi::api::core::v1::PodSpec;
    use kube::ResourceExt as _;
    use serde_json::{Value, json};

    use crate::extension::Extension;
    use crate::fixtures::{Cluster, bundles, changed, checked, secured};
    use crate::plan::Plan;
    use crate::plan::extensions;
    use crate::policy::{self, Policy};

    fn planned(pipeline: &RecommenderPipeline) -> Plan {
        let mut cluster = Cluster::empty();
        let resolved = |_: &str| VariantResolution::Resolved(bundles("v1"));
        cluster.report(pipeline, resolved).plan(pipeline)
    }

    /// Of a pod only what an access changes: variables, probes' schemes, and Secrets with their places.
    fn shown(plan: &Plan, name: &str) -> Value {
        let mut all = plan.children.deployments.iter();
        let deployment = all.find(|deployment| deployment.name_any() == name).unwrap();
        let pod: &PodSpec = deployment.spec.template.spec.as_ref().unwrap();
        let container = &pod.containers[0];
        let ours = [
            "TLS",
            "CA",
            "KEY",
            "JWT",
            "RATE",
            "CONCURRENCY",
            "CORS",
            "VARIANTS",
            "CERTIFICATE",
        ];
        let variables: Vec<_> = container
            .env
            .iter()
            .flatten()
            .filter(|variable| ours.iter().any(|part| variable.name.contains(part)))
            .map(|variable| {
                format!(
                    "{}={}",
                    variable.name,
                    variable.value.as_deref().unwrap_or_default()
                )
            })
            .collect();
        let probes = [
            &container.startup_probe,
            &container.readiness_probe,
            &container.liveness_probe,
        ];
        let schemes: Vec<_> = probes
            .into_iter()
            .flatten()
            .map(|probe| probe.http_get.as_ref().unwrap().scheme.clone())
            .collect();
        let volumes: Vec<_> = pod
            .volumes
            .iter()
            .flatten()
            .filter(|volume| volume.secret.is_some() || volume.config_map.is_some())
            .collect();
        let mounts: Vec<_> = container
            .volume_mounts
            .iter()
            .flatten()
            .filter(|mount| volumes.iter().any(|volume| volume.name == mount.name))
            .collect();
        json!({"env": variables, "probes": schemes, "volumes": volumes, "mounts": mounts})
    }

    #[test]
    fn pods_learn_who_may_send_requests() {
        let plan = planned(&secured());
        let monitor = |pipeline: &RecommenderPipeline| {
            let monitor = extensions::wanted(Extension::PodMonitor, &checked(pipeline)).unwrap();
            monitor.data["spec"]["podMetricsEndpoints"].clone()
        };
        let route = extensions::wanted(Extension::HttpRoute, &checked(&secured())).unwrap();
        let services: Vec<_> = plan.children.services.iter().collect();
        let protocols: Vec<_> = services
            .iter()
            .flat_map(|service| service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()))
            .map(|port| port.app_protocol.as_deref().unwrap_or_default())
            .collect();
        assert!(protocols.len() > 3, "{protocols:?}");
        assert!(
            protocols.iter().all(|protocol| *protocol == "https"),
            "{protocols:?}"
        );
        let mut routers_alone = secured();
        routers_alone.spec.mutual_tls = None;
        insta::assert_yaml_snapshot!(
            "access",
            json!({
                "router": shown(&plan, "grocery--router"),
                "variant": shown(&plan, "grocery--dlrm"),
                "analyzer": shown(&plan, "grocery--analyzer"),
                "matches of the route": route.data["spec"]["rules"][0]["matches"],
                "monitor": monitor(&secured()),
                "monitor of routers with TLS alone": monitor(&routers_alone),
            })
        );
    }

    #[test]
    fn an_issuers_url_is_a_host_that_somebody_permits() {
        let with = |url: &str| {
            let access = format!(
                "  router: {{access: {{jwt: {{issuer: i, audience: a, keys: {{url: '{url}'}}}}}}}}\n  control: dlrm\n"
            );
            changed("  control: dlrm\n", &access)
        };
        let objection = |url: &str, policy: &Policy| {
            let observed = Cluster::empty().observed;
            policy::objection(&with(url).spec, &observed, policy).map(|objection| objection.to_string())
        };
        let anything = Policy::default();
        let restricted = Policy {
            allowed_endpoints: vec!["http://minio:9000".to_owned(), "https://login.example".to_owned()],
            ..Policy::default()
        };
        assert_eq!(objection("https://login.example/keys", &anything), None);
        assert_eq!(objection("https://login.example/keys", &restricted), None);
        let refused = objection("https://else.example/keys", &restricted).unwrap();
        assert!(refused.starts_with("spec.router.access.jwt.keys.url is \"https://else.example/keys\", but endpoints in this cluster"), "{refused}");
        let own = objection("https://169.254.169.254/keys", &anything).unwrap();
        assert!(own.contains("an address of the node itself"), "{own}");
    }
}
