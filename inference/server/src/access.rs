//! Who may send what, and how much of it: what a request passes before anything else reads it.
//!
//! 1. Each request has an id (`request_id.rs`), which its answer has as well.
//! 2. A browser that asks whether a page may ask is answered ([`cors`]).
//! 3. What the request needs is looked up by its path ([`scope`]); whoever sends it shows an API key ([`keys`]) or a token of an
//!    [`issuer`] ([`token`]) that allows it.
//! 4. The client has its share of the server ([`limits`]), and so has an address that shows nothing that is known: guessing is slow.
//! 5. Each message of a [`stream`] passes 3 and 4 again.
//!
//! Everything is optional, and without options every client may do everything. Keys and tokens are in no message and no log.

pub mod arguments;
pub mod cors;
pub mod forced_arm;
pub mod issuer;
mod keys;
pub mod limits;
pub mod scope;
pub(crate) mod stream;
pub mod token;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use gondola_protocol::Code;
use tonic::Status;

use crate::front::Front;
use crate::http_error;
use crate::openapi::{self, View};
use crate::reloading::{FilesError, Reloading};
use crate::request_id::{self, REQUEST_ID};
use crate::traces::{self, Span};
use cors::{Cors, Origin};
use issuer::{Issuer, IssuerError, Place};
use keys::Keys;
use limits::{Admission, Client, ClientLimits, Clients, Excess};
use scope::{Need, Scope, Scopes};
use stream::Turnstile;
use token::{Expected, TokenError};

/// A key that is not in `authorization`.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What the answer to a client without a credential asks for.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"gondola\"");
/// Most failures of requests that are logged in a second.
const MAX_LINES_PER_SECOND: u64 = 10;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Which of a server's ports a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// The main one, or the only one.
    Main,
    /// The one for everything else, which is inside of a cluster: no pages and no limits.
    Admin,
}

/// Why a request is not let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Denial {
    #[error("no {0} was sent; send it as 'authorization: Bearer ...'")]
    Nothing(Wanted),
    #[error("the header authorization is not 'Bearer' followed by an {0}; write 'authorization: Bearer ...'")]
    Scheme(Wanted),
    #[error("the API key is not known here; check that it was copied whole, or ask for a new one")]
    UnknownKey,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{client:?} may not do this, which needs the scope {needs}{}; ask for a credential with that scope", and_has(.has))]
    Scope {
        client: Arc<str>,
        has: Scopes,
        needs: Scope,
    },
    #[error("too many requests of this client; wait {} s before the next", seconds(.0))]
    Rate(Duration),
    #[error("this client has {0} requests under way, the most that it may; wait until one is answered")]
    Concurrency(u32),
}

/// What a client should show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
enum Wanted {
    #[strum(to_string = "API key")]
    Key,
    #[strum(to_string = "access token")]
    Token,
    #[strum(to_string = "API key or access token")]
    Either,
}

fn and_has(scopes: &Scopes) -> String {
    if scopes.is_empty() {
        return ", and has no scope".to_owned();
    }
    format!(", and has {scopes}")
}

/// Rounded up, so that whoever waits so long is let in.
fn seconds(wait: &Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl Denial {
    fn code(&self) -> Code {
        match self {
            Self::Token(TokenError::NoKeys) => Code::Unavailable,
            Self::Nothing(_) | Self::Scheme(_) | Self::UnknownKey | Self::Token(_) => Code::Unauthenticated,
            Self::Scope { .. } => Code::PermissionDenied,
            Self::Rate(_) | Self::Concurrency(_) => Code::ResourceExhausted,
        }
    }

    /// Its name in metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Nothing(_) | Self::Scheme(_) => "no_credential",
            Self::UnknownKey => "unknown_key",
            Self::Token(_) => "token",
            Self::Scope { .. } => "scope",
            Self::Rate(_) => "rate",
            Self::Concurrency(_) => "concurrency",
        }
    }

    fn into_response(self, grpc: bool) -> Response {
        let code = self.code();
        let message = self.to_string();
        let mut response = match grpc {
            true => Status::new(code.into(), message).into_http::<Body>(),
            false => http_error::error(http_error::status(code), code, &message),
        };
        let headers = response.headers_mut();
        match &self {
            Self::Rate(wait) => {
                headers.insert(header::RETRY_AFTER, seconds(wait).into());
            }
            // An answer takes less than that.
            Self::Concurrency(_) | Self::Token(TokenError::NoKeys) => {
                headers.insert(header::RETRY_AFTER, 1.into());
            }
            _ if code == Code::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            _ => {}
        }
        response
    }
}

/// Who may do what.
#[derive(Default)]
pub(crate) struct Access {
    keys: Option<Arc<Reloading<Keys>>>,
    tokens: Option<(Issuer, Expected)>,
}

impl Access {
    /// Takes the keys of a folder from now on. Must be called within Tokio.
    fn with_keys(mut self, folder: &Path) -> Result<Self, FilesError> {
        self.keys = Some(Reloading::start(&[folder.to_owned()], Keys::read)?);
        Ok(self)
    }

    /// Takes tokens from now on.
    fn with_tokens(mut self, place: Place, expected: Expected) -> Result<Self, IssuerError> {
        self.tokens = Some((Issuer::follow(place)?, expected));
        Ok(self)
    }

    /// Whose the request is, if that matters, or why it may not be sent.
    fn admit(&self, headers: &HeaderMap, needs: Scope, now: SystemTime) -> Result<Option<Client>, Denial> {
        let wanted = match (&self.keys, &self.tokens) {
            (None, None) => return Ok(None),
            (Some(_), None) => Wanted::Key,
            (None, Some(_)) => Wanted::Token,
            (Some(_), Some(_)) => Wanted::Either,
        };
        let (client, name, has) = match (credential(headers, wanted)?, &self.keys, &self.tokens) {
            (Credential::Bearer(text), _, Some((issuer, expected)))
                if self.keys.is_none() || token::is_token(text) =>
            {
                let (subject, scopes) = checked(text, issuer, expected, now)?;
                (Client::Subject(Arc::clone(&subject)), subject, scopes)
            }
            (Credential::Bearer(text) | Credential::Key(text), Some(keys), _) => {
                let found = keys.current().find(text.as_bytes());
                let (name, scopes) = found.ok_or(Denial::UnknownKey)?;
                (Client::Key(Arc::clone(&name)), name, scopes)
            }
            (Credential::Key(_) | Credential::Bearer(_), None, _) => return Err(Denial::Nothing(wanted)),
        };
        if !has.has(needs) {
            return Err(Denial::Scope {
                client: name,
                has,
                needs,
            });
        }
        Ok(Some(client))
    }
}

fn checked(
    text: &str,
    issuer: &Issuer,
    expected: &Expected,
    now: SystemTime,
) -> Result<(Arc<str>, Scopes), TokenError> {
    let keys = issuer.keys().ok_or(TokenError::NoKeys)?;
    let outcome = token::check(text, &keys, expected, now);
    if matches!(outcome, Err(TokenError::UnknownKey(_))) {
        issuer.look_again();
    }
    outcome
}

enum Credential<'a> {
    Key(&'a str),
    Bearer(&'a str),
}

/// What a request shows. The header that is only ours comes first: a proxy may use the other for itself.
fn credential(headers: &HeaderMap, wanted: Wanted) -> Result<Credential<'_>, Denial> {
    if wanted != Wanted::Token
        && let Some(key) = headers.get(API_KEY)
    {
        return key.to_str().map(Credential::Key).map_err(|_| Denial::UnknownKey);
    }
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return Err(Denial::Nothing(wanted));
    };
    let (scheme, text) = authorization
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(Denial::Scheme(wanted))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denial::Scheme(wanted));
    }
    Ok(Credential::Bearer(text.trim()))
}

/// What stands before a server's ports.
pub struct Guard {
    access: Access,
    clients: Clients,
    cors: Cors,
    lines: Lines,
}

impl Default for Guard {
    /// One that lets everybody in.
    fn default() -> Self {
        Self::new(Access::default(), ClientLimits::default(), Vec::new())
    }
}

impl Guard {
    fn new(access: Access, limits: ClientLimits, origins: Vec<Origin>) -> Self {
        Self {
            access,
            clients: Clients::new(limits),
            cors: Cors { origins },
            lines: Lines::default(),
        }
    }

    /// Lets a request in, or says why not.
    fn admit(&self, request: &Asking<'_>, port: Port) -> Result<Option<Admission>, Denial> {
        let Need::Scope(needs) = scope::need(request.path) else {
            return Ok(None);
        };
        let address = request.address;
        let admitted = self.access.admit(request.headers, needs, SystemTime::now());
        match (admitted, port) {
            (Ok(_), Port::Admin) => Ok(None),
            (Ok(client), Port::Main) => self
                .count(client.unwrap_or_else(|| Client::at(address)))
                .map(Some),
            // Who guesses is counted as well, and hears that instead of whether the guess was good.
            (Err(denial), _) => self.count_stranger(address).and(Err(denial)),
        }
    }

    fn count(&self, client: Client) -> Result<Admission, Denial> {
        let admission = self.clients.admit(client, Instant::now());
        admission.map_err(|excess| match excess {
            Excess::Rate(wait) => Denial::Rate(wait),
            Excess::Concurrency(most) => Denial::Concurrency(most),
        })
    }

    fn count_stranger(&self, address: Option<IpAddr>) -> Result<(), Denial> {
        self.count(Client::at(address)).map(drop)
    }
}

/// What a guard looks at.
struct Asking<'a> {
    path: &'a str,
    headers: &'a HeaderMap,
    address: Option<IpAddr>,
}

impl<'a> Asking<'a> {
    fn of(request: &'a Request) -> Self {
        Self {
            path: request.uri().path(),
            headers: request.headers(),
            address: request.extensions().get::<Peer>().map(|peer| peer.0.ip()),
        }
    }
}

/// Puts a guard before everything that a port serves.
pub(crate) fn guarded(app: axum::Router, guard: &Arc<Guard>, front: &Arc<Front>, port: Port) -> axum::Router {
    let (guard, front) = (Arc::clone(guard), Arc::clone(front));
    app.layer(from_fn(move |request: Request, next: Next| {
        let (guard, front) = (Arc::clone(&guard), Arc::clone(&front));
        async move { pass(&guard, &front, port, request, next).await }
    }))
}

/// The way of every request.
async fn pass(guard: &Arc<Guard>, front: &Front, port: Port, mut request: Request, next: Next) -> Response {
    let id = request_id::settle(request.headers_mut());
    let for_pages = port == Port::Main && guard.cors.is_open();
    if for_pages && let Some(mut answer) = guard.cors.preflight(&request, front.unit_header().as_deref()) {
        answer.headers_mut().insert(REQUEST_ID, id);
        return answer;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    if request.uri().path() == openapi::PATH {
        request.extensions_mut().insert(View {
            questions_alone: false,
            keys: guard.access.keys.is_some(),
            tokens: guard.access.tokens.is_some(),
        });
    }
    if request.uri().path() == stream::PATH {
        let turnstile = Turnstile::of(guard, &request, port);
        request.extensions_mut().insert(turnstile);
    }
    let grpc = is_grpc(request.headers());
    let uri = request.uri().clone();
    let span = Span::of_request(request.method().as_str(), &uri, request.headers());
    let mut response = match guard.admit(&Asking::of(&request), port) {
        Ok(_admission) => traces::within(span.as_ref(), next.run(request)).await,
        Err(denial) => {
            front.metrics().denied(denial.reason());
            denial.into_response(grpc)
        }
    };
    if let Some(span) = &span {
        span.came_out(&id, response.status());
    }
    if failed(&response) && guard.lines.may() {
        let trace_id = span.as_ref().and_then(Span::trace_id);
        tracing::warn!(request_id = ?id, trace_id, path = uri.path(), status = response.status().as_u16(), "a request failed");
    }
    if for_pages {
        guard.cors.mark(origin.as_ref(), response.headers_mut());
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Whether a fault of ours kept a request from its answer. Who is not ready, or stops, says so elsewhere.
fn failed(response: &Response) -> bool {
    let grpc = response.headers().get("grpc-status");
    let grpc = grpc.map(|status| tonic::Code::from_bytes(status.as_bytes()));
    response.status() == StatusCode::INTERNAL_SERVER_ERROR || grpc == Some(tonic::Code::Internal)
}

/// Bounds how much is logged.
#[derive(Default)]
struct Lines {
    second: AtomicU64,
    written: AtomicU64,
}

impl Lines {
    fn may(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.written.store(0, Ordering::Relaxed);
        }
        self.written.fetch_add(1, Ordering::Relaxed) < MAX_LINES_PER_SECOND
    }
}
