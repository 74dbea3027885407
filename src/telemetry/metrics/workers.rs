//! What every request counts: by each worker in memory of its own, for a counter that two threads
//! write to costs each of them the time of a cache miss. Summed up when somebody asks.

use std::fmt::Debug;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram as Buckets, Metric, MetricFamily};
use prometheus::proto::{LabelPair, MetricType};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Requests;

/// One worker's handles of one upstream.
#[derive(Debug)]
pub struct WorkerMetrics {
    pub requests: Requests,
    pub duration: Histogram,
    pub upstream_duration: Histogram,
    pub request_bytes: IntCounter,
    pub response_bytes: IntCounter,
    pub connections_active: IntGauge,
    pub connections_idle: IntGauge,
}

/// The families of which each worker has its own members.
#[derive(Debug)]
pub(super) struct WorkerFamilies {
    pub(super) requests: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) upstream_duration: HistogramVec,
    pub(super) request_bytes: IntCounterVec,
    pub(super) response_bytes: IntCounterVec,
    pub(super) connections: IntGaugeVec,
}

impl WorkerFamilies {
    pub(super) fn new() -> prometheus::Result<Self> {
        let counter = |name, help| super::counter(name, help, &["upstream", WORKER]);
        let histogram = |name, help| {
            super::histogram(name, help, super::REQUEST_SECONDS, &["upstream", WORKER])
        };
        Ok(Self {
            requests: super::counter(
                "tokenward_requests_total",
                "Requests answered.",
                &["upstream", "method", "status", WORKER],
            )?,
            duration: histogram(
                "tokenward_request_duration_seconds",
                "From a request's head to the end of its answer's body.",
            )?,
            upstream_duration: histogram(
                "tokenward_upstream_duration_seconds",
                "From sending to the first byte of the upstream's answer, one attempt.",
            )?,
            request_bytes: counter("tokenward_request_bytes_total", "Body bytes from callers.")?,
            response_bytes: counter("tokenward_response_bytes_total", "Body bytes to callers.")?,
            connections: IntGaugeVec::new(
                prometheus::Opts::new(
                    "tokenward_upstream_connections",
                    "Connections to the upstream.",
                ),
                &["upstream", "state", WORKER],
            )?,
        })
    }

    pub(super) fn of(&self, upstream: &str, worker: usize) -> WorkerMetrics {
        let worker = worker.to_string();
        let of = [upstream, worker.as_str()];
        let connections = |state| self.connections.with_label_values(&[upstream, state, &worker]);
        WorkerMetrics {
            requests: Requests::new(self.requests.clone(), upstream, &worker),
            duration: self.duration.with_label_values(&of),
            upstream_duration: self.upstream_duration.with_label_values(&of),
            request_bytes: self.request_bytes.with_label_values(&of),
            response_bytes: self.response_bytes.with_label_values(&of),
            connections_active: connections("active"),
            connections_idle: connections("idle"),
        }
    }
}

impl WorkerFamilies {
    /// Its connections are no more.
    pub(super) fn forget(&self, upstream: &str, workers: usize) {
        for worker in (0..workers).map(|number| number.to_string()) {
            for state in ["active", "idle"] {
                let _ = self.connections.remove_label_values(&[upstream, state, &worker]);
            }
        }
    }
}

/// Sums up what workers have counted each for itself, and takes their numbers out.
pub(super) fn join(families: &mut [MetricFamily]) {
    for family in families {
        let kind = family.get_field_type();
        let mut joined: Vec<Metric> = Vec::new();
        for mut metric in family.take_metric() {
            let is_of_worker = |label: &LabelPair| label.name() == WORKER;
            let labels: Vec<_> =
                metric.take_label().into_iter().filter(|label| !is_of_worker(label)).collect();
            metric.set_label(labels);
            // They come in the order of their labels, the worker's being the last.
            match joined.last_mut() {
                Some(last) if last.get_label() == metric.get_label() => add(kind, last, &metric),
                _ => joined.push(metric),
            }
        }
        family.set_metric(joined);
    }
}

fn add(kind: MetricType, sum: &mut Metric, one: &Metric) {
    match kind {
        MetricType::COUNTER => {
            let mut counter = Counter::default();
            counter.set_value(sum.get_counter().get_value() + one.get_counter().get_value());
            sum.set_counter(counter);
        }
        MetricType::GAUGE => {
            let mut gauge = Gauge::default();
            gauge.set_value(sum.get_gauge().get_value() + one.get_gauge().get_value());
            sum.set_gauge(gauge);
        }
        MetricType::HISTOGRAM => {
            let both = sum_of(sum.get_histogram(), one.get_histogram());
            sum.set_histogram(both);
        }
        MetricType::SUMMARY | MetricType::UNTYPED => {}
    }
}

fn sum_of(one: &Buckets, other: &Buckets) -> Buckets {
    let bucket = |(one, other): (&Bucket, &Bucket)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(one.upper_bound());
        bucket.set_cumulative_count(one.cumulative_count() + other.cumulative_count());
        bucket
    };
    let mut sum = Buckets::default();
    sum.set_sample_count(one.get_sample_count() + other.get_sample_count());
    sum.set_sample_sum(one.get_sample_sum() + other.get_sample_sum());
    sum.set_bucket(one.get_bucket().iter().zip(other.get_bucket()).map(bucket).collect());
    sum
}

/// A label that nobody sees.
const WORKER: &str = "worker";

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};

    use super::*;

    #[test]
    fn p31_what_workers_count_is_one_sum() {
        let families = WorkerFamilies::new().expect("families");
        let registry = Registry::new();
        let all: [Box<dyn prometheus::core::Collector>; 3] = [
            Box::new(families.duration.clone()),
            Box::new(families.request_bytes.clone()),
            Box::new(families.connections.clone()),
        ];
        for family in all {
            registry.register(family).expect("once");
        }
        for worker in 0..12 {
            for upstream in ["a", "b"] {
                let metrics = families.of(upstream, worker);
                metrics.request_bytes.inc_by(worker as u64);
                metrics.connections_idle.set(2);
                metrics.duration.observe(0.002);
                metrics.duration.observe(worker as f64);
            }
        }
        let mut gathered = registry.gather();
        join(&mut gathered);
        let text = TextEncoder::new().encode_to_string(&gathered).expect("text");
        for line in [
            "tokenward_request_bytes_total{upstream=\"a\"} 66",
            "tokenward_request_bytes_total{upstream=\"b\"} 66",
            "tokenward_upstream_connections{state=\"idle\",upstream=\"b\"} 24",
            "tokenward_upstream_connections{state=\"active\",upstream=\"b\"} 0",
            "tokenward_request_duration_seconds_bucket{upstream=\"a\",le=\"0.001\"} 1",
            "tokenward_request_duration_seconds_bucket{upstream=\"a\",le=\"0.0025\"} 13",
            "tokenward_request_duration_seconds_bucket{upstream=\"a\",le=\"+Inf\"} 24",
            "tokenward_request_duration_seconds_count{upstream=\"a\"} 24",
            "tokenward_request_duration_seconds_sum{upstream=\"a\"} 66.024",
        ] {
            assert_eq!(text.lines().filter(|it| *it == line).count(), 1, "{line} in {text}");
        }
        assert!(!text.contains(WORKER), "{text}");
    }
}
