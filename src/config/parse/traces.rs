//! `[traces]`.

use crate::config::raw::RawTraces;
use crate::telemetry::traces::Config;
use crate::units::Scheme;

use super::Parser;

impl Parser<'_> {
    pub(super) fn traces(&mut self, raw: RawTraces) -> Option<Config> {
        let RawTraces { endpoint, sample, propagate } = raw;
        if !cfg!(feature = "otlp") {
            let problem = "this program was built without the feature `otlp`, which traces need";
            let mistake = self.document.mistake(&["traces"], problem);
            let help =
                "leave `[traces]` out, or build with `cargo build --release --features otlp`";
            self.report.push(mistake.help(help));
            return None;
        }
        let sample = sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            self.note(&["traces", "sample"], "`traces.sample` is between 0 and 1");
        }
        let Some(endpoint) = endpoint else {
            self.note(&["traces"], "`traces.endpoint` is missing");
            return None;
        };
        if endpoint.scheme() != Scheme::Http {
            self.note(
                &["traces", "endpoint"],
                "spans are sent by `http://` alone: to a collector on this machine or in the pod",
            );
        }
        let propagate = propagate.unwrap_or_default();
        Some(Config { endpoint: endpoint.to_string(), sample, propagate })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;
    use crate::config::parse::config;
    use crate::document::Document;

    fn read(traces: &str) -> (Option<Config>, String) {
        let upstream = "[upstream.x]\nvendor = \"jing\"\nlisten = \"127.0.0.1:0\"\n\
                        credentials = { app_id = \"a\", app_secret = \"a-secret-of-a-test\" }\n";
        let text = format!("store.kind = \"memory\"\n[traces]\n{traces}{upstream}");
        let (document, mut report) = Document::parse("c", text);
        let config = config(&document, Path::new("."), &mut report);
        (config, report.to_string())
    }

    #[cfg(not(feature = "otlp"))]
    #[test]
    fn p32_a_program_without_traces_says_so() {
        let (config, said) = read("endpoint = \"http://127.0.0.1:4318\"\n");
        assert!(config.is_none());
        assert!(said.contains("c:2:2: error: this program was built without"), "{said}");
        assert!(said.contains("--features otlp"), "{said}");
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn p32_traces_need_a_collector_and_a_ratio() {
        let (config, said) = read("endpoint = \"http://collector:4318\"\nsample = 1\n");
        let traces = config.expect(&said).traces.expect("traces");
        assert_eq!((traces.endpoint.as_str(), traces.sample), ("http://collector:4318", 1.0));
        for (traces, expected) in [
            ("", "`traces.endpoint` is missing"),
            ("endpoint = \"https://c:4318\"\n", "c:3:12: error: spans are sent by `http://` alone"),
            (
                "endpoint = \"http://c\"\nsample = 1.5\n",
                "c:4:10: error: `traces.sample` is between",
            ),
            ("endpoint = \"http://c\"\npropagate = \"yes\"\n", "`propagate` cannot be `yes`"),
        ] {
            let (config, said) = read(traces);
            assert!(config.is_none() && said.contains(expected), "{traces}: {said}");
        }
    }
}
