//! Which pages may ask from a browser (CORS), where any may.

use std::str::FromStr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;

/// How long a browser may remember what a preflight said, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// What an answer tells a page beside its body.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, retry-after");
/// What a page may do: read.
const METHODS: HeaderValue = HeaderValue::from_static("GET");
/// Headers that a page may send, beside those of the experiment.
const HEADERS: &str = "authorization, x-api-key, x-request-id, x-gondola-arm, x-gondola-arm-signature";

/// An origin: a scheme, a host and maybe a port; or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not an origin; write for example https://shop.example, or '*' for all");
        if text != "*" {
            let uri: Uri = text.parse().map_err(|_| wrong())?;
            let whole = uri.scheme_str().zip(uri.authority());
            let written = whole
                .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
                .map(|(scheme, authority)| format!("{scheme}://{authority}"));
            // Browsers send it so: in lower case, without a path.
            if written.as_deref() != Some(text) || text.to_ascii_lowercase() != text || text.contains('@') {
                return Err(wrong());
            }
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| wrong())
    }
}

/// The origins whose pages may ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cors {
    pub(crate) origins: Vec<Origin>,
}

impl Cors {
    /// Whether any page may ask.
    pub(crate) fn is_open(&self) -> bool {
        !self.origins.is_empty()
    }

    /// The origin that an answer may be read by, where the request is a page's.
    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin?;
        let fits = |known: &&Origin| known.0 == "*" || known.0 == origin;
        self.origins.iter().find(fits).map(|known| known.0.clone())
    }

    /// The answer to a browser that asks whether it may ask. It brings no credentials, so that none are wanted.
    pub(crate) fn preflight(&self, request: &Request, unit_header: Option<&str>) -> Option<Response> {
        if request.method() != Method::OPTIONS
            || !request
                .headers()
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let origin = request.headers().get(header::ORIGIN);
        if self.allowed(origin).is_some() {
            let names = [HEADERS]
                .into_iter()
                .chain(unit_header)
                .collect::<Vec<_>>()
                .join(", ");
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            if let Ok(names) = HeaderValue::from_str(&names) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
            }
        }
        self.mark(origin, response.headers_mut());
        Some(response)
    }

    /// Says in an answer who may read it.
    pub(crate) fn mark(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        response.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.allowed(origin) {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for text in ["*", "https://shop.example", "http://localhost:3000"] {
            assert!(text.parse::<Origin>().is_ok(), "{text}");
        }
        for text in [
            "",
            "shop.example",
            "https://shop.example/",
            "https://Shop.example",
            "https://*.shop.example/x",
            "null",
            "ftp://shop.example",
            "https://a@shop.example",
        ] {
            let problem = text.parse::<Origin>().unwrap_err();
            assert!(
                problem.contains("is not an origin; write for example"),
                "{problem}"
            );
        }
    }
}
