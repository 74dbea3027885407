//! Spans, made with the API of OpenTelemetry itself, and handed in batches to a thread that exports them:
//! whoever ends one never waits.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context as OtelContext, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use super::post::Post;
use super::{Config, Kind, Propagate, StartError};

/// By which spans know what they are parts of.
#[derive(Clone, Debug)]
pub struct Context(SpanContext);

/// Something that takes time; it ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    span: opentelemetry_sdk::trace::Span,
    /// The caller has begun the trace.
    is_callers: bool,
}

/// Those of the process.
struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagate: Propagate,
}

/// Spans are sent by the current runtime. A second start changes nothing.
///
/// # Errors
/// When the library does not take the config.
pub fn start(config: &Config) -> Result<(), StartError> {
    if TRACES.get().is_some() {
        return Ok(());
    }
    let endpoint = format!("{}/v1/traces", config.endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Post::new(Handle::current(), EXPORT_TIME))
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIME)
        .build()
        .map_err(|error| StartError(error.to_string()))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MOST_WAITING)
        .with_max_export_batch_size(MOST_AT_ONCE)
        .with_scheduled_delay(INTERVAL)
        .build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let mut resource = Resource::builder().with_attribute(version);
    // As the operator calls it, who may have many.
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("tokenward");
    }
    let root = Sampler::TraceIdRatioBased(config.sample);
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(root)))
        .with_resource(resource.build())
        .with_span_processor(batches)
        .build();
    let tracer = provider.tracer("tokenward");
    let _ = TRACES.set(Traces { provider, tracer, propagate: config.propagate });
    Ok(())
}

/// Sends what has ended, for so long at the most.
pub async fn stop(longest: Duration) {
    let Some(traces) = TRACES.get() else { return };
    let flush = move || traces.provider.shutdown_with_timeout(longest);
    match timeout(longest, spawn_blocking(flush)).await {
        Ok(Ok(Ok(()))) => {}
        _ => warn!("the last spans could not be sent"),
    }
}

pub fn is_on() -> bool {
    TRACES.get().is_some()
}

/// A caller's request, within the trace that its head names.
pub fn request(headers: &HeaderMap) -> Option<Span> {
    let traces = TRACES.get()?;
    let mut told = headers.get_all(TRACEPARENT).iter();
    let is_one = told.next().is_some() && told.next().is_none();
    let none = OtelContext::new();
    let parent = match is_one {
        true => {
            TraceContextPropagator::new().extract_with_context(&none, &HeaderExtractor(headers))
        }
        false => none,
    };
    let is_callers = parent.span().span_context().is_valid();
    Some(traces.span(SpanKind::Server, "request", is_callers, &parent))
}

/// A renewal of a token, for the request that has caused it if there is one.
pub fn refresh(cause: Option<Context>) -> Option<Span> {
    let traces = TRACES.get()?;
    let parent = cause.map_or_else(OtelContext::new, |cause| cause.as_parent());
    Some(traces.span(SpanKind::Internal, "refresh", false, &parent))
}

/// A part of what this future is [within].
pub fn child(kind: Kind, name: &'static str) -> Option<Span> {
    let traces = TRACES.get()?;
    let parent = CURRENT.try_with(Context::as_parent).ok()?;
    Some(traces.span(kind.into(), name, false, &parent))
}

/// Lets parts of the future be parts of the span.
pub async fn within<F: Future>(span: Option<&Span>, future: F) -> F::Output {
    match span {
        Some(span) => CURRENT.scope(span.context(), future).await,
        None => future.await,
    }
}

impl Traces {
    fn span(
        &self,
        kind: SpanKind,
        name: &'static str,
        is_callers: bool,
        parent: &OtelContext,
    ) -> Span {
        let span = self.tracer.span_builder(name).with_kind(kind);
        Span { span: self.tracer.build_with_context(span, parent), is_callers }
    }
}

impl Context {
    fn as_parent(&self) -> OtelContext {
        OtelContext::new().with_remote_span_context(self.0.clone())
    }
}

impl Span {
    /// A part of it.
    pub fn child(&self, kind: Kind, name: &'static str) -> Option<Self> {
        let traces = TRACES.get()?;
        Some(traces.span(kind.into(), name, self.is_callers, &self.context().as_parent()))
    }

    pub fn context(&self) -> Context {
        Context(self.span.span_context().clone())
    }

    pub fn name(&mut self, name: String) {
        self.span.update_name(name);
    }

    pub fn text(&mut self, key: &'static str, value: impl Into<Cow<'static, str>>) {
        self.span.set_attribute(KeyValue::new(key, value.into()));
    }

    pub fn number(&mut self, key: &'static str, value: i64) {
        self.span.set_attribute(KeyValue::new(key, value));
    }

    /// It did not do what it was for; `why` is one of few words.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        self.text("error.type", why);
        self.span.set_status(Status::error(""));
    }

    /// Tells whoever gets this head what its request is a part of, as far as the config permits.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let propagate = TRACES.get().map(|traces| traces.propagate).unwrap_or_default();
        match propagate {
            Propagate::Never => {
                headers.remove(TRACEPARENT);
                headers.remove(TRACESTATE);
            }
            Propagate::Incoming if !self.is_callers => {}
            Propagate::Incoming | Propagate::Always => {
                if !self.is_callers {
                    headers.remove(TRACESTATE);
                }
                let context = self.span.span_context();
                let (trace, span) = (context.trace_id(), context.span_id());
                let flags = context.trace_flags().to_u8();
                let told = format!("00-{trace}-{span}-{flags:02x}");
                if let Ok(told) = HeaderValue::try_from(told) {
                    headers.insert(TRACEPARENT, told);
                }
            }
        }
    }
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Client => Self::Client,
            Kind::Internal => Self::Internal,
        }
    }
}

tokio::task_local! {
    static CURRENT: Context;
}

static TRACES: OnceLock<Traces> = OnceLock::new();
/// Of the W3C's Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Spans that have ended and are not sent yet; those beyond it are dropped.
const MOST_WAITING: usize = 8192;
const MOST_AT_ONCE: usize = 512;
const INTERVAL: Duration = Duration::from_secs(2);
const EXPORT_TIME: Duration = Duration::from_secs(5);
