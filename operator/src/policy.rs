//! What a pipeline may not ask for, although its schema allows it: what another has to permit first.

use std::net::IpAddr;

use gondola_crds::RecommenderPipeline;
use gondola_crds::spec::Artifacts;

use crate::observe::Observed;
use crate::report::reasons;

/// What whoever installed the operator permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What URLs of stores begin with; any if empty.
    pub allowed_stores: Vec<String>,
}

/// Why nothing is done for a pipeline until somebody permits it, or it asks for something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The account's owner has not said that pipelines may use it.
    #[error(
        "spec.artifacts.serviceAccountName is {name:?}, which is not there or does not carry the label gondola.dev/allow-use=true; its owner can set it"
    )]
    ServiceAccount {
        /// The account.
        name: String,
    },
    /// The store is none that this cluster permits.
    #[error("{field}.url is {url:?}, but stores of this cluster begin with {}", .allowed.join(" or "))]
    Store {
        /// Where it stands.
        field: &'static str,
        /// The URL.
        url: String,
        /// What is permitted.
        allowed: Vec<String>,
    },
    /// The endpoint is the machine's own or its cloud's metadata service, which answer to whoever asks from there.
    #[error("{field}.endpoint is {endpoint:?}, an address of the node itself; name the store's own host")]
    Endpoint {
        /// Where it stands.
        field: &'static str,
        /// The endpoint.
        endpoint: String,
    },
}

impl Objection {
    /// The word for it in conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ServiceAccount { .. } => reasons::SERVICE_ACCOUNT_NOT_ALLOWED,
            Self::Store { .. } | Self::Endpoint { .. } => reasons::STORE_NOT_ALLOWED,
        }
    }
}

/// The first thing that stands against a pipeline.
pub fn objection(pipeline: &RecommenderPipeline, observed: &Observed, policy: &Policy) -> Option<Objection> {
    let artifacts = &pipeline.spec.artifacts;
    let bundles = Place {
        field: "spec.artifacts",
        url: &artifacts.url,
        endpoint: artifacts.endpoint.as_deref(),
    };
    let events = pipeline.spec.experiment.as_ref().map(|experiment| Place {
        field: "spec.experiment.store",
        url: &experiment.store.url,
        endpoint: experiment.store.endpoint.as_deref(),
    });
    let places = [Some(bundles), events];
    account(artifacts, observed).or_else(|| {
        let mut named = places.iter().flatten();
        named.find_map(|place| store(place, policy).or_else(|| endpoint(place)))
    })
}

/// A store that the spec names.
struct Place<'a> {
    field: &'static str,
    url: &'a str,
    endpoint: Option<&'a str>,
}

fn account(artifacts: &Artifacts, observed: &Observed) -> Option<Objection> {
    let name = artifacts.service_account_name.clone()?;
    (!observed.account_allowed).then_some(Objection::ServiceAccount { name })
}

fn store(place: &Place<'_>, policy: &Policy) -> Option<Objection> {
    let url = place.url;
    // A prefix must not be left by the way up.
    let inside =
        |prefix: &String| url.starts_with(prefix.as_str()) && !url.contains("..") && !url.contains("%2e");
    let allowed = policy.allowed_stores.is_empty() || policy.allowed_stores.iter().any(inside);
    (!allowed).then(|| Objection::Store {
        field: place.field,
        url: url.to_owned(),
        allowed: policy.allowed_stores.clone(),
    })
}

fn endpoint(place: &Place<'_>) -> Option<Objection> {
    let endpoint = place.endpoint?;
    let authority = endpoint.split("://").nth(1)?.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None => authority.split(':').next()?,
    };
    let own = match host.parse() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_link_local() || address.is_unspecified()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local()
        }
        Err(_) => {
            host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case("metadata.google.internal")
        }
    };
    own.then(|| Objection::Endpoint {
        field: place.field,
        endpoint: endpoint.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, endpoint: Option<&str>, allowed: &[&str], expected: Option<&str>) {
        let mut pipeline = RecommenderPipeline::new("grocery", Default::default());
        pipeline.spec.artifacts.url = url.into();
        pipeline.spec.artifacts.endpoint = endpoint.map(Into::into);
        let policy = Policy {
            allowed_stores: allowed.iter().map(|prefix| (*prefix).to_owned()).collect(),
        };
        let found =
            objection(&pipeline, &Observed::default(), &policy).map(|objection| objection.to_string());
        match (found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) if found.contains(expected) => {}
            (found, expected) => panic!("{url} {endpoint:?}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_store_must_be_one_that_the_cluster_permits() {
        check("s3://anywhere/x", None, &[], None);
        check("s3://models/grocery", None, &["gs://m/", "s3://models/"], None);
        let allowed = "stores of this cluster begin with s3://models/";
        check("s3://models.evil/x", None, &["s3://models/"], Some(allowed));
        check("s3://models/../other", None, &["s3://models/"], Some(allowed));
        check("http://models/", None, &["s3://models/"], Some(allowed));
    }

    #[test]
    fn an_endpoint_must_not_be_the_node_or_its_metadata() {
        check("s3://m/x", Some("http://minio.shop.svc:9000"), &[], None);
        check("s3://m/x", Some("http://10.0.0.7:9000/path"), &[], None);
        for own in [
            "http://169.254.169.254",
            "http://127.0.0.1:9000",
            "https://localhost/",
            "http://[::1]:9000",
            "http://[fe80::1]",
            "http://metadata.google.internal",
        ] {
            check("s3://m/x", Some(own), &[], Some("an address of the node itself"));
        }
    }
}
