//! Ids of requests: the client's own where it sends one that can be used, or else one that is made here. The answer has it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header with the id of a request, on its way in and out; metadata of gRPC.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is used, in bytes.
const MAX_BYTES: usize = 128;

/// The id of a request, which its headers have from now on.
pub(crate) fn settle(headers: &mut HeaderMap) -> HeaderValue {
    let visible = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        (1..=MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    if let Some(id) = headers.get(&REQUEST_ID).filter(visible) {
        return id.clone();
    }
    let id = HeaderValue::from_str(&format!("{:032x}", rand::random::<u128>()));
    let id = id.expect("digits are visible");
    headers.insert(REQUEST_ID, id.clone());
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(sent: Option<&[u8]>) -> HeaderValue {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent).unwrap());
        }
        let id = settle(&mut headers);
        assert_eq!(headers[REQUEST_ID], id, "what comes after sees the same");
        id
    }

    #[test]
    fn a_clients_id_is_kept_if_it_can_be_used() {
        let longest = "x".repeat(MAX_BYTES);
        for id in ["7", "a-b_c:d/e", &longest] {
            assert_eq!(settled(Some(id.as_bytes())), id);
        }
        let too_long = "x".repeat(MAX_BYTES + 1);
        for id in [&b""[..], b"a b", b"\xe9", b"a\tb", too_long.as_bytes()] {
            let made = settled(Some(id));
            assert_eq!(made.len(), 32);
            assert_ne!(made.as_bytes(), id);
        }
        assert_ne!(settled(None), settled(None), "each has its own");
    }
}
