//! Where the programs are that `scripts/api-server.sh` made.

use std::path::PathBuf;

/// The two programs that make an API server.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) server: PathBuf,
    pub(crate) etcd: PathBuf,
}

impl Binaries {
    /// The programs, or the folder where they are missed.
    pub(crate) fn find() -> Result<Self, PathBuf> {
        let folder = folder();
        let binaries = Self {
            server: folder.join("gondola-test-api-server"),
            etcd: folder.join("etcd"),
        };
        if binaries.server.is_file() && binaries.etcd.is_file() {
            Ok(binaries)
        } else {
            Err(folder)
        }
    }
}

/// `GONDOLA_API_SERVER_BIN`, or where `make api-server` puts them when nothing is said.
fn folder() -> PathBuf {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = set("GONDOLA_API_SERVER_BIN") {
        return folder;
    }
    let cache = set("GONDOLA_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("gondola")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/gondola")));
    cache.unwrap_or_default().join("tools/api-server")
}
