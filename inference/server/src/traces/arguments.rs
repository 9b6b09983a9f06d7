//! Where spans go, and how many.

use std::sync::atomic::Ordering;

use anyhow::Context as _;
use clap::Args;
use gondola_wire::variables;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

use super::EXPORTED;

/// Where spans go, and how many.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// URL of an OpenTelemetry collector that takes spans over OTLP and gRPC, for example http://collector:4317. Default: none.
    #[arg(long, env = variables::TRACES_ENDPOINT)]
    traces_endpoint: Option<String>,
    /// Share of the traces that are kept, for example 1%, where the client's traceparent says nothing.
    #[arg(long, env = variables::TRACES_SAMPLING, default_value = "1%", value_parser = share)]
    traces_sampling: f64,
}

/// The export of spans, until it is dropped: what is still there goes out then.
#[derive(Debug)]
pub struct Export(SdkTracerProvider);

impl TraceArguments {
    /// Begins to export the spans of this program, if a collector is named. Must be called within Tokio.
    pub fn start(&self) -> anyhow::Result<Option<Export>> {
        let Some(endpoint) = &self.traces_endpoint else {
            return Ok(None);
        };
        anyhow::ensure!(
            endpoint.starts_with("http://"),
            "--traces-endpoint {endpoint:?} is not http://HOST:PORT; name a collector of the cluster or of the node, which hands on over TLS"
        );
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build();
        let exporter = exporter.with_context(|| {
            format!(
                "--traces-endpoint {endpoint:?} is no collector's; write for example http://collector:4317"
            )
        })?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder()
            .with_service_name(program())
            .with_attribute(version);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                self.traces_sampling,
            ))))
            .with_resource(resource.build())
            .build();
        global::set_tracer_provider(provider.clone());
        EXPORTED.store(true, Ordering::Relaxed);
        Ok(Some(Export(provider)))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        EXPORTED.store(false, Ordering::Relaxed);
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// The name of this program's file: `gondola-router`, `gondola-inference`.
fn program() -> String {
    let file = std::env::current_exe().ok();
    let name = file.as_deref().and_then(|file| file.file_name());
    name.map_or_else(
        || "gondola".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Reads `2.5%`.
fn share(text: &str) -> Result<f64, String> {
    let percent = text
        .strip_suffix('%')
        .and_then(|number| number.parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("{text:?} is no share; write for example 1%, or 100% for all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages() {
        assert_eq!(share("2.5%"), Ok(0.025));
        assert_eq!(share("100%"), Ok(1.0));
        for text in ["0.01", "101%", "-1%", "NaN%", "%", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_collector_that_is_none_is_refused() {
        let arguments = |endpoint: &str| TraceArguments {
            traces_endpoint: Some(endpoint.to_owned()),
            traces_sampling: 1.0,
        };
        for endpoint in ["collector:4317", "https://collector:4317"] {
            let error = arguments(endpoint).start().unwrap_err().to_string();
            assert!(error.contains("is not http://HOST:PORT"), "{error}");
        }
    }
}
