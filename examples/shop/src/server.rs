//! Paths, and what happens at each: read the visit, ask the pipeline, make the page.
//!
//! `account` has the door, `browsing` the pages, `buying` what customers do, `panel` what is chosen at the bottom. Pages are asked for by `GET` and change nothing but what the
//! pipeline is told of a view; everything else is a `POST` that ends with a redirect, so that a page that is loaded again does nothing
//! again. Forms of other sites come without the cookie (`SameSite`), and so reach only the door.

mod account;
mod browsing;
mod buying;
mod panel;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gondola_request::Interaction;

use crate::catalogue::Catalogue;
use crate::cookies::Login;
use crate::customers::Customers;
use crate::pages::{Frame, ICON, STYLE, links, missing};
use crate::pipeline::Pipeline;
use crate::sessions::Sessions;

/// Most bytes of a form: an id, a number and a path.
const MAX_FORM_BYTES: usize = 16 << 10;
/// A page has one style, pictures of its own, and nothing else: no script, and no other site's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// How long browsers keep what never changes while the shop runs.
const KEPT: &str = "max-age=300";

/// The shop.
pub(crate) struct Shop {
    pub(crate) catalogue: Catalogue,
    pub(crate) customers: Customers,
    pub(crate) sessions: Sessions,
    pub(crate) pipeline: Pipeline,
}

impl Shop {
    /// Tells the pipeline what a customer did, and notes what it said. The customer never waits for more than that, nor learns of
    /// a failure anywhere but in the panel: what they did is done.
    async fn tell(&self, login: &Login, interactions: Vec<Interaction>) {
        if interactions.is_empty() {
            return;
        }
        let said = self.pipeline.tell(&interactions).await;
        if let Err(problem) = &said {
            tracing::warn!(%problem, "the pipeline was not told of {} interactions", interactions.len());
        }
        self.sessions.with(login, |visit| {
            visit.note(&interactions, |place| match &said {
                Ok(receipt) => receipt.problem(place),
                Err(problem) => Some(problem.clone()),
            });
        });
    }
}

/// The paths.
pub(crate) fn routes(shop: Arc<Shop>) -> Router {
    Router::new()
        .route(links::HOME, get(browsing::home))
        .route(links::SEARCH, get(browsing::search))
        .route("/product/{id}", get(browsing::product))
        .route(links::BASKET, get(buying::basket))
        .route(links::ADD, post(buying::add))
        .route(links::SET, post(buying::set))
        .route(links::CHECK_OUT, post(buying::check_out))
        .route(links::DISLIKE, post(buying::dislike))
        .route(links::ARM, post(panel::choose_arm))
        .route(links::COLUMN, post(panel::set_column))
        .route(links::LOG_IN, get(account::door).post(account::log_in))
        .route(links::LOG_OUT, post(account::log_out))
        .route(
            links::STYLE,
            get(|| kept("text/css; charset=utf-8", STYLE.as_str())),
        )
        .route(links::ICON, get(|| kept("image/svg+xml", ICON)))
        .route("/healthz", get(|| async { "alive\n" }))
        .fallback(|| async { nothing_here(None) })
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(from_fn(guarded))
        .with_state(shop)
}

/// Only who is logged in gets further; everybody else gets to the door.
impl<S: Sync> FromRequestParts<S> for Login {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Redirect> {
        let headers = parts.headers.get_all(header::COOKIE).iter();
        let mut texts = headers.filter_map(|value| value.to_str().ok());
        texts
            .find_map(Login::read)
            .ok_or_else(|| Redirect::to(links::LOG_IN))
    }
}

async fn kept(kind: &'static str, text: &'static str) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, KEPT)],
        text,
    )
}

fn nothing_here(visit: Option<&crate::visit::Visit>) -> Response {
    let frame = Frame {
        title: "Nothing here",
        visit,
        query: "",
        main: missing(),
        panel: None,
    };
    (StatusCode::NOT_FOUND, Html(frame.render())).into_response()
}

/// Headers of every answer. Pages are one customer's own, and are never kept on the way.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("referrer-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let kept = headers.entry(header::CACHE_CONTROL);
    kept.or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
