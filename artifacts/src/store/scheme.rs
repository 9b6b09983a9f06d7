//! The client of an object store, chosen by its URL's scheme.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig, parse_url_opts};
use url::{Position, Url};

/// The builders share their methods, but no trait.
macro_rules! client {
    ($builder:ty, $url:expr, $settings:expr, $retry:expr) => {{
        let builder = <$builder>::new().with_url($url).with_retry($retry);
        let builder = $settings
            .into_iter()
            .fold(builder, |builder, (name, value)| match name.parse() {
                Ok(name) => builder.with_config(name, value),
                Err(_) => builder,
            });
        Arc::new(builder.build()?)
    }};
}

/// The store at `url`, and the place in it that the URL names. A scheme's client takes the settings that it knows, and makes a
/// failing request again for as long as `retry_for`.
///
/// As [`parse_url_opts`], which leaves no choice of retries.
pub(super) fn open(
    url: &Url,
    settings: impl IntoIterator<Item = (String, String)>,
    retry_for: Duration,
) -> Result<(Arc<dyn ObjectStore>, Path), object_store::Error> {
    let (scheme, prefix) = ObjectStoreScheme::parse(url)?;
    let retry = retries(retry_for);
    let objects: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => client!(AmazonS3Builder, url.as_str(), settings, retry),
        ObjectStoreScheme::GoogleCloudStorage => {
            client!(GoogleCloudStorageBuilder, url.as_str(), settings, retry)
        }
        ObjectStoreScheme::MicrosoftAzure => client!(MicrosoftAzureBuilder, url.as_str(), settings, retry),
        ObjectStoreScheme::Http => client!(HttpBuilder, &url[..Position::BeforePath], settings, retry),
        _ => return parse_url_opts(url, settings).map(|(objects, _)| (objects.into(), prefix)),
    };
    Ok((objects, prefix))
}

/// Whether the client of a URL's scheme takes a setting of this name.
pub(super) fn takes(url: &Url, name: &str) -> bool {
    match ObjectStoreScheme::parse(url).map(|(scheme, _)| scheme) {
        Ok(ObjectStoreScheme::AmazonS3) => name.parse::<AmazonS3ConfigKey>().is_ok(),
        Ok(ObjectStoreScheme::GoogleCloudStorage) => name.parse::<GoogleConfigKey>().is_ok(),
        Ok(ObjectStoreScheme::MicrosoftAzure) => name.parse::<AzureConfigKey>().is_ok(),
        _ => false,
    }
}

/// The endpoint that requests would be sent to over plain HTTP without leave, and the setting that says so.
///
/// The clients refuse such requests with an error that names neither.
pub(super) fn plain_endpoint(url: &Url, settings: &[(String, String)]) -> Option<(String, String)> {
    // The first that is said anything by holds.
    let (endpoints, leave): (&[&[&str]], _) = match ObjectStoreScheme::parse(url).ok()?.0 {
        ObjectStoreScheme::AmazonS3 => (
            &[&["aws_endpoint_url_s3"], &["aws_endpoint_url", "aws_endpoint"]],
            "aws_allow_http",
        ),
        ObjectStoreScheme::MicrosoftAzure => (
            &[&["azure_storage_endpoint", "azure_endpoint"]],
            "azure_allow_http",
        ),
        _ => return None,
    };
    // Of one setting, what is said last holds.
    let last = |names: &[&str]| settings.iter().rfind(|(name, _)| names.contains(&name.as_str()));
    let (name, endpoint) = endpoints.iter().find_map(|names| last(names))?;
    let plain = endpoint.trim_start().to_ascii_lowercase().starts_with("http://");
    // Azure's emulator speaks nothing else, and its client knows that.
    let allowed = [&[leave, "allow_http"][..], &["azure_storage_use_emulator"]];
    let allowed = allowed
        .into_iter()
        .any(|names| last(names).is_some_and(|(_, value)| is_yes(value)));
    (plain && !allowed).then(|| (name.to_ascii_uppercase(), endpoint.clone()))
}

/// As the clients read settings that are on or off.
fn is_yes(value: &str) -> bool {
    ["1", "true", "on", "yes", "y"].contains(&value.to_ascii_lowercase().as_str())
}

/// The setting that lets a scheme's client use plain HTTP.
pub(super) fn leave(setting: &str) -> &'static str {
    if setting.starts_with("AZURE") {
        "AZURE_ALLOW_HTTP"
    } else {
        "AWS_ALLOW_HTTP"
    }
}

/// Pauses stay short compared with the whole, so that an error is returned soon after `retry_for` and not a long pause later.
fn retries(retry_for: Duration) -> RetryConfig {
    let backoff = BackoffConfig::default();
    RetryConfig {
        backoff: BackoffConfig {
            max_backoff: backoff.max_backoff.min(retry_for / 4),
            ..backoff
        },
        retry_timeout: retry_for,
        ..RetryConfig::default()
    }
}

/// The schemes that [`open`] knows.
pub(super) const BUILT_IN: [&str; 6] = ["file://", "memory://", "s3://", "gs://", "az://", "https://"];

/// Whether the error says that nobody knows the scheme.
pub(super) fn is_unknown(error: &object_store::Error) -> bool {
    match error {
        object_store::Error::Generic { store: "URL", source } => {
            source.to_string().starts_with("Unable to recognise URL")
        }
        _ => false,
    }
}
