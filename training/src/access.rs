//! How object stores are reached, as a program's options.

use std::path::PathBuf;

use clap::Args;
use gondola_artifacts::Access;

/// Settings of object stores in addition to their URLs.
#[derive(Clone, Debug, Args)]
pub struct AccessArguments {
    /// Folder of the credentials of object stores, with a file for each setting. Default: read from the environment.
    #[arg(long, env = "GONDOLA_CREDENTIALS")]
    credentials: Option<PathBuf>,
    /// Endpoint of an S3-compatible store, for example http://minio:9000.
    #[arg(long, env = "GONDOLA_STORE_ENDPOINT")]
    store_endpoint: Option<String>,
}

impl AccessArguments {
    /// How to open a store.
    pub fn access(&self) -> Access {
        Access {
            credentials: self.credentials.clone(),
            endpoint: self.store_endpoint.clone(),
            ..Access::default()
        }
    }
}
