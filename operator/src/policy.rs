//! What a pipeline may not use although its schema allows it: what somebody else has to permit first.
//!
//! Hosts are read as a browser would ([`url`]): an address in decimal, octal or as an IPv6 one is the address that it
//! is. Host names are not resolved here, since they may resolve differently a moment later: network policies have to
//! stop those that lead inward.

use std::net::{IpAddr, Ipv6Addr};

use gondola_crds::spec::{Artifacts, PodOverrides};
use url::{Host, Url};

use crate::observed::Observed;
use crate::reasons;
use gondola_crds::RecommenderPipelineSpec;

/// What the operator's configuration permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Prefixes of store URLs; any if empty.
    pub allowed_stores: Vec<String>,
    /// Prefixes of store endpoints. Empty: any, or none if stores are restricted, since an endpoint is another store.
    pub allowed_endpoints: Vec<String>,
    /// Prefixes of images; any if empty.
    pub allowed_images: Vec<String>,
}

/// Parts of names of environment variables that redirect a store's client.
const STEERING: [&str; 6] = ["ENDPOINT", "PROXY", "SSL_CERT", "CA_BUNDLE", "METADATA", "LD_"];
/// Names of the machine itself, and of the services that clouds give their machines.
const OWN_NAMES: [&str; 4] = [
    "localhost",
    "metadata",
    "metadata.google.internal",
    "instance-data",
];

/// Why nothing is done for a pipeline until somebody permits it, or its spec changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The account's owner has not said that pipelines may use it.
    #[error(
        "spec.artifacts.serviceAccountName is {name:?}, which does not exist or does not carry the label gondola.dev/allow-use=true; its owner can set it"
    )]
    ServiceAccount {
        /// The account.
        name: String,
    },
    /// The store is not permitted in this cluster.
    #[error("{field}.url is {url:?}, but stores in this cluster must begin with {}", .allowed.join(" or "))]
    Store {
        /// The field of the spec.
        field: &'static str,
        /// The URL.
        url: String,
        /// What is permitted.
        allowed: Vec<String>,
    },
    /// The endpoint is not permitted in this cluster.
    #[error("{field} is {endpoint:?}, but {}", permitted(.allowed))]
    EndpointNotAllowed {
        /// The field of the spec.
        field: String,
        /// The endpoint.
        endpoint: String,
        /// What is permitted.
        allowed: Vec<String>,
    },
    /// The endpoint is the machine's own or its cloud's metadata service, which answer any request from the machine.
    #[error("{field} is {address:?}, an address of the node itself; name the store's own host")]
    OwnAddress {
        /// The field of the spec.
        field: String,
        /// The address.
        address: String,
    },
    /// It can't be read as a URL.
    #[error(
        "{field} is {address:?}, which is not a valid URL: {problem}; write for example http://minio:9000"
    )]
    Address {
        /// The field of the spec.
        field: String,
        /// The address.
        address: String,
        /// The problem, as a sentence.
        problem: String,
    },
    /// The image is not permitted in this cluster.
    #[error("{field}.image is {image:?}, but images in this cluster must begin with {}; leave it out to use the installation's own", .allowed.join(" or "))]
    Image {
        /// The field of the spec.
        field: String,
        /// The image.
        image: String,
        /// What is permitted.
        allowed: Vec<String>,
    },
    /// The variable would lead the pods to another store than the one that is permitted.
    #[error(
        "{field}.env has {name:?}, which could lead pods to another store than this cluster permits; take it out, and write an endpoint as spec.artifacts.endpoint"
    )]
    Environment {
        /// The field of the spec.
        field: String,
        /// The variable.
        name: String,
    },
}

fn permitted(allowed: &[String]) -> String {
    match allowed {
        [] => "this cluster permits no endpoints other than its stores' own; leave it out, or ask for an entry in allowedEndpoints".to_owned(),
        allowed => format!("endpoints in this cluster must begin with {}", allowed.join(" or ")),
    }
}

impl Objection {
    /// The reason of its condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ServiceAccount { .. } => reasons::SERVICE_ACCOUNT_NOT_ALLOWED,
            Self::Store { .. }
            | Self::EndpointNotAllowed { .. }
            | Self::OwnAddress { .. }
            | Self::Address { .. } => reasons::STORE_NOT_ALLOWED,
            Self::Image { .. } => reasons::IMAGE_NOT_ALLOWED,
            Self::Environment { .. } => reasons::ENVIRONMENT_NOT_ALLOWED,
        }
    }
}

/// The first objection to a pipeline.
pub fn objection(spec: &RecommenderPipelineSpec, observed: &Observed, policy: &Policy) -> Option<Objection> {
    let bundles = Place {
        field: "spec.artifacts",
        url: &spec.artifacts.url,
        endpoint: spec.artifacts.endpoint.as_deref(),
    };
    let events = spec.experiment.as_ref().map(|experiment| Place {
        field: "spec.experiment.store",
        url: &experiment.store.url,
        endpoint: experiment.store.endpoint.as_deref(),
    });
    let places: Vec<Place<'_>> = [Some(bundles), events].into_iter().flatten().collect();
    let of_variants = spec.variants.iter().map(|variant| {
        let field = format!("spec.variants[{}].pods", variant.name);
        (field, variant.pods.as_ref())
    });
    let pods: Vec<_> = std::iter::once(("spec.pods".to_owned(), spec.pods.as_ref()))
        .chain(of_variants)
        .collect();
    account(&spec.artifacts, observed.account_allowed)
        .or_else(|| objection_to(&places, &pods, policy))
        .or_else(|| issuer(spec, policy))
}

/// The first objection to stores that a spec names, and to what it says of pods, by the field that says it.
pub fn objection_to(
    places: &[Place<'_>],
    pods: &[(String, Option<&PodOverrides>)],
    policy: &Policy,
) -> Option<Objection> {
    let of_place = |place: &Place<'_>| store(place, policy).or_else(|| endpoint(place, policy));
    let of_pods = |(field, pods): &(String, Option<&PodOverrides>)| {
        let pods = (*pods)?;
        image(field, pods, policy).or_else(|| environment(field, pods, policy))
    };
    places
        .iter()
        .find_map(of_place)
        .or_else(|| pods.iter().find_map(of_pods))
}

/// A store that a spec names.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The field of the spec.
    pub field: &'static str,
    /// Its URL.
    pub url: &'a str,
    /// Its endpoint.
    pub endpoint: Option<&'a str>,
}

/// The objection to a service account that the spec names and whose owner doesn't allow its use.
pub fn account(artifacts: &Artifacts, allowed: bool) -> Option<Objection> {
    let name = artifacts.service_account_name.clone()?;
    (!allowed).then_some(Objection::ServiceAccount { name })
}

fn store(place: &Place<'_>, policy: &Policy) -> Option<Objection> {
    let Place { field, url, .. } = *place;
    let allowed = &policy.allowed_stores;
    if !allowed.is_empty() && !allowed.iter().any(|prefix| is_below(url, prefix)) {
        return Some(Objection::Store {
            field,
            url: url.to_owned(),
            allowed: allowed.clone(),
        });
    }
    // A store over HTTP is checked like an endpoint.
    let over_http = url.starts_with("http://") || url.starts_with("https://");
    over_http.then(|| address(format!("{field}.url"), url)).flatten()
}

fn endpoint(place: &Place<'_>, policy: &Policy) -> Option<Objection> {
    host(format!("{}.endpoint", place.field), place.endpoint?, policy)
}

/// Routers ask an issuer for its keys, from where they are: that is one more host, permitted as those of stores are.
fn issuer(spec: &RecommenderPipelineSpec, policy: &Policy) -> Option<Objection> {
    let jwt = spec.router.as_ref()?.access.as_ref()?.jwt.as_ref()?;
    let url = jwt.keys.url.as_deref()?;
    host("spec.router.access.jwt.keys.url".to_owned(), url, policy)
}

/// The objection to a host that pods would ask.
fn host(field: String, endpoint: &str, policy: &Policy) -> Option<Objection> {
    let Policy {
        allowed_stores,
        allowed_endpoints,
        ..
    } = policy;
    let restricted = !(allowed_stores.is_empty() && allowed_endpoints.is_empty());
    if restricted && !allowed_endpoints.iter().any(|prefix| is_below(endpoint, prefix)) {
        return Some(Objection::EndpointNotAllowed {
            field,
            endpoint: endpoint.to_owned(),
            allowed: allowed_endpoints.clone(),
        });
    }
    address(field, endpoint)
}

/// Whether a URL is below another one: the same scheme and host, and a path that begins with whole segments of the
/// other's. A URL with `..` or percent-encoding is below nothing.
fn is_below(url: &str, prefix: &str) -> bool {
    let (Ok(parsed), Ok(allowed)) = (Url::parse(url), Url::parse(prefix)) else {
        return false;
    };
    let path = |url: &Url| url.path().trim_start_matches('/').to_owned();
    let (inside, around) = (path(&parsed), path(&allowed));
    let whole_segments = around.is_empty()
        || around.ends_with('/')
        || inside == around
        || inside.as_bytes().get(around.len()) == Some(&b'/');
    parsed.scheme() == allowed.scheme()
        && parsed.host() == allowed.host()
        && (allowed.port().is_none() || parsed.port() == allowed.port())
        && parsed.username().is_empty()
        && parsed.password().is_none()
        && !url.contains("..")
        && !url.contains('%')
        && inside.starts_with(&around)
        && whole_segments
}

/// What is wrong with an address that pods would be sent to.
fn address(field: String, address: &str) -> Option<Objection> {
    let wrong = |field: String, problem: &str| Objection::Address {
        field,
        address: address.to_owned(),
        problem: problem.to_owned(),
    };
    let url = match Url::parse(address) {
        Ok(url) => url,
        Err(error) => return Some(wrong(field, &error.to_string())),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some(wrong(
            field,
            "it has a user or a password, which belong in the credentials",
        ));
    }
    let own = match url.host() {
        Some(Host::Ipv4(host)) => is_own(IpAddr::V4(host)),
        Some(Host::Ipv6(host)) => is_own(IpAddr::V6(host)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            OWN_NAMES.contains(&name.as_str()) || name.ends_with(".localhost")
        }
        None => return Some(wrong(field, "it names no host")),
    };
    own.then(|| Objection::OwnAddress {
        field,
        address: address.to_owned(),
    })
}

/// Addresses of the machine itself, and the metadata addresses of clouds.
fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                // Alibaba's and Oracle's metadata.
                || address.octets() == [100, 100, 100, 200]
                || address.octets() == [192, 0, 0, 192]
        }
        IpAddr::V6(address) => {
            let mapped = address.to_ipv4_mapped().or_else(|| address.to_ipv4());
            mapped.is_some_and(|address| is_own(IpAddr::V4(address)))
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                // AWS' metadata over IPv6.
                || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

fn image(field: &str, pods: &PodOverrides, policy: &Policy) -> Option<Objection> {
    let image = pods.image.as_ref()?;
    let allowed = &policy.allowed_images;
    let permitted = allowed.is_empty() || allowed.iter().any(|prefix| image.starts_with(prefix.as_str()));
    (!permitted).then(|| Objection::Image {
        field: field.to_owned(),
        image: image.clone(),
        allowed: allowed.clone(),
    })
}

fn environment(field: &str, pods: &PodOverrides, policy: &Policy) -> Option<Objection> {
    if policy.allowed_stores.is_empty() {
        return None;
    }
    let steers = |name: &str| {
        STEERING
            .iter()
            .any(|part| name.to_ascii_uppercase().contains(part))
    };
    let variable = pods.env.iter().find(|variable| steers(&variable.name))?;
    Some(Objection::Environment {
        field: field.to_owned(),
        name: variable.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use gondola_crds::spec::Variable;

    use super::*;

    #[track_caller]
    fn check(change: impl Fn(&mut RecommenderPipelineSpec), policy: Policy, expected: Option<&str>) {
        let mut spec = crate::fixtures::pipeline().spec;
        spec.artifacts.endpoint = None;
        change(&mut spec);
        let found = objection(&spec, &Observed::default(), &policy).map(|objection| objection.to_string());
        match (found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) if found.contains(expected) => {}
            (found, expected) => panic!("{:?}: {found:?}, not {expected:?}", spec.artifacts),
        }
    }

    fn stores(allowed: &[&str]) -> Policy {
        Policy {
            allowed_stores: allowed.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..Policy::default()
        }
    }

    #[track_caller]
    fn check_url(url: &str, allowed: &[&str], expected: Option<&str>) {
        check(|spec| spec.artifacts.url = url.into(), stores(allowed), expected);
    }

    #[test]
    fn a_store_must_be_one_that_the_cluster_permits() {
        check_url("s3://anywhere/x", &[], None);
        check_url("s3://models/grocery", &["gs://m/", "s3://models/"], None);
        check_url("s3://models/grocery", &["s3://models"], None);
        let allowed = "stores in this cluster must begin with s3://models/";
        for url in [
            "s3://models.evil/x",
            "s3://models/../other",
            "s3://models/%2e%2e/other",
            "s3://user@models/x",
            "http://models/",
        ] {
            check_url(url, &["s3://models/"], Some(allowed));
        }
        check_url(
            "s3://models/grocery-of-others/x",
            &["s3://models/grocery"],
            Some("begin with"),
        );
        check_url("s3://models/grocery/x", &["s3://models/grocery"], None);
    }

    #[track_caller]
    fn check_endpoint(endpoint: &str, policy: Policy, expected: Option<&str>) {
        check(
            |spec| spec.artifacts.endpoint = Some(endpoint.into()),
            policy,
            expected,
        );
    }

    #[test]
    fn an_endpoint_must_not_be_the_node_or_its_metadata_however_it_is_written() {
        check_endpoint("http://minio.shop.svc:9000", Policy::default(), None);
        check_endpoint("http://10.0.0.7:9000/path", Policy::default(), None);
        for own in [
            "http://169.254.169.254",
            "http://127.0.0.1:9000",
            "http://2852039166",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://0251.0376.0251.0376",
            "http://0xa9fea9fe/",
            "http://127.1",
            "http://[::ffff:169.254.169.254]",
            "http://[::ffff:a9fe:a9fe]",
            "http://169.254.169.254.",
            "https://localhost/",
            "https://LOCALHOST.",
            "http://[::1]:9000",
            "http://[fe80::1]",
            "http://[fd00:ec2::254]",
            "http://100.100.100.200",
            "http://metadata.google.internal",
            "http://metadata.google.internal.",
            "http://metadata",
        ] {
            check_endpoint(own, Policy::default(), Some("an address of the node itself"));
        }
        check_endpoint(
            "http://user:secret@minio:9000",
            Policy::default(),
            Some("it has a user or a password"),
        );
        check_endpoint(
            "http://minio@127.0.0.1/",
            Policy::default(),
            Some("it has a user or a password"),
        );
        check_endpoint("http://", Policy::default(), Some("is not a valid URL"));
        check_url(
            "http://169.254.169.254/bundles",
            &[],
            Some("an address of the node itself"),
        );
    }

    #[test]
    fn an_endpoint_is_checked_against_what_the_installer_allows() {
        let restricted = stores(&["s3://models/"]);
        check_endpoint(
            "http://mine:9000",
            restricted.clone(),
            Some("this cluster permits no endpoints other than its stores' own"),
        );
        let with_endpoints = Policy {
            allowed_endpoints: vec!["http://minio.storage.svc:9000".into()],
            ..restricted
        };
        check_endpoint("http://minio.storage.svc:9000", with_endpoints.clone(), None);
        let allowed = "endpoints in this cluster must begin with http://minio.storage.svc:9000";
        for other in [
            "http://minio.storage.svc:9001",
            "http://minio.storage.svc.mine:9000",
            "https://minio.storage.svc:9000",
        ] {
            check_endpoint(other, with_endpoints.clone(), Some(allowed));
        }
    }

    #[test]
    fn images_and_variables_are_checked_against_what_the_installer_allows() {
        let image = |spec: &mut RecommenderPipelineSpec| {
            spec.pods = Some(PodOverrides {
                image: Some("evil/program:1".into()),
                ..PodOverrides::default()
            });
        };
        check(image, Policy::default(), None);
        let policy = Policy {
            allowed_images: vec!["ghcr.io/gondola-dev/".into()],
            ..Policy::default()
        };
        check(
            image,
            policy,
            Some("spec.pods.image is \"evil/program:1\", but images in this cluster must begin with ghcr.io"),
        );
        let variable = |spec: &mut RecommenderPipelineSpec| {
            spec.pods = Some(PodOverrides {
                env: vec![Variable {
                    name: "AWS_ENDPOINT_URL_S3".into(),
                    value: "http://mine".into(),
                }],
                ..PodOverrides::default()
            });
        };
        check(variable, Policy::default(), None);
        check(
            variable,
            stores(&["s3://models/"]),
            Some("spec.pods.env has \"AWS_ENDPOINT_URL_S3\""),
        );
    }
}
