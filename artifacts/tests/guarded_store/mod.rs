//! An S3-compatible store that asks who comes.

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, ETAG};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

const EMPTY_LIST: &str =
    "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>";

/// The endpoint of a store that is empty and takes everything from those who know `key`, and answers everybody else the same: a
/// status, or nothing ever.
pub(crate) async fn guarded_store(answer: Option<StatusCode>, key: &'static str) -> String {
    let answers = move |request: Request| async move {
        let known = request.headers().get(AUTHORIZATION);
        let known = known.and_then(|header| header.to_str().ok()).unwrap_or_default();
        match answer {
            _ if known.contains(&format!("Credential={key}/")) => within(&request),
            Some(status) => status.into_response(),
            None => std::future::pending().await,
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(answers);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn within(request: &Request) -> Response {
    if request.method() == Method::PUT {
        return [(ETAG, "\"one\"")].into_response();
    }
    match request.uri().query() {
        Some(_) => EMPTY_LIST.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
