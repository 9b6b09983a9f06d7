//! What runs queries: this process, or the machines of a Ballista cluster.
//!
//! Which of the two is a matter of speed alone: the queries are the same, and so is what they give.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use gondola_artifacts::Access;
use url::Url;

/// The port of a scheduler whose address has none.
const DEFAULT_PORT: u16 = 50050;
/// The schemes of a scheduler's address.
const CLUSTER: [&str; 2] = ["ballista://", "df://"];
/// Stores that have one name for all of their machines. `https://` is not among them: the store behind it can't be told from its host.
const SHARED: [&str; 5] = ["file", "s3", "gs", "az", "abfss"];

/// What runs queries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// This process.
    #[default]
    Local,
    /// The executors of a Ballista scheduler.
    Ballista(Cluster),
}

/// A Ballista scheduler, and how its executors come to the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Where the scheduler is.
    pub scheduler: SchedulerAddress,
    /// The folder of tables: its URL ends in `/`, and is the same for this process, the scheduler and the executors.
    pub shared_folder: Url,
    /// How its store is reached.
    pub access: Access,
    /// How long a run waits for the scheduler, and then for an executor.
    pub wait: Duration,
}

/// Where a scheduler is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerAddress {
    /// A name or an address.
    pub host: String,
    /// The port of its gRPC.
    pub port: u16,
}

/// Why queries can't be run where they should be.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Neither of the engines.
    #[error(
        "--engine {engine} is not an engine; write local, or ballista:// with the host and the port of a scheduler"
    )]
    Unknown {
        /// What was given.
        engine: String,
    },
    /// An address that is none.
    #[error(
        "{address:?} is not the address of a scheduler; write its host and port, as in ballista://scheduler:{DEFAULT_PORT}"
    )]
    Address {
        /// What was given.
        address: String,
    },
    /// This program has no client of Ballista.
    #[error(
        "--engine {engine} needs Ballista, which this build of gondola-train leaves out; build it with `make \
         build-ballista` (--features gondola-training/ballista), or run with --engine local"
    )]
    NotBuilt {
        /// What was given.
        engine: String,
    },
    /// Executors would not find the tables.
    #[error(
        "--engine {engine} needs --shared-folder: a folder that this machine, the scheduler and all executors see under one path, or \
         the URL of a store (s3://, gs://, az://), into which tables are put for the executors"
    )]
    NoSharedFolder {
        /// What was given.
        engine: String,
    },
    /// A store that executors can't share.
    #[error(
        "--shared-folder {folder} can't be read by other machines; write an absolute path, or a URL that begins with s3://, gs:// or az://"
    )]
    NotShared {
        /// What was given.
        folder: String,
    },
    /// The scheduler or its executors.
    #[cfg(feature = "ballista")]
    #[error(transparent)]
    Cluster(#[from] crate::ballista::ClusterError),
}

impl Engine {
    /// Reads what `--engine` and `--shared-folder` say.
    pub fn of(
        engine: &str,
        shared_folder: Option<&str>,
        access: &Access,
        wait: Duration,
    ) -> Result<Self, EngineError> {
        if engine == "local" {
            return Ok(Self::Local);
        }
        let named = || engine.to_owned();
        let address = CLUSTER
            .iter()
            .find_map(|scheme| engine.strip_prefix(scheme))
            .ok_or_else(|| EngineError::Unknown { engine: named() })?;
        if cfg!(not(feature = "ballista")) {
            return Err(EngineError::NotBuilt { engine: named() });
        }
        Ok(Self::Ballista(Cluster {
            scheduler: address.parse()?,
            shared_folder: folder(
                shared_folder.ok_or_else(|| EngineError::NoSharedFolder { engine: named() })?,
            )?,
            access: access.clone(),
            wait,
        }))
    }
}

impl FromStr for SchedulerAddress {
    type Err = EngineError;

    fn from_str(address: &str) -> Result<Self, EngineError> {
        let refused = || EngineError::Address {
            address: address.to_owned(),
        };
        let url = Url::parse(&format!("http://{address}")).map_err(|_| refused())?;
        let plain = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        let host = url.host_str().filter(|_| plain).ok_or_else(refused)?;
        // Port 80 is what a URL of HTTP leaves out.
        let port = if address.ends_with(":80") {
            Some(80)
        } else {
            url.port()
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.unwrap_or(DEFAULT_PORT),
        })
    }
}

impl fmt::Display for SchedulerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A folder's path or URL as a URL that ends in `/`.
fn folder(folder: &str) -> Result<Url, EngineError> {
    let refused = || EngineError::NotShared {
        folder: folder.to_owned(),
    };
    if !folder.contains("://") {
        return Url::from_directory_path(Path::new(folder)).map_err(|()| refused());
    }
    let mut url = Url::parse(folder).map_err(|_| refused())?;
    if !SHARED.contains(&url.scheme()) || url.query().is_some() {
        return Err(refused());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(engine: &str, folder: Option<&str>) -> Result<Engine, String> {
        Engine::of(engine, folder, &Access::default(), Duration::ZERO).map_err(|error| error.to_string())
    }

    #[test]
    fn queries_run_here_unless_somebody_names_a_scheduler() {
        assert_eq!(engine("local", None), Ok(Engine::Local));
        let unknown = engine("spark://there", None).unwrap_err();
        assert!(unknown.contains("write local, or ballista://"), "{unknown}");
    }

    #[cfg(not(feature = "ballista"))]
    #[test]
    fn a_build_without_ballista_says_so_and_how_to_get_one() {
        let error = engine("ballista://there:50050", Some("/shared")).unwrap_err();
        assert!(error.contains("--features gondola-training/ballista"), "{error}");
    }

    #[cfg(feature = "ballista")]
    #[test]
    fn a_cluster_has_a_scheduler_and_a_folder_that_all_machines_see() {
        let cluster = |text, folder| match engine(text, Some(folder)) {
            Ok(Engine::Ballista(cluster)) => {
                (cluster.scheduler.to_string(), cluster.shared_folder.to_string())
            }
            other => panic!("{other:?}"),
        };
        let here = "file:///shared/".to_owned();
        assert_eq!(
            cluster("df://one:7", "/shared"),
            ("one:7".to_owned(), here.clone())
        );
        assert_eq!(
            cluster("ballista://10.0.0.1", "/shared/"),
            ("10.0.0.1:50050".to_owned(), here)
        );
        assert_eq!(
            cluster("ballista://one:80", "s3://bucket/run"),
            ("one:80".to_owned(), "s3://bucket/run/".to_owned())
        );
        for (text, folder, advice) in [
            ("ballista://", Some("/shared"), "write its host and port"),
            ("ballista://one:port", Some("/shared"), "write its host and port"),
            ("ballista://one", None, "needs --shared-folder"),
            ("ballista://one", Some("shared"), "write an absolute path"),
            ("ballista://one", Some("https://one/two"), "begins with s3://"),
        ] {
            let error = engine(text, folder).unwrap_err();
            assert!(error.contains(advice), "{text}, {folder:?}: {error}");
        }
    }
}
