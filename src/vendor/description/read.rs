//! From the raw description to the typed one; every mistake is noted in its place.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header;
use http::{HeaderName, Method};

use super::super::injection::{Inject, Place};
use super::super::operation::Operation;
use super::super::path::PathPattern;
use super::super::pointer::Pointer;
use super::super::rules::{RawRule, Rule};
use super::super::template::Template;
use super::{AnswerShape, Call, Description, Envelope, ISSUED, Limits, OldToken, raw};
use crate::document::{Document, Report};

/// Turns the raw description into the typed one, noting every mistake.
pub(super) struct Reader<'a> {
    pub(super) document: &'a Document,
    pub(super) report: &'a mut Report,
}

impl Reader<'_> {
    pub(super) fn description(&mut self, raw: raw::Description) -> Option<Description> {
        let credentials = raw.credentials.unwrap_or_default();
        let names: Vec<&str> = credentials.iter().map(String::as_str).chain(ISSUED).collect();

        let inject = self.inject(raw.inject.unwrap_or_default(), &names);
        let strip = self.strip(&raw.strip.unwrap_or_default());
        let refresh = raw.refresh.and_then(|call| self.call("refresh", call, &names));
        let mint = raw.mint.and_then(|call| self.call("mint", call, &names));
        if refresh.is_none() && mint.is_none() {
            let problem = "neither `refresh` nor `mint` says how a token is had";
            self.note(&[], problem);
        }
        let rules = self.rules(raw.reject.unwrap_or_default());
        let answer = self.required(&["answer"], raw.answer).and_then(|raw| self.answer(raw));
        if let Some(answer) = &answer {
            self.refuse_rules_that_match_success(&rules, answer);
        }
        let mut token_endpoints =
            self.patterns("token_endpoints", &raw.token_endpoints.unwrap_or_default());
        for (key, call) in [("refresh", &refresh), ("mint", &mint)] {
            self.close(key, call.as_ref(), &mut token_endpoints);
        }
        let emulated = match (raw.emulate, &answer) {
            (Some(raw), Some(answer)) => {
                self.emulated(raw, answer, refresh.as_ref(), mint.as_ref())
            }
            _ => Vec::new(),
        };
        let never_resend = self.patterns("never_resend", &raw.never_resend.unwrap_or_default());
        let presets = self.presets(raw.presets.unwrap_or_default());
        let limits = self.limits(&raw.limits.unwrap_or_default());
        let envelope = raw.envelope.unwrap_or_default();
        let name = self.required(&["name"], raw.name);
        let base_url = self.required(&["base_url"], raw.base_url);
        if raw.account.as_ref().is_some_and(|account| !credentials.contains(account)) {
            self.note(&["account"], "this is none of the `credentials`");
        }

        Some(Description {
            name: name?,
            base_url: base_url?,
            inject,
            strip,
            refresh,
            mint,
            answer: answer?,
            rules,
            token_endpoints,
            never_resend,
            presets,
            old_access_token: raw.old_access_token.unwrap_or(OldToken::Dies),
            limits: limits?,
            envelope: Envelope { code: envelope.code, message: envelope.message },
            emulated,
            account: raw.account,
            credentials,
        })
    }

    fn inject(&mut self, raw: Vec<raw::Inject>, names: &[&str]) -> Vec<Inject> {
        let mut items = Vec::new();
        for (index, item) in raw.into_iter().enumerate() {
            let index = index.to_string();
            let at = |key| ["inject", index.as_str(), key];
            let place = match (item.header, item.query) {
                (Some(name), None) => HeaderName::try_from(name).map(Place::Header).ok(),
                (None, Some(name)) => Some(Place::Query(name)),
                _ => {
                    self.note(&["inject", &index], "an item has either `header` or `query`");
                    continue;
                }
            };
            let Some(place) = place else {
                self.note(&at("header"), "this is not a header name");
                continue;
            };
            if matches!(&place, Place::Header(name) if OF_THE_MESSAGE.contains(name)) {
                self.note(&at("header"), "this says how a request is read or where it goes");
                continue;
            }
            let Some(value) = self.required(&at("value"), item.value) else {
                continue;
            };
            match Template::parse(&value, names) {
                Ok(value) => items.push(Inject { place, value }),
                Err(error) => self.note(&at("value"), error.to_string()),
            }
        }
        items
    }

    fn strip(&mut self, raw: &[String]) -> Vec<HeaderName> {
        let mut names = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            match HeaderName::try_from(text) {
                Ok(name) => names.push(name),
                Err(_) => self.note(&["strip", &index.to_string()], "this is not a header name"),
            }
        }
        names
    }

    fn call(&mut self, key: &str, raw: raw::Call, names: &[&str]) -> Option<Call> {
        let mut fields = BTreeMap::new();
        for (name, text) in raw.fields.unwrap_or_default() {
            match Template::parse(&text, names) {
                Ok(template) => {
                    fields.insert(name, template);
                }
                Err(error) => self.note(&[key, "fields", &name], error.to_string()),
            }
        }
        let path = self.required(&[key, "path"], raw.path)?;
        if !path.starts_with('/') || path.contains(['?', '#']) {
            self.note(&[key, "path"], "a path begins with `/` and has no query");
        }
        let method = raw.method.as_deref().unwrap_or("POST");
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            self.note(&[key, "method"], "this is not a method");
            return None;
        };
        let encoding = self.required(&[key, "encoding"], raw.encoding)?;
        Some(Call { method, path, encoding, fields })
    }

    fn answer(&mut self, raw: raw::Answer) -> Option<AnswerShape> {
        let success = match raw.success {
            None => None,
            Some(success) => {
                let pointer =
                    self.pointer(&["answer", "success", "pointer"], success.pointer.as_deref())?;
                let values = success.values.unwrap_or_default();
                let texts = values.iter().filter_map(scalar_text).collect::<Vec<_>>();
                if texts.is_empty() || texts.len() != values.len() {
                    let problem = "success needs the values that mean it: numbers or texts";
                    self.note(&["answer", "success", "in"], problem);
                }
                Some((pointer, texts))
            }
        };
        let mut optional = |key: &str, text: Option<String>| {
            text.and_then(|text| self.pointer(&["answer", key], Some(&text)))
        };
        let refresh_token = optional("refresh_token", raw.refresh_token);
        let expires_in = optional("expires_in", raw.expires_in);
        let refresh_expires_in = optional("refresh_expires_in", raw.refresh_expires_in);
        let error = raw.error.unwrap_or_default();
        let error = error
            .iter()
            .enumerate()
            .filter_map(|(i, text)| self.pointer(&["answer", "error", &i.to_string()], Some(text)))
            .collect();
        let access_token =
            self.pointer(&["answer", "access_token"], raw.access_token.as_deref())?;
        Some(AnswerShape {
            success,
            access_token,
            refresh_token,
            expires_in,
            default_life: raw.default_life.map_or(DEFAULT_LIFE, Duration::from),
            refresh_expires_in,
            refresh_token_life: raw.refresh_token_life.map(Duration::from),
            error,
        })
    }

    fn rules(&mut self, raw: Vec<RawRule>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            match Rule::new(raw) {
                Ok(rule) => rules.push(rule),
                Err(error) => {
                    let path = ["reject", &index.to_string(), error.key()];
                    self.note(&path, error.to_string());
                }
            }
        }
        rules
    }

    fn refuse_rules_that_match_success(&mut self, rules: &[Rule], answer: &AnswerShape) {
        for (index, rule) in rules.iter().enumerate() {
            if answer.is_success_for(rule) {
                let problem = "this rule matches an answer that `answer.success` calls a success";
                self.note(&["reject", &index.to_string()], problem);
            }
        }
    }

    fn patterns(&mut self, key: &str, raw: &[String]) -> Vec<PathPattern> {
        let mut patterns = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            match PathPattern::new(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.note(&[key, &index.to_string()], error.to_string()),
            }
        }
        patterns
    }

    /// The paths that the gateway calls itself are closed, whether or not they are listed.
    fn close(&mut self, key: &str, call: Option<&Call>, closed: &mut Vec<PathPattern>) {
        let Some(Call { path, .. }) = call else { return };
        if closed.iter().any(|pattern| pattern.could_match(path)) {
            return;
        }
        match PathPattern::new(path) {
            Ok(pattern) => closed.push(pattern),
            Err(_) => {
                let problem = "`token_endpoints` must have a pattern for a path of such a form";
                self.note(&[key, "path"], problem);
            }
        }
    }

    fn presets(&mut self, raw: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<Operation>> {
        let mut presets = BTreeMap::new();
        for (name, entries) in raw {
            if entries.is_empty() {
                self.note(&["presets", &name], "an empty list lets nothing pass");
            }
            let mut operations = Vec::new();
            for (index, text) in entries.iter().enumerate() {
                match Operation::parse(text) {
                    Ok(operation) => operations.push(operation),
                    Err(error) => {
                        self.note(&["presets", &name, &index.to_string()], error.to_string());
                    }
                }
            }
            presets.insert(name, operations);
        }
        presets
    }

    fn limits(&mut self, raw: &raw::Limits) -> Option<Limits> {
        let day = raw.day_begins.as_deref().unwrap_or("+00:00");
        let Some(day_offset) = offset_seconds(day) else {
            self.note(&["limits", "day_begins"], "an offset from UTC is written `+08:00`");
            return None;
        };
        Some(Limits {
            per_day: raw.refreshes_per_day.unwrap_or(0),
            day_offset,
            min_interval: raw.min_interval.map_or(Duration::ZERO, Duration::from),
        })
    }

    fn pointer(&mut self, path: &[&str], text: Option<&str>) -> Option<Pointer> {
        let text = self.required(path, text)?;
        Pointer::parse(text).map_err(|error| self.note(path, error.to_string())).ok()
    }

    pub(super) fn required<T>(&mut self, path: &[&str], value: Option<T>) -> Option<T> {
        // A value that is there but bad has been noted where it was read.
        if value.is_none() && !self.document.has(path) {
            self.note(path, format!("`{}` is missing", path.join(".")));
        }
        value
    }

    pub(super) fn note(&mut self, path: &[&str], message: impl Into<String>) {
        self.report.push(self.document.mistake(path, message));
    }
}

fn scalar_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `+08:00` in seconds.
pub(super) fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let good = (0..=14).contains(&hours) && (0..60).contains(&minutes);
    good.then_some(sign * (hours * 3600 + minutes * 60))
}

/// The shortest life among the vendors that we know; a guess on the safe side.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

/// Nothing that a token comes in.
const OF_THE_MESSAGE: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
