//! Where an issuer's public keys come from: a file, or a URL that is asked again and again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use gondola_causes::with_causes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;

use super::token::KeySet;
use crate::reloading::{Files, FilesError, Reloading};
use crate::tls;

/// How often a URL is asked for keys.
const REFRESH: Duration = Duration::from_secs(300);
/// How soon again, when a token names a key that is not there, or the last try failed: many such tokens are one question.
const AGAIN: Duration = Duration::from_secs(30);
/// How soon again as long as there are no keys at all.
const FIRST_AGAIN: Duration = Duration::from_secs(1);
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(5);
/// Largest key set, in bytes.
const MAX_BYTES: usize = 256 << 10;

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file, which is read again when it changes.
    File(PathBuf),
    /// A URL, `https` alone, with the authorities that its server's certificate may be signed by; default: the system's.
    Url { url: Uri, ca: Option<PathBuf> },
}

/// Why an issuer's keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The file is missing or is something else.
    #[error("cannot use the issuer's keys")]
    Files(#[from] FilesError),
    /// The authorities are.
    #[error("cannot use the authorities for the issuer's URL")]
    Authorities(#[from] tls::TlsError),
}

/// The keys of an issuer.
pub(crate) enum Issuer {
    File(Arc<Reloading<KeySet>>),
    Url(Arc<Remote>),
}

/// The keys of a URL: what it said last that could be read.
#[derive(Default)]
pub(crate) struct Remote {
    keys: ArcSwapOption<KeySet>,
    wanted: Notify,
}

impl Issuer {
    /// Follows the keys from now on. Must be called within Tokio.
    pub(crate) fn follow(place: Place) -> Result<Self, IssuerError> {
        Ok(match place {
            Place::File(path) => Self::File(Reloading::start(&[path], read_file)?),
            Place::Url { url, ca } => {
                let client = client(ca.as_deref())?;
                let remote = Arc::new(Remote::default());
                tokio::spawn(refresh(Arc::clone(&remote), client, url));
                Self::Url(remote)
            }
        })
    }

    /// The keys, if any have been read.
    pub(crate) fn keys(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(file) => Some(file.current()),
            Self::Url(remote) => remote.keys.load_full(),
        }
    }

    /// A token names a key that is not there: there may be a new one.
    pub(crate) fn look_again(&self) {
        if let Self::Url(remote) = self {
            remote.wanted.notify_one();
        }
    }
}

fn read_file(files: &[Files]) -> Result<KeySet, FilesError> {
    let (name, json) = files[0].first_key_value().ok_or_else(|| FilesError::Content {
        path: PathBuf::from("the folder"),
        what: "a key set",
        problem: "it is empty; name a file".to_owned(),
    })?;
    KeySet::read(json).map_err(|problem| FilesError::Content {
        path: PathBuf::from(name),
        what: "a key set",
        problem,
    })
}

type HttpsClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

fn client(ca: Option<&Path>) -> Result<HttpsClient, IssuerError> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls::client_of(ca)?)
        .https_only()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// Asks for as long as somebody needs the keys.
async fn refresh(remote: Arc<Remote>, client: HttpsClient, url: Uri) {
    loop {
        let outcome = match tokio::time::timeout(WITHIN, fetch(&client, &url)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {WITHIN:?}")),
        };
        match outcome {
            Ok(keys) => remote.keys.store(Some(Arc::new(keys))),
            Err(problem) => tracing::error!(
                %url,
                problem,
                "the keys of the tokens' issuer could not be read; those that were read last stay in force"
            ),
        }
        if remote.keys.load().is_none() {
            tokio::time::sleep(FIRST_AGAIN).await;
            continue;
        }
        tokio::time::sleep(AGAIN).await;
        tokio::select! {
            () = remote.wanted.notified() => {}
            () = tokio::time::sleep(REFRESH.saturating_sub(AGAIN)) => {}
        }
    }
}

async fn fetch(client: &HttpsClient, url: &Uri) -> Result<KeySet, String> {
    let answer = client
        .get(url.clone())
        .await
        .map_err(|error| with_causes(&error))?;
    // A redirect is not followed: only the URL that somebody wrote down is trusted.
    if answer.status() != StatusCode::OK {
        return Err(format!("it answers with status {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
    let body =
        body.map_err(|error| format!("its body can't be read, or has more than {MAX_BYTES} bytes: {error}"))?;
    KeySet::read(&body.to_bytes())
}
