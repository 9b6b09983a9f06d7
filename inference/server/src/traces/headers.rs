//! Headers of HTTP and metadata of gRPC, as OpenTelemetry reads and writes them.

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector};
use tonic::metadata::{MetadataKey, MetadataMap};

/// Headers that came in.
pub(super) struct ReadHeaders<'a>(pub(super) &'a HeaderMap);

impl Extractor for ReadHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

/// Metadata that goes out.
pub(super) struct WriteMetadata<'a>(pub(super) &'a mut MetadataMap);

impl Injector for WriteMetadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        // What is no metadata is no trace either.
        if let (Ok(key), Ok(value)) = (key.parse::<MetadataKey<_>>(), value.parse()) {
            self.0.insert(key, value);
        }
    }
}
