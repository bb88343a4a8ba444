//! Spans for an OpenTelemetry collector: those of requests, phases, attempts and deliveries, over HTTP. Compiled with
//! the feature `otel` alone, and at work where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector; the other variables of
//! the exporter (`OTEL_…`) are its own.

use std::sync::OnceLock;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::error::{CliError, ErrorKind};

/// Names the collector.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const NAME: &str = "recoveryctl";

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Hands spans on, if a collector is named.
pub(super) fn layer<S>(filter: Targets) -> Result<Option<impl Layer<S>>, CliError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if std::env::var_os(ENDPOINT).is_none_or(|endpoint| endpoint.is_empty()) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .build()
        .map_err(|e| CliError::new(ErrorKind::Usage, format!("{ENDPOINT}: spans cannot be exported: {e}")))?;
    let resource = Resource::builder().with_service_name(NAME).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer(NAME);
    // Called once a process.
    let _ = PROVIDER.set(provider);
    Ok(Some(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(filter)))
}

/// Hands on what is left; a collector that does not answer is waited for as long as the exporter's own time says.
pub(super) fn finish() {
    if let Some(provider) = PROVIDER.get() {
        // Nobody is left to be told.
        let _ = provider.shutdown();
    }
}
