//! A bundle's manifest: what the bundle is, and every file's path, size and sha256.
//!
//! [`Manifest::parse`] is the only entry point from outside, and it is strict: a manifest comes over the network, and what it says
//! decides which paths are written and how many bytes are read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use crate::contract::Contract;
use crate::digest::{Digest, digits};
use crate::kind::Kind;
use crate::reference::{Reference, ReferenceError};

/// The file's name in a bundle's folder; no file of a bundle can have it.
pub const FILE_NAME: &str = "manifest.json";
/// What this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// The longest manifest.
pub const MAX_BYTES: u64 = 4 << 20;
/// The most files of one bundle.
pub const MAX_FILES: usize = 10_000;
/// The most bytes of one bundle, all files together.
pub const MAX_TOTAL_BYTES: u64 = 64 << 30;
const MAX_PATH_BYTES: usize = 1024;
const MAX_SEGMENT_BYTES: usize = 255;

/// What a bundle is, and what it consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The bundle's name.
    pub name: String,
    /// The bundle's version.
    pub version: String,
    /// What it is for.
    pub kind: Kind,
    /// When it was published, as RFC 3339.
    pub created: String,
    /// Its files, sorted by path.
    pub files: Vec<BundleFile>,
    /// What it must have in common with the bundles that it is served with.
    pub contract: Contract,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleFile {
    /// Relative to the bundle's folder, with `/` between its segments.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// The digest of its content.
    #[serde(with = "digits")]
    pub sha256: Digest,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is longer than a manifest can be.
    #[error("the manifest has {found} bytes, but at most {MAX_BYTES} are allowed")]
    Long {
        /// Its length.
        found: u64,
    },
    /// It is not JSON, or not a manifest's.
    #[error("the manifest can't be read as JSON; publish the bundle again")]
    Json {
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by another version of this program.
    #[error(
        "the manifest has format version {found}, and this program reads {FORMAT_VERSION}; update the older of the two"
    )]
    FormatVersion {
        /// What it says.
        found: u64,
    },
    /// Its name or version can't be one.
    #[error("the manifest names no bundle")]
    Name(#[from] ReferenceError),
    /// Its time of publication is none.
    #[error("the manifest's created is {found:?}; it must be a time as in 2026-01-31T12:00:00Z")]
    Created {
        /// What it says.
        found: String,
    },
    /// It has no files.
    #[error("the manifest has no files")]
    NoFiles,
    /// It has too many files.
    #[error("the manifest has {found} files, but at most {MAX_FILES} are allowed")]
    ManyFiles {
        /// How many.
        found: usize,
    },
    /// A path leaves the folder, or isn't one everywhere.
    #[error(
        "the manifest has a file at {path:?}, which {why}; paths are relative, with '/' between plain names"
    )]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A path stands there twice.
    #[error("the manifest has {path:?} twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// A path is both a file and a folder.
    #[error("the manifest has {path:?} as a file, and as a folder of {inside:?}")]
    FileAndFolder {
        /// The path.
        path: String,
        /// A file inside it.
        inside: String,
    },
    /// One digest can't belong to two sizes.
    #[error("the manifest gives one sha256 for {one:?} and {other:?}, but two sizes")]
    TwoSizes {
        /// A file.
        one: String,
        /// Another file.
        other: String,
    },
    /// The files are larger than a bundle can be.
    #[error("the manifest's files add up to more than {MAX_TOTAL_BYTES} bytes at {path:?}, which has {size}")]
    TooLarge {
        /// The file that goes beyond the bound.
        path: String,
        /// Its size.
        size: u64,
    },
}

impl Manifest {
    /// Reads a manifest and holds it to every bound.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ManifestError::Long {
                found: bytes.len() as u64,
            });
        }
        // The version first: another version may have other fields, and the message should say so.
        #[derive(Deserialize)]
        struct Versioned {
            format_version: u64,
        }
        let json = |source| ManifestError::Json { source };
        let found = serde_json::from_slice::<Versioned>(bytes)
            .map_err(json)?
            .format_version;
        if found != u64::from(FORMAT_VERSION) {
            return Err(ManifestError::FormatVersion { found });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(json)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// All files together, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    pub(crate) fn validate(&self) -> Result<(), ManifestError> {
        Reference::version(&self.name, &self.version)?;
        if DateTime::parse_from_rfc3339(&self.created).is_err() {
            return Err(ManifestError::Created {
                found: self.created.clone(),
            });
        }
        validate_files(&self.files)
    }
}

fn validate_files(files: &[BundleFile]) -> Result<(), ManifestError> {
    if files.is_empty() {
        return Err(ManifestError::NoFiles);
    }
    if files.len() > MAX_FILES {
        return Err(ManifestError::ManyFiles { found: files.len() });
    }
    let mut total = 0_u64;
    let mut paths = BTreeSet::new();
    let mut sizes: BTreeMap<Digest, &BundleFile> = BTreeMap::new();
    for file in files {
        check_path(&file.path)?;
        if !paths.insert(file.path.as_str()) {
            return Err(ManifestError::Twice {
                path: file.path.clone(),
            });
        }
        total = total
            .checked_add(file.size)
            .filter(|&total| total <= MAX_TOTAL_BYTES)
            .ok_or_else(|| ManifestError::TooLarge {
                path: file.path.clone(),
                size: file.size,
            })?;
        let first = sizes.entry(file.sha256).or_insert(file);
        if first.size != file.size {
            return Err(ManifestError::TwoSizes {
                one: first.path.clone(),
                other: file.path.clone(),
            });
        }
    }
    for inside in &paths {
        let folders = inside.match_indices('/').map(|(at, _)| &inside[..at]);
        if let Some(path) = folders.into_iter().find(|folder| paths.contains(folder)) {
            return Err(ManifestError::FileAndFolder {
                path: path.to_owned(),
                inside: (*inside).to_owned(),
            });
        }
    }
    Ok(())
}

/// A path stays inside its folder, and means the same on every file system and in every object store.
pub(crate) fn check_path(path: &str) -> Result<(), ManifestError> {
    let why = if path.is_empty() {
        "is empty"
    } else if path.len() > MAX_PATH_BYTES {
        "is longer than 1024 bytes"
    } else if path.starts_with('/') {
        "is absolute"
    } else if path.contains('\\') {
        "has a backslash"
    } else if path.chars().any(char::is_control) {
        "has a control character"
    } else if path.split('/').any(str::is_empty) {
        "has an empty segment"
    } else if path.split('/').any(|segment| segment == ".." || segment == ".") {
        "has a segment . or .."
    } else if path.split('/').any(|segment| segment.len() > MAX_SEGMENT_BYTES) {
        "has a segment longer than 255 bytes"
    } else if path == FILE_NAME {
        "is the manifest itself"
    } else {
        return Ok(());
    };
    Err(ManifestError::Path {
        path: path.chars().take(200).collect(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn file(path: &str, size: u64) -> Value {
        json!({"path": path, "size": size, "sha256": Digest::of(path.as_bytes()).hex()})
    }

    fn manifest(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut manifest = json!({
            "format_version": 1, "name": "dlrm", "version": "0a1b2c3d4e5f", "kind": "scorer",
            "created": "2026-01-31T12:00:00Z", "files": [file("model.safetensors", 10)], "contract": {},
        });
        change(&mut manifest);
        serde_json::to_vec(&manifest).unwrap()
    }

    #[test]
    fn the_seeds_that_fuzzing_begins_with_are_manifests() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/manifests");
        let mut read = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            let path = seed.unwrap().path();
            let parsed = Manifest::parse(&std::fs::read(&path).unwrap());
            assert!(parsed.is_ok(), "{}: {parsed:?}", path.display());
            read += 1;
        }
        assert!(read > 0, "{seeds} has none");
    }

    #[track_caller]
    fn refuses(change: impl FnOnce(&mut Value), message: &str) {
        assert_eq!(
            Manifest::parse(&manifest(change)).unwrap_err().to_string(),
            message
        );
    }

    #[test]
    fn a_plain_manifest_is_read() {
        let read = Manifest::parse(&manifest(|_| {})).unwrap();
        assert_eq!(
            (read.name.as_str(), read.kind, read.total_bytes()),
            ("dlrm", Kind::Scorer, 10)
        );
    }

    #[test]
    fn a_path_cannot_leave_its_folder() {
        for (path, why) in [
            ("../../etc/passwd", "has a segment . or .."),
            ("a/../b", "has a segment . or .."),
            ("./a", "has a segment . or .."),
            ("/etc/passwd", "is absolute"),
            ("..\\\\a", "has a backslash"),
            ("a\\u0000b", "has a control character"),
            ("a//b", "has an empty segment"),
            ("a/", "has an empty segment"),
            ("", "is empty"),
            ("manifest.json", "is the manifest itself"),
        ] {
            let path: String = serde_json::from_str(&format!("\"{path}\"")).unwrap();
            refuses(
                |m| m["files"] = json!([file(&path, 1)]),
                &format!(
                    "the manifest has a file at {path:?}, which {why}; paths are relative, with '/' between plain names"
                ),
            );
        }
    }

    #[test]
    fn a_path_stands_once() {
        refuses(
            |m| m["files"] = json!([file("a", 1), file("a", 1)]),
            "the manifest has \"a\" twice",
        );
        refuses(
            |m| m["files"] = json!([file("a/b/c", 1), file("a", 1)]),
            "the manifest has \"a\" as a file, and as a folder of \"a/b/c\"",
        );
    }

    #[test]
    fn absurd_sizes_are_refused() {
        refuses(
            |m| m["files"] = json!([file("a", 1 << 60)]),
            "the manifest's files add up to more than 68719476736 bytes at \"a\", which has 1152921504606846976",
        );
        refuses(
            |m| m["files"] = json!([file("a", 1), file("b", u64::MAX)]),
            "the manifest's files add up to more than 68719476736 bytes at \"b\", which has 18446744073709551615",
        );
        let many: Vec<Value> = (0..10_001).map(|n| file(&n.to_string(), 1)).collect();
        refuses(
            |m| m["files"] = many.into(),
            "the manifest has 10001 files, but at most 10000 are allowed",
        );
        assert_eq!(
            Manifest::parse(&vec![b' '; (4 << 20) + 1])
                .unwrap_err()
                .to_string(),
            "the manifest has 4194305 bytes, but at most 4194304 are allowed"
        );
    }

    #[test]
    fn what_this_program_does_not_know_is_refused() {
        refuses(
            |m| m["format_version"] = json!(2),
            "the manifest has format version 2, and this program reads 1; update the older of the two",
        );
        refuses(|m| m["files"] = json!([]), "the manifest has no files");
        refuses(
            |m| m["created"] = json!("yesterday"),
            "the manifest's created is \"yesterday\"; it must be a time as in 2026-01-31T12:00:00Z",
        );
        refuses(
            |m| m["surprise"] = json!(1),
            "the manifest can't be read as JSON; publish the bundle again",
        );
        refuses(|m| m["name"] = json!("../x"), "the manifest names no bundle");
        refuses(
            |m| m["files"] = json!([{"path": "a", "size": -1, "sha256": Digest::of(b"").hex()}]),
            "the manifest can't be read as JSON; publish the bundle again",
        );
    }

    proptest! {
        #[test]
        fn a_path_that_is_taken_stays_inside(path in "[a-z./\\\\]{0,12}") {
            if check_path(&path).is_ok() {
                let mut parts = std::path::Path::new(&path).components();
                prop_assert!(parts.all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&bytes);
        }
    }
}
