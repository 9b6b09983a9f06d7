//! The query of a URL, read strictly: other readers take every byte that is not UTF-8 for the same sign, and then two users
//! are one.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

use crate::http_error::HttpError;

/// The parameters of a query.
pub(super) fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, HttpError> {
    if !is_utf8(uri.query().unwrap_or_default()) {
        let message = "the query has percent-encoded bytes that are no UTF-8; encode its values as UTF-8";
        return Err(HttpError::rejected(StatusCode::BAD_REQUEST, message.to_owned()));
    }
    match Query::try_from_uri(uri) {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(HttpError::rejected(rejection.status(), rejection.body_text())),
    }
}

/// Whether the bytes that a query stands for are UTF-8. What parts names and values is ASCII, so that no sign goes across.
fn is_utf8(query: &str) -> bool {
    let mut rest = query.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((byte, after)) = rest.split_first() {
        let encoded = match (byte, after) {
            (b'%', [high, low, ..]) => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => {
                decoded.push(high * 16 + low);
                rest = &after[2..];
            }
            None => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_are_distinguished_from_those_that_are() {
        for query in [
            "",
            "user=anna&k=3",
            "user=%C3%A9",
            "user=é",
            "user=100%",
            "user=%zz",
            "user=%EF%BF%BD",
            "a=%e2%82%ac",
        ] {
            assert!(is_utf8(query), "{query}");
        }
        for query in [
            "user=%E9",
            "user=%e8&k=3",
            "user=%C3",
            "user=%C3&k=%A9",
            "%FF=1",
            "text=%ED%A0%80",
        ] {
            assert!(!is_utf8(query), "{query}");
        }
    }
}
