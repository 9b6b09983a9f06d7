//! The release that the programs of a cluster are of.
//!
//! Ballista compares its own major versions, and nothing says whether two programs mean the same by a plan. So each of ours introduces
//! itself in every call by its user agent, and the scheduler answers those of another release with a refusal, and all with the name of
//! its own.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::USER_AGENT;
use axum::middleware::Next;
use axum::response::Response;
use ballista_core::extension::EndpointOverrideFn;
use tonic::Status;

/// The key of gRPC's metadata in which a scheduler names its release.
pub(super) const HEADER: &str = "gondola-release";
/// What the user agents of our programs begin with.
const NAME: &str = "gondola/";

/// A release of ours: `gondola/` and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release(Arc<str>);

impl Release {
    /// The one that this program is of.
    pub fn this() -> Self {
        Self::of_version(env!("CARGO_PKG_VERSION"))
    }

    /// The one of a version.
    pub fn of_version(version: &str) -> Self {
        Self(format!("{NAME}{version}").into())
    }

    /// The one that a scheduler names.
    pub(super) fn named(text: &str) -> Option<Self> {
        text.strip_prefix(NAME).map(Self::of_version)
    }

    /// Introduces a program's calls.
    pub fn introduction(&self) -> EndpointOverrideFn {
        let release = self.0.to_string();
        Arc::new(move |endpoint| Ok(endpoint.user_agent(release.clone())?))
    }

    /// Whether a program with this user agent, to which libraries add their own, is of this release.
    fn is_of(&self, user_agent: &str) -> bool {
        user_agent.split(' ').next() == Some(&self.0)
    }

    fn refusal(&self, user_agent: &str) -> Status {
        let theirs = user_agent.split(' ').next().unwrap_or_default();
        Status::failed_precondition(format!(
            "this scheduler is {self}, and what calls it {theirs}; run scheduler, executors and gondola-train in one release"
        ))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Answers calls of this release, refuses others, and names the release to all.
pub(super) async fn check(State(release): State<Release>, request: Request, next: Next) -> Response {
    let caller = request.headers().get(USER_AGENT);
    let caller = caller.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let mut response = if release.is_of(caller) {
        next.run(request).await
    } else {
        tracing::warn!(caller, release = %release, "refused a program of another release");
        release.refusal(caller).into_http::<Body>()
    };
    if let Ok(name) = HeaderValue::from_str(&release.0) {
        response.headers_mut().insert(HEADER, name);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_release_is_one_version_whatever_libraries_add() {
        let release = Release::of_version("1.2.3");
        assert!(release.is_of("gondola/1.2.3 tonic/0.14"));
        assert!(release.is_of("gondola/1.2.3"));
        for other in [
            "gondola/1.2.30 tonic/0.14",
            "gondola/1.2 tonic/0.14",
            "tonic/0.14",
            "",
        ] {
            assert!(!release.is_of(other), "{other}");
        }
        assert_eq!(Release::named("gondola/1.2.3"), Some(release));
        assert_eq!(Release::named("ballista/55.0.0"), None);
    }
}
