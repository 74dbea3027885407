//! Paths against servers: what is on an allow-list is so however one of them reads it, and what one of
//! them might read as forbidden is found.

#![no_main]

use std::sync::LazyLock;

use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;
use tokenward::vendor::path::PathPattern;

#[path = "../../support/servers.rs"]
mod servers;

use servers::{means, readings};

const PATTERNS: [&str; 14] = [
    "/a/b", "/a/*", "/a*b", "/a/*/b", "/*", "/a/", "*/b", "/a/b*", "/a*41", "/a/*/", "*a*", "/*.json",
    "/你/*", "/*a/*b/*",
];

static PARSED: LazyLock<Vec<PathPattern>> = LazyLock::new(|| {
    PATTERNS.iter().map(|text| PathPattern::new(text).expect("a pattern")).collect()
});

fuzz_target!(|input: &[u8]| {
    // Longer ones say the same more slowly.
    let Ok(target) = PathAndQuery::try_from(&input[..input.len().min(80)]) else { return };
    let path = target.path();
    let (strict, loose) = (readings(path, false), readings(path, true));
    for pattern in &*PARSED {
        let text = pattern.as_str();
        if pattern.surely_matches(path) {
            for (who, reading) in &strict {
                assert!(means(text, reading, false), "allowed: {text}, {who}: {reading:?}");
            }
        }
        if !pattern.could_match(path) {
            for (who, reading) in &loose {
                assert!(!means(text, reading, true), "not forbidden: {text}, {who}: {reading:?}");
            }
        }
    }
});
