//! Answers by method and status.

use std::sync::OnceLock;

use http::{Method, StatusCode};
use prometheus::{IntCounter, IntCounterVec};

/// `tokenward_requests_total` of one upstream. A handle is resolved at the first use of its pair,
/// and the handles of a method and a class of statuses come into being together: 200 upstreams
/// that answer 200 and 404 shall not cost the memory of all statuses.
#[derive(Debug)]
pub struct Requests {
    family: IntCounterVec,
    upstream: String,
    worker: String,
    classes: [[OnceLock<Class>; CLASSES]; METHODS.len() + 1],
}

type Class = Box<[OnceLock<IntCounter>; 100]>;

impl Requests {
    pub(super) fn new(family: IntCounterVec, upstream: &str, worker: &str) -> Self {
        let (upstream, worker) = (upstream.to_owned(), worker.to_owned());
        Self { family, upstream, worker, classes: Default::default() }
    }

    pub fn answered(&self, method: &Method, status: StatusCode) {
        self.count(METHODS.iter().position(|known| known == method), status);
    }

    /// Answers to what could not be read.
    pub fn of_unknown_method(&self, status: StatusCode) {
        self.count(None, status);
    }

    fn count(&self, method: Option<usize>, status: StatusCode) {
        let row = method.unwrap_or(METHODS.len());
        let code = usize::from(status.as_u16());
        let class = (code / 100).saturating_sub(1).min(CLASSES - 1);
        let handles =
            self.classes[row][class].get_or_init(|| Box::new([const { OnceLock::new() }; 100]));
        handles[code % 100].get_or_init(|| self.resolve(row, class, status)).inc();
    }

    fn resolve(&self, row: usize, class: usize, status: StatusCode) -> IntCounter {
        let method = METHODS.get(row).map_or("OTHER", Method::as_str);
        // HTTP ends at 599; what a vendor invents beyond is one label.
        let status = if class < CLASSES - 1 { status.as_str() } else { "other" };
        self.family.with_label_values(&[self.upstream.as_str(), method, status, &self.worker])
    }
}

const METHODS: [Method; 7] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::HEAD,
    Method::PATCH,
    Method::OPTIONS,
];
/// 1xx to 5xx, and everything beyond.
const CLASSES: usize = 6;
