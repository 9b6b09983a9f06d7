//! Where bundles are: a URL's object store, and the places inside it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use url::Url;

use crate::manifest;
use crate::reference::CHANNELS;

mod scheme;
mod settings;

/// For how long a failing request is retried, unless [`Access`] says otherwise.
const RETRY_FOR: Duration = Duration::from_secs(180);

/// A folder of bundles in an object store.
#[derive(Clone)]
pub struct Store {
    pub(crate) objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Plain text.
    url: String,
    /// How it was opened, secrets included.
    opened: Option<Arc<(Url, Access)>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.url)
    }
}

/// What a store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not a URL.
    #[error("{url:?} is not a valid URL of a store; write for example file:///var/lib/gondola/store")]
    NotUrl {
        /// What was given.
        url: String,
        /// What the parser says.
        #[source]
        source: url::ParseError,
    },
    /// A scheme that nobody knows.
    #[error("this program has no store for {url}; it was built with {}", scheme::BUILT_IN.join(", "))]
    Scheme {
        /// What was given.
        url: String,
    },
    /// A `file://` URL that isn't absolute: what stands where a folder should begin is taken for another machine.
    #[error(
        "the store {url} is not a folder on this machine; write an absolute path after file://, as in file:///var/lib/gondola/store"
    )]
    NotFolder {
        /// What was given.
        url: String,
    },
    /// The credentials can't be read.
    #[error("the credentials in {} can't be read; mount the Secret there, with a key for each setting", .folder.display())]
    Credentials {
        /// Their folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The folder of credentials is empty.
    #[error(
        "there are no credentials in {}; create the Secret that spec.artifacts.credentials names in the pipeline's namespace, with a key for each setting, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", .folder.display()
    )]
    NoCredentials {
        /// Their folder.
        folder: PathBuf,
    },
    /// A credential that is none.
    #[error(
        "the key {key} in the credentials in {} says where to send requests, which is not a secret; remove it, and set spec.artifacts.endpoint instead", .folder.display()
    )]
    Steers {
        /// Their folder.
        folder: PathBuf,
        /// The key.
        key: String,
    },
    /// A setting that can't be part of a request: a client would end its program over it.
    #[error(
        "the setting {setting} of the store {url} has {sign} at character {position}; write it on one line, without anything but \
         letters, digits and signs of ASCII"
    )]
    Setting {
        /// The store.
        url: String,
        /// The setting.
        setting: String,
        /// What it must not have.
        sign: String,
        /// Where, from 1.
        position: usize,
    },
    /// An endpoint whose connections everybody on the way can read.
    #[error(
        "{setting} is {endpoint}, which is plain HTTP: credentials and data could be read on the way to {url}; give an https:// \
         endpoint, or set {} to true", scheme::leave(.setting)
    )]
    PlainEndpoint {
        /// The store.
        url: String,
        /// The setting.
        setting: String,
        /// What it says.
        endpoint: String,
    },
    /// A URL whose connections everybody on the way can read.
    #[error(
        "the store {url} is plain HTTP, over which bundles could be changed in transit; use its https:// URL"
    )]
    PlainUrl {
        /// What was given.
        url: String,
    },
    /// The folder of a `file://` store can't be made.
    #[error("the folder of the store {url} can't be created")]
    Create {
        /// What was given.
        url: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The store can't be opened as it is configured.
    #[error("the store {url} can't be opened")]
    Open {
        /// What was given.
        url: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// An object can't be read.
    #[error("{path} in {store} can't be read")]
    Read {
        /// The object.
        path: Path,
        /// The store.
        store: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// An object is longer than it can be.
    #[error("{path} in {store} has more than {limit} bytes, which is too much for what its name says")]
    Long {
        /// The object.
        path: Path,
        /// The store.
        store: String,
        /// The most that is read.
        limit: u64,
    },
    /// An object can't be written.
    #[error("{path} can't be written to {store}")]
    Write {
        /// The object.
        path: Path,
        /// The store.
        store: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// A folder can't be listed.
    #[error("{store} can't be listed")]
    List {
        /// The store.
        store: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
}

impl StoreError {
    /// Whether the store knows us not, or allows us not.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } | Self::List { source, .. } => matches!(
                source,
                object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
            ),
            _ => false,
        }
    }
}

/// Settings of a store in addition to its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A folder with a file for each setting, named as in the environment (`aws_access_key_id`, ...): a mounted Secret.
    pub credentials: Option<PathBuf>,
    /// Where the store answers, if not where its cloud's does: for example `http://minio:9000`.
    pub endpoint: Option<String>,
    /// For how long a failing request is retried before its error is returned: three minutes unless set.
    pub retry_for: Option<Duration>,
}

impl Access {
    /// The settings, read again: a Secret may have been changed since.
    fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut settings = Vec::new();
        if let Some(folder) = &self.credentials {
            settings = read_settings(folder).map_err(|source| StoreError::Credentials {
                folder: folder.clone(),
                source,
            })?;
            // A cloud's client would look for an identity elsewhere, and say something confusing after a while.
            if settings.is_empty() {
                return Err(StoreError::NoCredentials {
                    folder: folder.clone(),
                });
            }
            if let Some((key, _)) = settings.iter().find(|(name, value)| steers(name, value)) {
                return Err(StoreError::Steers {
                    folder: folder.clone(),
                    key: key.to_ascii_uppercase(),
                });
            }
        }
        if let Some(endpoint) = &self.endpoint {
            // Each client takes the one that it knows.
            for name in ["aws_endpoint", "azure_storage_endpoint", "google_base_url"] {
                settings.push((name.to_owned(), endpoint.clone()));
            }
            let plain = endpoint.starts_with("http://");
            settings.push(("allow_http".to_owned(), plain.to_string()));
        }
        Ok(settings)
    }

    /// What the environment says. Where credentials were given, they are sent nowhere that it names.
    fn variables(&self) -> Vec<(String, String)> {
        let settings = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?.to_ascii_lowercase();
            Some((name, settings::trimmed(&value.into_string().ok()?).to_owned()))
        });
        settings.filter(|(name, value)| self.takes(name, value)).collect()
    }

    /// Whether a variable of the environment is a setting.
    fn takes(&self, name: &str, value: &str) -> bool {
        let prefixes = ["aws_", "google_", "azure_"];
        let ours = prefixes.iter().any(|prefix| name.starts_with(prefix));
        ours && (self.credentials.is_none() || !steers(name, value))
    }
}

/// Parts of the names of settings that say where a client sends requests, or where it gets tokens: endpoints, proxies,
/// metadata servers, authorities, and whether they must prove who they are.
const STEERING: [&str; 12] = [
    "endpoint",
    "url",
    "uri",
    "proxy",
    "metadata",
    "authority",
    "workload_host",
    "emulator",
    "token_file",
    "allow_http",
    "allow_invalid",
    "imdsv1",
];

/// Whether a setting says where requests go. The key of a Google account is a file that can say so inside.
fn steers(name: &str, value: &str) -> bool {
    STEERING.iter().any(|part| name.contains(part)) || value.contains("gcs_base_url")
}

/// The files of a folder as settings. A mounted Secret also has folders and links whose names begin with two dots.
fn read_settings(folder: &std::path::Path) -> std::io::Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        if name.starts_with('.') || !entry.path().is_file() {
            continue;
        }
        let value = std::fs::read_to_string(entry.path())?;
        settings.push((name, settings::trimmed(&value).to_owned()));
    }
    Ok(settings)
}

impl Store {
    /// Opens the store at `url`; the folder of a `file://` URL is created.
    ///
    /// What a cloud's store needs to know comes from the environment (`AWS_...`, `GOOGLE_...`, `AZURE_...`).
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &Access::default())
    }

    /// Opens the store at `url` as `access` says; what it doesn't say comes from the environment.
    pub fn open_with(url: &str, access: &Access) -> Result<Self, StoreError> {
        let parsed = Url::parse(url).map_err(|source| StoreError::NotUrl {
            url: url.to_owned(),
            source,
        })?;
        let url = &without_secrets(&parsed);
        if parsed.scheme() == "file" {
            let folder = parsed
                .to_file_path()
                .map_err(|()| StoreError::NotFolder { url: url.clone() })?;
            std::fs::create_dir_all(folder).map_err(|source| StoreError::Create {
                url: url.clone(),
                source,
            })?;
        }
        if parsed.scheme() == "http" {
            return Err(StoreError::PlainUrl { url: url.clone() });
        }
        let settings = [access.variables(), access.settings()?].concat();
        settings::check(&parsed, url, &settings)?;
        if let Some((setting, endpoint)) = scheme::plain_endpoint(&parsed, &settings) {
            return Err(StoreError::PlainEndpoint {
                url: url.clone(),
                setting,
                endpoint: Url::parse(&endpoint).map_or(endpoint, |endpoint| without_secrets(&endpoint)),
            });
        }
        match scheme::open(&parsed, settings, access.retry_for.unwrap_or(RETRY_FOR)) {
            Ok((objects, prefix)) => Ok(Self {
                objects,
                prefix,
                url: url.to_owned(),
                opened: Some(Arc::new((parsed, access.clone()))),
            }),
            Err(source) if scheme::is_unknown(&source) => Err(StoreError::Scheme { url: url.to_owned() }),
            Err(source) => Err(StoreError::Open {
                url: url.to_owned(),
                source,
            }),
        }
    }

    /// Bundles under `prefix` in any object store, for example one that a test made.
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        let url = format!("{objects}/{prefix}");
        Self {
            objects,
            prefix,
            url,
            opened: None,
        }
    }

    /// The same store with the credentials that there are now: a Secret may have been changed since. One that was not opened
    /// by a URL stays as it is.
    pub fn reopened(&self) -> Result<Self, StoreError> {
        match &self.opened {
            Some(opened) => Self::open_with(opened.0.as_str(), &opened.1),
            None => Ok(self.clone()),
        }
    }

    /// The object store itself, for what is not a bundle.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// Where `place`, with `/` between its parts, is in the object store.
    pub fn path(&self, place: &str) -> Path {
        let parts = place.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), |folder, part| folder.join(part))
    }

    /// Its URL, without secrets.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn bundle(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    pub(crate) fn channels(&self, name: &str) -> Path {
        self.bundle(name).join(CHANNELS)
    }

    pub(crate) fn channel(&self, name: &str, channel: &str) -> Path {
        self.channels(name).join(format!("{channel}.json"))
    }

    pub(crate) fn manifest(&self, name: &str, version: &str) -> Path {
        self.bundle(name).join(version).join(manifest::FILE_NAME)
    }

    /// Where a bundle's file is; `path` has been checked by [`manifest::check_path`].
    pub(crate) fn file(&self, name: &str, version: &str, path: &str) -> Path {
        path.split('/')
            .fold(self.bundle(name).join(version), |folder, segment| {
                folder.join(segment)
            })
    }

    /// A whole object of at most `limit` bytes, and the condition to replace exactly this version; `None` if there is no object.
    pub(crate) async fn read(
        &self,
        path: &Path,
        limit: u64,
    ) -> Result<Option<(Bytes, UpdateVersion)>, StoreError> {
        let failed = |source| StoreError::Read {
            path: path.clone(),
            store: self.url.clone(),
            source,
        };
        let long = || StoreError::Long {
            path: path.clone(),
            store: self.url.clone(),
            limit,
        };
        let found = match self.objects.get(path).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        if found.meta.size > limit {
            return Err(long());
        }
        let version = UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        };
        let mut bytes = Vec::new();
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(failed)?);
            if bytes.len() as u64 > limit {
                return Err(long());
            }
        }
        Ok(Some((bytes.into(), version)))
    }

    /// Writes a whole object; [`object_store::Error`] as it is, because callers decide by it.
    pub(crate) async fn put(
        &self,
        path: &Path,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<(), object_store::Error> {
        self.objects
            .put_opts(path, bytes.into(), PutOptions::from(mode))
            .await
            .map(drop)
    }

    pub(crate) async fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        match self.objects.head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(StoreError::Read {
                path: path.clone(),
                store: self.url.clone(),
                source,
            }),
        }
    }

    pub(crate) fn write_error(&self, path: &Path, source: object_store::Error) -> StoreError {
        StoreError::Write {
            path: path.clone(),
            store: self.url.clone(),
            source,
        }
    }

    /// The names of the bundles here, sorted.
    pub async fn bundles(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.list(&self.prefix.clone()).await?.0)
    }

    /// The versions of a bundle that have a manifest, sorted; none for a bundle that isn't there.
    pub async fn versions(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let mut versions = self.list(&self.bundle(name)).await?.0;
        versions.retain(|version| version != CHANNELS);
        let whole = futures::stream::iter(versions)
            .map(async |version| {
                Ok(self
                    .exists(&self.manifest(name, &version))
                    .await?
                    .then_some(version))
            })
            .buffered(8);
        whole
            .filter_map(async |version: Result<_, StoreError>| version.transpose())
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect()
    }

    /// The channels of a bundle, sorted; none for a bundle that isn't there.
    pub async fn channel_names(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let files = self.list(&self.channels(name)).await?.1;
        Ok(files
            .iter()
            .filter_map(|file| file.strip_suffix(".json"))
            .map(str::to_owned)
            .collect())
    }

    /// The names of the folders and of the files directly in `folder`, each sorted.
    async fn list(&self, folder: &Path) -> Result<(Vec<String>, Vec<String>), StoreError> {
        let found = match self.objects.list_with_delimiter(Some(folder)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(Default::default()),
            found => found.map_err(|source| StoreError::List {
                store: self.url.clone(),
                source,
            })?,
        };
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut folders: Vec<String> = found.common_prefixes.iter().filter_map(name).collect();
        let mut files: Vec<String> = found
            .objects
            .iter()
            .filter_map(|object| name(&object.location))
            .collect();
        folders.sort();
        files.sort();
        Ok((folders, files))
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The URL for messages and logs: secrets may are in its user information and in its query.
fn without_secrets(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs that can't have user information.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(url: &str, message: &str) {
        assert_eq!(Store::open(url).unwrap_err().to_string(), message);
    }

    #[test]
    fn the_folder_of_a_file_store_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a folder/store");
        Store::open(Url::from_file_path(&inside).unwrap().as_str()).unwrap();
        assert!(inside.is_dir());
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = format!("file://{}/store", file.path().display());
        refuses(&url, &format!("the folder of the store {url} can't be created"));
    }

    #[test]
    fn what_is_not_a_store_is_refused_with_what_would_be() {
        refuses(
            "/srv/store",
            "\"/srv/store\" is not a valid URL of a store; write for example file:///var/lib/gondola/store",
        );
        refuses(
            "ftp://host/store",
            "this program has no store for ftp://host/store; it was built with file://, memory://, s3://, gs://, az://, https://",
        );
    }

    #[test]
    fn each_scheme_that_is_named_can_be_opened() {
        let settings = || {
            [
                ("google_skip_signature", "true"),
                ("azure_storage_account_name", "shop"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        for scheme in scheme::BUILT_IN {
            let host = match scheme {
                "file://" | "memory://" => "",
                _ => "models",
            };
            let url = Url::parse(&format!("{scheme}{host}/shop")).unwrap();
            let (_, prefix) = scheme::open(&url, settings(), RETRY_FOR).unwrap();
            assert_eq!(prefix.as_ref(), "shop", "{scheme}");
        }
    }

    #[test]
    fn a_folder_that_is_not_absolute_is_refused_with_the_way_out() {
        refuses(
            "file://.demo/store",
            "the store file://.demo/store is not a folder on this machine; write an absolute path after file://, as in file:///var/lib/gondola/store",
        );
    }

    #[test]
    fn settings_come_from_the_files_of_a_mounted_secret() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("..data")).unwrap();
        std::fs::write(folder.path().join("AWS_ACCESS_KEY_ID"), "me\n").unwrap();
        let access = Access {
            credentials: Some(folder.path().to_owned()),
            endpoint: Some("http://minio:9000".into()),
            ..Access::default()
        };
        let settings = access.settings().unwrap();
        assert!(settings.contains(&("aws_access_key_id".into(), "me".into())));
        assert!(settings.contains(&("aws_endpoint".into(), "http://minio:9000".into())));
        assert!(settings.contains(&("allow_http".into(), "true".into())));
        let access = Access {
            credentials: Some(folder.path().join("missing")),
            ..Access::default()
        };
        let message = Store::open_with("s3://b/store", &access).unwrap_err().to_string();
        assert!(message.contains("mount the Secret there"), "{message}");
    }

    #[test]
    fn credentials_that_would_send_requests_elsewhere_are_refused_by_name() {
        let with = |name: &str, value: &str| {
            let folder = tempfile::tempdir().unwrap();
            let keys = [("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "secret")];
            for (name, value) in keys.into_iter().chain([(name, value)]) {
                std::fs::write(folder.path().join(name), value).unwrap();
            }
            let access = Access {
                credentials: Some(folder.path().to_owned()),
                ..Access::default()
            };
            Store::open_with("s3://models/shop", &access).map_err(|error| error.to_string())
        };
        for name in [
            "AWS_ENDPOINT",
            "AWS_ENDPOINT_URL",
            "aws_endpoint_url_s3",
            "AWS_ENDPOINT_URL_STS",
            "endpoint",
            "PROXY_URL",
            "AWS_METADATA_ENDPOINT",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ALLOW_HTTP",
            "ALLOW_INVALID_CERTIFICATES",
            "AZURE_STORAGE_ENDPOINT",
            "AZURE_MSI_ENDPOINT",
            "AZURE_AUTHORITY_HOST",
            "AZURE_FABRIC_WORKLOAD_HOST",
            "AZURE_STORAGE_USE_EMULATOR",
            "GOOGLE_BASE_URL",
        ] {
            let message = with(name, "http://mine").unwrap_err();
            let named = format!("the key {} in the credentials", name.to_ascii_uppercase());
            assert!(
                message.contains(&named) && message.contains("set spec.artifacts.endpoint"),
                "{message}"
            );
        }
        let inside = r#"{"client_email": "me", "gcs_base_url": "http://mine"}"#;
        assert!(with("GOOGLE_SERVICE_ACCOUNT_KEY", inside).is_err());
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SESSION_TOKEN",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        ] {
            with(name, "true").unwrap();
        }
    }

    #[test]
    fn an_endpoint_over_plain_http_is_refused_unless_somebody_allows_it() {
        let plain = |url: &str, settings: &[(&str, &str)]| {
            let settings: Vec<(String, String)> = settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            scheme::plain_endpoint(&Url::parse(url).unwrap(), &settings)
        };
        let minio = ("aws_endpoint", "http://minio:9000");
        let named = |name: &str, endpoint: &str| Some((name.to_owned(), endpoint.to_owned()));
        assert_eq!(plain("s3://b/p", &[minio]), named("AWS_ENDPOINT", minio.1));
        assert_eq!(
            plain(
                "s3://b/p",
                &[
                    ("aws_endpoint_url_s3", "HTTP://other"),
                    ("aws_endpoint", "https://s3")
                ]
            ),
            named("AWS_ENDPOINT_URL_S3", "HTTP://other")
        );
        assert_eq!(
            plain("az://b/p", &[("azure_storage_endpoint", "http://azurite")]),
            named("AZURE_STORAGE_ENDPOINT", "http://azurite")
        );
        for leave in [
            ("aws_allow_http", "true"),
            ("aws_allow_http", "1"),
            ("allow_http", "TRUE"),
        ] {
            assert_eq!(plain("s3://b/p", &[minio, leave]), None);
        }
        assert!(
            plain(
                "s3://b/p",
                &[minio, ("aws_allow_http", "true"), ("allow_http", "false")]
            )
            .is_some()
        );
        assert!(plain("s3://b/p", &[minio, ("azure_allow_http", "true")]).is_some());
        assert_eq!(plain("s3://b/p", &[("aws_endpoint", "https://minio:9000")]), None);
        assert_eq!(
            plain("s3://b/p", &[("azure_storage_endpoint", "http://azurite")]),
            None
        );
        let emulator = ("azure_storage_use_emulator", "true");
        let azurite = ("azure_storage_endpoint", "http://azurite");
        assert_eq!(plain("az://b/p", &[azurite, emulator]), None);
        let told = StoreError::PlainEndpoint {
            url: "s3://b/p".into(),
            setting: "AWS_ENDPOINT".into(),
            endpoint: "http://minio:9000/".into(),
        };
        assert_eq!(
            told.to_string(),
            "AWS_ENDPOINT is http://minio:9000/, which is plain HTTP: credentials and data could be read on the way to s3://b/p; give \
             an https:// endpoint, or set AWS_ALLOW_HTTP to true"
        );
        refuses(
            "http://me:secret@host/store",
            "the store http://host/store is plain HTTP, over which bundles could be changed in transit; use its https:// URL",
        );
        let access = Access {
            endpoint: Some("http://minio:9000".into()),
            ..Access::default()
        };
        Store::open_with("s3://models/shop", &access).unwrap();
    }

    #[test]
    fn the_environment_steers_no_credentials_that_were_given() {
        let given = Access {
            credentials: Some("/credentials".into()),
            ..Access::default()
        };
        let (of_environment, region) = (Access::default(), "aws_region");
        for name in ["aws_endpoint", "aws_endpoint_url_s3", "azure_storage_endpoint"] {
            assert!(of_environment.takes(name, "http://mine") && !given.takes(name, "http://mine"));
        }
        assert!(of_environment.takes(region, "eu-1") && given.takes(region, "eu-1"));
        assert!(!of_environment.takes("home", "/root"));
    }

    #[test]
    fn secrets_in_a_url_are_not_shown() {
        let error = Store::open("ftp://me:secret@host/store?token=secret#secret")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ftp://host/store;") && !error.contains("secret"),
            "{error}"
        );
        let store = Store::open("memory:///bundles?token=secret").unwrap();
        assert_eq!(store.to_string(), "memory:///bundles");
    }
}
