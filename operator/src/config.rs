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
    /// Image of the data plane, where a pipeline names none.
    #[arg(long, env = "GONDOLA_INFERENCE_IMAGE")]
    inference_image: String,
    /// The same for variants on GPUs. Left out: the image of the others.
    #[arg(long, env = "GONDOLA_INFERENCE_CUDA_IMAGE")]
    inference_cuda_image: Option<String>,
    /// The one namespace to watch. Left out: all.
    #[arg(long, env = "GONDOLA_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// After so many seconds everything is listed anew, in case a watch lost something.
    #[arg(long, env = "GONDOLA_RELIST_SECONDS", default_value = "600", value_parser = clap::value_parser!(u64).range(1..))]
    relist_seconds: u64,
    /// What URLs of stores must begin with, joined by commas, for example `s3://models/,gs://models/`. Left out: any.
    #[arg(long, env = "GONDOLA_ALLOWED_STORES", value_delimiter = ',')]
    allowed_stores: Vec<String>,
    /// Namespace of the Lease by which operators choose a leader. Left out: this one runs alone.
    #[arg(long, env = "GONDOLA_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this operator among them: its pod's.
    #[arg(long, env = "GONDOLA_IDENTITY", default_value = "gondola-operator")]
    identity: String,
    /// Address of health and metrics.
    #[arg(long, env = "GONDOLA_LISTEN", default_value = "0.0.0.0:8081")]
    listen: SocketAddr,
    /// What is logged to stderr, for example `info` or `warn,gondola_operator=debug`.
    #[arg(long, env = "GONDOLA_LOG", default_value = "info")]
    log: String,
    /// How log lines look.
    #[arg(long, env = "GONDOLA_LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
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
            inference_image,
            inference_cuda_image,
            watch_namespace,
            relist_seconds,
            allowed_stores,
            lease_namespace,
            identity,
            listen,
            log,
            log_format,
        } = arguments;
        // A chart that is told nothing passes an empty text.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            images: Images {
                inference_cuda: given(inference_cuda_image).unwrap_or_else(|| inference_image.clone()),
                inference: inference_image,
            },
            watches: Watches {
                scope: given(watch_namespace).map_or(Scope::Cluster, Scope::Namespace),
                relist: Duration::from_secs(relist_seconds),
            },
            policy: Policy {
                allowed_stores: allowed_stores
                    .into_iter()
                    .filter(|prefix| !prefix.is_empty())
                    .collect(),
            },
            lease_namespace: given(lease_namespace),
            identity,
            listen,
            log,
            log_format,
        }
    }
}
