//! A Secret in the API's JSON, and the pages in it.
//!
//! A page's tokens are one value of `data`; everything else of it is an annotation.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::secret::{Buffer, Fingerprint, Secret};

use super::super::{Revision, Written};

/// A Secret as it was read.
#[derive(Debug)]
pub(super) struct Object {
    /// Opaque: it is only ever given back.
    pub(super) resource_version: String,
    annotations: BTreeMap<String, String>,
    data: BTreeMap<String, Encoded>,
}

/// What of a page is in the annotation.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Sheet<'a> {
    pub(super) revision: Revision,
    generation: u64,
    fence: u64,
    #[serde(borrow)]
    page: &'a RawValue,
}

/// A value of `data`, in base64.
#[derive(Debug)]
struct Encoded(Secret);

/// Why what stands in a Secret is no page. It never quotes what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPage {
    #[error("the annotation is no page")]
    Annotation,
    #[error("the value of `data` is not text in base64")]
    Data,
    #[error("there is the annotation, and no value of `data` with it")]
    WithoutData,
    #[error("there is a value of `data`, and no annotation with it")]
    WithoutAnnotation,
}

/// The parts of a Secret, or of a watch's event, that are looked at.
#[derive(serde::Deserialize)]
struct Raw {
    metadata: RawMetadata,
    data: Option<BTreeMap<String, Encoded>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata {
    resource_version: String,
    annotations: Option<BTreeMap<String, String>>,
}

// === impl Object ===

impl Object {
    /// `None`: it is no Secret.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        let Raw { metadata, data } = serde_json::from_slice(json).ok()?;
        let RawMetadata { resource_version, annotations } = metadata;
        let (annotations, data) = (annotations.unwrap_or_default(), data.unwrap_or_default());
        Some(Self { resource_version, annotations, data })
    }

    /// The page of this key; `None` when there is none yet.
    ///
    /// # Errors
    /// When what stands there is none.
    pub(super) fn page(&self, key: &str) -> Result<Option<Written>, NoPage> {
        let (sheet, tokens) = match (self.annotation(key), self.data.get(key)) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(NoPage::WithoutData),
            (None, Some(_)) => return Err(NoPage::WithoutAnnotation),
            (Some(sheet), Some(tokens)) => (sheet, tokens),
        };
        let sheet: Sheet<'_> = serde_json::from_str(sheet).map_err(|_| NoPage::Annotation)?;
        let Sheet { revision, generation, fence, page } = sheet;
        let tokens = tokens.decoded().ok_or(NoPage::Data)?;
        Ok(Some(Written {
            revision,
            generation,
            fence,
            open: page.get().to_owned(),
            tokens,
            keep_until: None,
        }))
    }

    /// The revision of a page, as far as it can be told.
    pub(super) fn revision(&self, key: &str) -> Option<Revision> {
        let sheet = self.annotation(key)?;
        serde_json::from_str::<Sheet<'_>>(sheet).ok().map(|sheet| sheet.revision)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(&annotation_of(key)).map(String::as_str)
    }
}

// === impl Encoded ===

impl Encoded {
    fn decoded(&self) -> Option<Secret> {
        let bytes = Zeroizing::new(STANDARD.decode(self.0.expose()).ok()?);
        // What tokens stand in it is known to the log filter when they are read.
        std::str::from_utf8(&bytes).ok().map(|text| Secret::compound(text, Vec::new()))
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Secret::compound(text, Vec::new())))
    }
}

/// A Secret with this page alone.
pub(super) fn creation(name: &str, key: &str, page: &Written) -> Secret {
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by", "tokenward")]);
    let frame = Frame { api_version: Some("v1"), kind: Some("Secret"), r#type: Some("Opaque") };
    text(
        frame,
        Metadata { name: Some(name), labels: Some(labels), ..Metadata::default() },
        key,
        page,
    )
}

/// What makes a Secret of this version have this page, and leaves the rest of it alone. A Secret
/// that somebody else has made keeps that one's labels.
pub(super) fn patch(resource_version: &str, key: &str, page: &Written) -> Secret {
    let metadata = Metadata { resource_version: Some(resource_version), ..Metadata::default() };
    text(Frame::default(), metadata, key, page)
}

/// What a new Secret says of itself.
#[derive(Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
}

#[derive(Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<&'static str, &'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<&'a str>,
    annotations: BTreeMap<String, String>,
}

#[derive(serde::Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    frame: Frame,
    metadata: Metadata<'a>,
    data: BTreeMap<&'a str, &'a str>,
}

fn text(frame: Frame, mut metadata: Metadata<'_>, key: &str, page: &Written) -> Secret {
    let Written { revision, generation, fence, open, tokens, .. } = page;
    // It was made by serde_json.
    let open = serde_json::from_str(open).expect("the open part is JSON");
    let sheet = Sheet { revision: *revision, generation: *generation, fence: *fence, page: open };
    let sheet = serde_json::to_string(&sheet).expect("numbers and JSON are JSON");
    metadata.annotations.insert(annotation_of(key), sheet);
    let encoded = Zeroizing::new(STANDARD.encode(tokens.expose()));
    let whole = Whole { frame, metadata, data: BTreeMap::from([(key, encoded.as_str())]) };
    let mut json = Buffer::default();
    serde_json::to_writer(&mut json, &whole).expect("texts are JSON");
    json.into_compound(vec![tokens.clone()]).expect("JSON is text")
}

/// A page's name as a key of `data`, and of annotations behind the prefix: the API allows letters,
/// digits, `-`, `_` and `.`, for an annotation at most 63 of them, and a letter or a digit at both
/// ends. A name that is otherwise is told by its hash.
pub(super) fn key_of(page: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = page.as_bytes();
    if bytes.len() <= LONGEST_KEY
        && bytes.iter().copied().all(fits)
        && ends(bytes.first())
        && ends(bytes.last())
    {
        return page.to_owned();
    }
    let shown: String = page.chars().filter(char::is_ascii_alphanumeric).take(SHOWN).collect();
    let hash = Fingerprint::of(page);
    if shown.is_empty() { hash.to_string() } else { format!("{shown}.{hash}") }
}

pub(super) fn annotation_of(key: &str) -> String {
    format!("{PREFIX}{key}")
}

const PREFIX: &str = "tokenward.dev/";
const LONGEST_KEY: usize = 63;
/// Characters of a name that stand before its hash.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn page(tokens: &str) -> Written {
        let (revision, open) = (Revision::fresh(), "{\"a\":[1]}".to_owned());
        Written {
            revision,
            generation: 3,
            fence: 4,
            open,
            tokens: Secret::new(tokens),
            keep_until: None,
        }
    }

    /// As the API would answer after a creation.
    fn stored(text: &Secret) -> Vec<u8> {
        let mut object: Value = serde_json::from_str(text.expose()).expect("JSON");
        object["metadata"]["resourceVersion"] = json!("17");
        object.to_string().into_bytes()
    }

    #[test]
    fn p17_a_page_comes_back_from_a_secret_as_it_went() {
        let page = page("{\"access_token\":\"schlüssel\"}");
        let object = Object::read(&stored(&creation("tokens", "a-1", &page))).expect("a Secret");
        let back = object.page("a-1").expect("a page").expect("one");
        assert_eq!((back.revision, back.generation, back.fence), (page.revision, 3, 4));
        assert_eq!((back.open, back.tokens), (page.open, page.tokens));
        assert_eq!(object.revision("a-1"), Some(page.revision));
        assert!(object.page("a-2").expect("no mistake").is_none());
        assert_eq!(object.resource_version, "17");
    }

    #[test]
    fn p26_tokens_stand_in_data_alone() {
        let text = patch("9", "a-1", &page("{\"access_token\":\"very-secret\"}"));
        let value: Value = serde_json::from_str(text.expose()).expect("JSON");
        assert!(!value["metadata"].to_string().contains("secret"));
        assert_eq!(value["metadata"]["resourceVersion"], "9");
        assert_eq!(value["metadata"]["labels"], Value::Null, "others' labels are left alone");
        let tokens = value["data"]["a-1"].as_str().expect("a text");
        assert!(STANDARD.decode(tokens).is_ok_and(|text| text.ends_with(b"very-secret\"}")));
    }

    #[test]
    fn p15_half_a_page_is_told_and_not_taken_for_none() {
        let whole = stored(&creation("tokens", "a", &page("{}")));
        let whole: Value = serde_json::from_slice(&whole).expect("JSON");
        let damaged = |pointer: &str, to: Value| {
            let mut object = whole.clone();
            *object.pointer_mut(pointer).expect("a place") = to;
            let object = Object::read(object.to_string().as_bytes()).expect("a Secret");
            object.page("a").expect_err("no page")
        };
        assert_eq!(damaged("/data", Value::Null), NoPage::WithoutData);
        assert_eq!(damaged("/metadata/annotations", json!({})), NoPage::WithoutAnnotation);
        assert_eq!(damaged("/data/a", json!("%")), NoPage::Data);
        assert_eq!(damaged("/data/a", json!("/w==")), NoPage::Data);
        let annotation = "/metadata/annotations/tokenward.dev~1a";
        assert_eq!(damaged(annotation, json!("{}")), NoPage::Annotation);
    }

    #[test]
    fn p17_a_key_is_one_that_the_api_takes() {
        for name in ["jing-0123456789abcdef", "a", "Ads_2.x"] {
            assert_eq!(key_of(name), name);
        }
        let long = "x".repeat(64);
        for name in ["-a", "a_", "a b", "schlüssel", "..", "", &long] {
            let key = key_of(name);
            assert_eq!(key_of(&key), key, "{name}");
        }
        assert_ne!(key_of("a b"), key_of("a:b"), "names that look alike are told apart");
    }
}
