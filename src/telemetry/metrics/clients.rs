//! Answers to clients that have a name.

use std::sync::OnceLock;

use http::StatusCode;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts};

/// What is counted of the operator's list of clients.
#[derive(Clone, Debug)]
pub(super) struct ClientMetrics {
    requests: IntCounterVec,
}

/// `tokenward_client_requests_total` of one client, whose handles are resolved at their first use.
#[derive(Debug)]
pub struct ClientRequests {
    family: IntCounterVec,
    client: String,
    /// By the upstream's place, and behind all of them those that reached none.
    upstreams: Box<[Upstream]>,
}

#[derive(Debug)]
struct Upstream {
    name: String,
    classes: [OnceLock<IntCounter>; CLASSES.len()],
}

impl ClientMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let requests = Opts::new("tokenward_client_requests_total", "Requests answered.");
        Ok(Self { requests: IntCounterVec::new(requests, &["client", "upstream", "status"])? })
    }

    pub(super) fn families(&self) -> [Box<dyn Collector>; 1] {
        [Box::new(self.requests.clone())]
    }

    pub(super) fn requests_of(&self, client: &str, upstreams: &[String]) -> ClientRequests {
        let upstream =
            |name: String| Upstream { name, classes: [const { OnceLock::new() }; CLASSES.len()] };
        ClientRequests {
            family: self.requests.clone(),
            client: client.to_owned(),
            upstreams: upstreams.iter().cloned().chain([String::new()]).map(upstream).collect(),
        }
    }
}

impl ClientRequests {
    /// `None`: no upstream was found.
    pub fn answered(&self, upstream: Option<usize>, status: StatusCode) {
        let place = upstream.unwrap_or(usize::MAX).min(self.upstreams.len() - 1);
        let Upstream { name, classes } = &self.upstreams[place];
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let resolve = || self.family.with_label_values(&[&*self.client, name, CLASSES[class]]);
        classes[class].get_or_init(resolve).inc();
    }
}

/// HTTP ends at 599; what a vendor invents beyond is one label.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_client_upstream_and_class() {
        let metrics = ClientMetrics::new().expect("families");
        let requests = metrics.requests_of("a", &["x".to_owned(), "y".to_owned()]);
        for (upstream, name, status, class) in [
            (Some(0), "x", 200, "2xx"),
            (Some(1), "y", 101, "1xx"),
            (Some(1), "y", 599, "5xx"),
            (Some(1), "y", 999, "other"),
            (None, "", 404, "4xx"),
        ] {
            requests.answered(upstream, StatusCode::from_u16(status).expect("a status"));
            let counter = metrics.requests.with_label_values(&["a", name, class]);
            assert_eq!(counter.get(), 1, "{status}");
        }
    }
}
