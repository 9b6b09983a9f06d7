//! Who is viewing the pages, and what they may see: anyone who may read a namespace's pipelines with kubectl sees its experiments.
//!
//! A visitor brings a token of the cluster, as a Bearer header or as the password that a browser asks for. The API server says whose it
//! is (TokenReview) and what they may (SubjectAccessReview); nothing is decided or kept here.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gondola_causes::with_causes;
use gondola_crds::RecommenderPipeline;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};

/// Maximum number of namespaces that are checked one by one, for a visitor who may not see all.
const MAX_NAMESPACES: usize = 50;

/// Why a visitor sees nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The visitor is not authenticated.
    #[error(
        "a token of the cluster is needed, as a Bearer header or as the password of any user name; make one for example with kubectl create token"
    )]
    Unknown,
    /// The visitor lacks the right.
    #[error(
        "{user} may not read recommenderpipelines of {place}; ask whoever grants rights there for the view role"
    )]
    Forbidden {
        /// The visitor.
        user: String,
        /// What they would have to be able to read.
        place: String,
    },
    /// The API server can't be reached.
    #[error("the API server can't be asked who this is; try again")]
    Unavailable(#[source] Box<kube::Error>),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            // This makes a browser prompt for the token.
            Self::Unknown => {
                let challenge = [(
                    header::WWW_AUTHENTICATE,
                    "Basic realm=\"a token of the cluster\", charset=\"UTF-8\"",
                )];
                (StatusCode::UNAUTHORIZED, challenge, text).into_response()
            }
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, text).into_response(),
            Self::Unavailable(error) => {
                tracing::warn!(
                    error = with_causes(error.as_ref()),
                    "a visitor could not be identified"
                );
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
        }
    }
}

/// A visitor of the pages.
pub struct Visitor<'a> {
    client: &'a Client,
    user: UserInfo,
}

impl<'a> Visitor<'a> {
    /// Who a request comes from.
    pub async fn of(client: &'a Client, headers: &HeaderMap) -> Result<Self, Refusal> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token(headers).ok_or(Refusal::Unknown)?,
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(client.clone());
        let reviewed = api
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| Refusal::Unavailable(Box::new(error)))?;
        let status = reviewed.status.unwrap_or_default();
        match (status.authenticated, status.user) {
            (Some(true), Some(user)) => Ok(Self { client, user }),
            _ => Err(Refusal::Unknown),
        }
    }

    /// Lets the visitor see one namespace's experiments, or all of them.
    pub async fn may_see(&self, namespace: Option<&str>) -> Result<(), Refusal> {
        match self.sees(namespace).await? {
            true => Ok(()),
            false => Err(Refusal::Forbidden {
                user: self.user.username.clone().unwrap_or_default(),
                place: namespace.map_or_else(
                    || "all namespaces".to_owned(),
                    |namespace| format!("namespace {namespace}"),
                ),
            }),
        }
    }

    /// Those of some namespaces whose experiments the visitor may see.
    pub async fn of_namespaces(&self, namespaces: BTreeSet<String>) -> Result<BTreeSet<String>, Refusal> {
        if self.sees(None).await? {
            return Ok(namespaces);
        }
        let mut seen = BTreeSet::new();
        for namespace in namespaces.into_iter().take(MAX_NAMESPACES) {
            if self.sees(Some(&namespace)).await? {
                seen.insert(namespace);
            }
        }
        Ok(seen)
    }

    async fn sees(&self, namespace: Option<&str>) -> Result<bool, Refusal> {
        let UserInfo {
            username,
            uid,
            groups,
            extra,
        } = self.user.clone();
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: username,
                uid,
                groups,
                extra,
                resource_attributes: Some(ResourceAttributes {
                    group: Some(RecommenderPipeline::group(&()).into_owned()),
                    resource: Some(RecommenderPipeline::plural(&()).into_owned()),
                    verb: Some("get".to_owned()),
                    namespace: namespace.map(str::to_owned),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let reviewed = api
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| Refusal::Unavailable(Box::new(error)))?;
        Ok(reviewed.status.is_some_and(|status| status.allowed))
    }
}

/// The token of a request: of a Bearer header, or the password of a Basic one.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
        pair.split_once(':')?.1.to_owned()
    } else {
        return None;
    };
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(token(&headers).as_deref(), expected, "{value}");
    }

    #[test]
    fn a_token_comes_as_a_bearer_or_as_a_browsers_password() {
        check("Bearer abc", Some("abc"));
        check("bearer abc", Some("abc"));
        check("Basic YW55Ym9keTphYmM=", Some("abc"));
        for none in ["Bearer ", "Basic ???", "Basic YWJj", "Digest abc", "abc"] {
            check(none, None);
        }
        assert_eq!(token(&HeaderMap::new()), None);
    }
}
