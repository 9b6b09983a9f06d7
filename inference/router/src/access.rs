//! How a store of bundles is reached, as a program's options.

use std::path::PathBuf;

use clap::Args;
use gondola_artifacts::Access;
use gondola_wire::variables;

/// Settings of a store in addition to its URL.
#[derive(Debug, Args)]
pub struct AccessArguments {
    /// Folder of the store's credentials, with a file for each setting; default: read from the environment.
    #[arg(long, env = variables::CREDENTIALS)]
    credentials: Option<PathBuf>,
    /// Endpoint of an S3-compatible store, for example `http://minio:9000`.
    #[arg(long, env = variables::STORE_ENDPOINT)]
    store_endpoint: Option<String>,
}

impl AccessArguments {
    /// How to open the store.
    pub fn access(&self) -> Access {
        Access {
            credentials: self.credentials.clone(),
            endpoint: self.store_endpoint.clone(),
            ..Access::default()
        }
    }
}
