//! Allow-lists: methods, operations, and presets of the vendor's description.

use http::Method;

use crate::document::{Document, Report, nearest};
use crate::proxy::guard::allow::AllowList;
use crate::vendor::description::Description;
use crate::vendor::operation::{Operation, method};

/// An allow-list as it is written; what is left out does not narrow it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawAllow<'a> {
    pub methods: Option<&'a [String]>,
    pub paths: Option<&'a [String]>,
    pub preset: Option<&'a str>,
}

/// Reads the keys `methods`, `paths` and `preset` of the table `at`. A mistake in them is noted, and
/// the list is then not to be used.
pub fn allow_list(
    document: &Document,
    report: &mut Report,
    at: &[&str],
    raw: RawAllow<'_>,
    vendor: &Description,
) -> AllowList {
    let mut keys = Keys { document, report, at };
    let mut list = AllowList::default();
    if let Some(methods) = raw.methods {
        list = list.to_methods(keys.methods(methods));
    }
    if let Some(paths) = raw.paths {
        list = list.to(&keys.paths(paths));
    }
    if let Some(preset) = raw.preset {
        list = list.to(keys.preset(preset, vendor));
    }
    list
}

struct Keys<'a> {
    document: &'a Document,
    report: &'a mut Report,
    at: &'a [&'a str],
}

impl Keys<'_> {
    fn methods(&mut self, raw: &[String]) -> Vec<Method> {
        self.each("methods", raw, |text| method(text).map_err(|error| error.to_string()))
    }

    fn paths(&mut self, raw: &[String]) -> Vec<Operation> {
        self.each("paths", raw, |text| Operation::parse(text).map_err(|error| error.to_string()))
    }

    fn each<T>(
        &mut self,
        key: &str,
        raw: &[String],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        if raw.is_empty() {
            let problem =
                format!("an empty list lets nothing pass: without `{key}` everything may");
            self.note(&[key], problem);
        }
        let mut found = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            match read(text) {
                Ok(item) => found.push(item),
                Err(problem) => self.note(&[key, &index.to_string()], problem),
            }
        }
        found
    }

    fn preset<'v>(&mut self, name: &str, vendor: &'v Description) -> &'v [Operation] {
        if let Some(preset) = vendor.presets.get(name) {
            return preset;
        }
        let known: Vec<&str> = vendor.presets.keys().map(String::as_str).collect();
        let problem = format!("vendor {} has no preset {name:?}", vendor.name);
        let mut mistake = self.document.mistake(&self.path(&["preset"]), problem);
        mistake = mistake.expected(match &known[..] {
            [] => "its description has none".to_owned(),
            _ => format!("expected {}", known.join(", ")),
        });
        if let Some(near) = nearest(name, &known) {
            mistake = mistake.help(format!("did you mean {near:?}?"));
        }
        self.report.push(mistake);
        &[]
    }

    fn path<'p>(&'p self, key: &[&'p str]) -> Vec<&'p str> {
        self.at.iter().chain(key).copied().collect()
    }

    fn note(&mut self, key: &[&str], problem: impl Into<String>) {
        let mistake = self.document.mistake(&self.path(key), problem);
        self.report.push(mistake);
    }
}
