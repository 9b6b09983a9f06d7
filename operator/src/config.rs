//! What was typed, and what was meant.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::caches::{Scope, Watches};
use crate::plan::Images;
use crate::policy::Policy;

/// Runs recommender pipelines on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "gondola-operator", version)]
pub struct Arguments {
    /// Image of routers, resolvers and analyzers.
    #[arg(long, env = "GONDOLA_ROUTER_IMAGE")]
    router_image: String,
    /// Image of variants, where a pipeline names none.
    #[arg(long, env = "GONDOLA_INFERENCE_IMAGE")]
    inference_image: String,
    /// The same for variants on GPUs. Left out: the image of the others.
    #[arg(long, env = "GONDOLA_INFERENCE_CUDA_IMAGE")]
    inference_cuda_image: Option<String>,
    /// The one namespace to watch. Left out: all.
    #[arg(long, env = "GONDOLA_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// After so many seconds everything is listed again, in case a watch lost something.
    #[arg(long, env = "GONDOLA_RELIST_SECONDS", default_value = "600", value_parser = clap::value_parser!(u64).range(1..))]
    relist_seconds: u64,
    /// What URLs of stores must begin with, joined by commas, for example `s3://models/,gs://models/`. Left out: any.
    #[arg(long, env = "GONDOLA_ALLOWED_STORES", value_delimiter = ',')]
    allowed_stores: Vec<String>,
    /// What endpoints of stores must begin with, joined by commas. Left out: any, or none where stores are restricted.
    #[arg(long, env = "GONDOLA_ALLOWED_ENDPOINTS", value_delimiter = ',')]
    allowed_endpoints: Vec<String>,
    /// What images that pipelines name must begin with, joined by commas. Left out: any.
    #[arg(long, env = "GONDOLA_ALLOWED_IMAGES", value_delimiter = ',')]
    allowed_images: Vec<String>,
    /// The user and group that pods run as. Empty: left to the platform, as on OpenShift.
    #[arg(long, env = "GONDOLA_POD_USER", default_value = "65532", value_parser = pod_user)]
    pod_user: PodUser,
    /// Name of the Lease by which operators of one installation choose a leader.
    #[arg(long, env = "GONDOLA_LEASE", default_value = "gondola-operator")]
    lease: String,
    /// Namespace of the Lease by which operators choose a leader. Left out: this one runs alone.
    #[arg(long, env = "GONDOLA_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this operator among them: its pod's.
    #[arg(long, env = "GONDOLA_IDENTITY", default_value = "gondola-operator")]
    identity: String,
    /// Address of health and metrics.
    #[arg(long, env = "GONDOLA_LISTEN", default_value = "[::]:8081")]
    listen: SocketAddr,
    /// What is logged to stderr, for example `info` or `warn,gondola_operator=debug`.
    #[arg(long, env = "GONDOLA_LOG", default_value = "info")]
    log: String,
    /// How log lines look.
    #[arg(long, env = "GONDOLA_LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
}

/// What pods run as; none where the platform decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PodUser(Option<i64>);

fn pod_user(text: &str) -> Result<PodUser, String> {
    match text {
        "" => Ok(PodUser(None)),
        number => match number.parse() {
            Ok(user) if user > 0 => Ok(PodUser(Some(user))),
            _ => Err("give a number above 0, since no pod may run as root, or nothing".to_owned()),
        },
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What was meant.
#[derive(Clone, Debug)]
pub struct Config {
    /// Images of the data plane, where a pipeline names none.
    pub images: Images,
    /// What is watched.
    pub watches: Watches,
    /// What pipelines may ask for.
    pub policy: Policy,
    /// What pods run as; none where the platform decides.
    pub pod_user: Option<i64>,
    /// Name of the Lease.
    pub lease: String,
    /// Namespace of the Lease; none for an operator that runs alone.
    pub lease_namespace: Option<String>,
    /// Name of this operator.
    pub identity: String,
    /// Address of health and metrics.
    pub listen: SocketAddr,
    /// What is logged.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

impl From<Arguments> for Config {
    fn from(arguments: Arguments) -> Self {
        let Arguments {
            router_image,
            inference_image,
            inference_cuda_image,
            watch_namespace,
            relist_seconds,
            allowed_stores,
            allowed_endpoints,
            allowed_images,
            pod_user: PodUser(pod_user),
            lease,
            lease_namespace,
            identity,
            listen,
            log,
            log_format,
        } = arguments;
        // A chart that is told nothing passes an empty text.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let entries = |list: Vec<String>| list.into_iter().filter(|entry| !entry.is_empty()).collect();
        Self {
            images: Images {
                router: router_image,
                inference_cuda: given(inference_cuda_image).unwrap_or_else(|| inference_image.clone()),
                inference: inference_image,
            },
            watches: Watches {
                scope: given(watch_namespace).map_or(Scope::Cluster, Scope::Namespace),
                relist: Duration::from_secs(relist_seconds),
            },
            policy: Policy {
                allowed_stores: entries(allowed_stores),
                allowed_endpoints: entries(allowed_endpoints),
                allowed_images: entries(allowed_images),
            },
            pod_user,
            lease,
            lease_namespace: given(lease_namespace),
            identity,
            listen,
            log,
            log_format,
        }
    }
}
