//! Command-line arguments, and the configuration that follows from them.

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
    /// Image of variants, unless a pipeline names its own.
    #[arg(long, env = "GONDOLA_INFERENCE_IMAGE")]
    inference_image: String,
    /// Image of variants on GPUs. Default: the image of the other variants.
    #[arg(long, env = "GONDOLA_INFERENCE_CUDA_IMAGE")]
    inference_cuda_image: Option<String>,
    /// Image of trainings, unless one names its own.
    #[arg(long, env = "GONDOLA_TRAINING_IMAGE", default_value = "gondola-train")]
    training_image: String,
    /// Image of trainings whose queries run on many machines, and of their schedulers and executors.
    #[arg(
        long,
        env = "GONDOLA_TRAINING_BALLISTA_IMAGE",
        default_value = "gondola-train-ballista"
    )]
    training_ballista_image: String,
    /// The one namespace to watch. Default: all namespaces.
    #[arg(long, env = "GONDOLA_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Seconds after which everything is listed again, in case a watch missed something.
    #[arg(long, env = "GONDOLA_RELIST_SECONDS", default_value = "600", value_parser = clap::value_parser!(u64).range(1..))]
    relist_seconds: u64,
    /// Prefixes that store URLs must have, separated by commas, for example `s3://models/,gs://models/`. Default: any
    /// URL.
    #[arg(long, env = "GONDOLA_ALLOWED_STORES", value_delimiter = ',')]
    allowed_stores: Vec<String>,
    /// Prefixes that store endpoints must have, separated by commas. Default: any endpoint, or none if stores are
    /// restricted.
    #[arg(long, env = "GONDOLA_ALLOWED_ENDPOINTS", value_delimiter = ',')]
    allowed_endpoints: Vec<String>,
    /// Prefixes that images named by pipelines must have, separated by commas. Default: any image.
    #[arg(long, env = "GONDOLA_ALLOWED_IMAGES", value_delimiter = ',')]
    allowed_images: Vec<String>,
    /// The user and group that pods run as. Empty: left to the platform, as on OpenShift.
    #[arg(long, env = "GONDOLA_POD_USER", default_value = "65532", value_parser = pod_user)]
    pod_user: PodUser,
    /// Name of the Lease by which operators of one installation choose a leader.
    #[arg(long, env = "GONDOLA_LEASE", default_value = "gondola-operator")]
    lease: String,
    /// Namespace of the Lease by which operators choose a leader. Default: no election, this operator runs alone.
    #[arg(long, env = "GONDOLA_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this operator in the election: its pod's name.
    #[arg(long, env = "GONDOLA_IDENTITY", default_value = "gondola-operator")]
    identity: String,
    /// Address to serve health checks and metrics on.
    #[arg(long, env = "GONDOLA_LISTEN", default_value = "[::]:8081")]
    listen: SocketAddr,
    /// Filter of the log lines on stderr, for example `info` or `warn,gondola_operator=debug`.
    #[arg(long, env = "GONDOLA_LOG", default_value = "info")]
    log: String,
    /// Format of the log lines.
    #[arg(long, env = "GONDOLA_LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
}

/// User and group of pods; none if the platform decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PodUser(Option<i64>);

fn pod_user(text: &str) -> Result<PodUser, String> {
    match text {
        "" => Ok(PodUser(None)),
        number => match number.parse() {
            Ok(user) if user > 0 => Ok(PodUser(Some(user))),
            _ => Err("must be a number above 0, since no pod may run as root, or empty".to_owned()),
        },
    }
}

/// Format of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    Text,
    /// One JSON object per line.
    Json,
}

/// The operator's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Images of the data plane, where a pipeline names none.
    pub images: Images,
    /// What is watched.
    pub watches: Watches,
    /// What pipelines may request.
    pub policy: Policy,
    /// User and group of pods; none if the platform decides.
    pub pod_user: Option<i64>,
    /// Name of the Lease.
    pub lease: String,
    /// Namespace of the Lease; none for an operator that runs alone.
    pub lease_namespace: Option<String>,
    /// Name of this operator.
    pub identity: String,
    /// Address to serve health checks and metrics on.
    pub listen: SocketAddr,
    /// What is logged.
    pub log: String,
    /// Format of the log lines.
    pub log_format: LogFormat,
}

impl From<Arguments> for Config {
    fn from(arguments: Arguments) -> Self {
        let Arguments {
            router_image,
            inference_image,
            inference_cuda_image,
            training_image,
            training_ballista_image,
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
        // The chart passes an empty text for a value that isn't set.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let entries = |list: Vec<String>| list.into_iter().filter(|entry| !entry.is_empty()).collect();
        Self {
            images: Images {
                router: router_image,
                inference_cuda: given(inference_cuda_image).unwrap_or_else(|| inference_image.clone()),
                inference: inference_image,
                training: training_image,
                training_ballista: training_ballista_image,
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
