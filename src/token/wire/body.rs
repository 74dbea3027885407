//! A token request's fields as a body or a query, in memory that is zeroed when it has been sent.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::secret::{Buffer, Secret};
use crate::vendor::description::Encoding;

use super::{TokenRequest, Written};

impl TokenRequest {
    /// Writes the fields down, in the order of their names.
    pub fn written(&self) -> Written {
        let fields = || self.fields.iter().map(|(name, value)| (name.as_str(), value));
        match self.encoding {
            Encoding::Json => Written::Body(JSON.to_owned(), json(fields())),
            Encoding::Form => Written::Body(FORM.to_owned(), pairs(fields())),
            Encoding::Query => Written::Query(pairs(fields())),
            Encoding::Multipart => {
                let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
                let kind = format!("multipart/form-data; boundary={boundary}");
                Written::Body(kind, multipart(fields(), &boundary))
            }
        }
    }
}

fn json<'a>(fields: impl Iterator<Item = (&'a str, &'a Secret)>) -> Buffer {
    let mut body = Buffer::default();
    let fields = fields.map(|(name, value)| (name, value.expose()));
    let fields: std::collections::BTreeMap<_, _> = fields.collect();
    serde_json::to_writer(&mut body, &fields).expect("texts are JSON");
    body
}

/// As forms have it, where a space is a `+`.
fn pairs<'a>(fields: impl Iterator<Item = (&'a str, &'a Secret)>) -> Buffer {
    let mut body = Buffer::default();
    for (name, value) in fields {
        if !body.is_empty() {
            body.push(b"&");
        }
        encode(&mut body, name);
        body.push(b"=");
        encode(&mut body, value.expose());
    }
    body
}

fn encode(body: &mut Buffer, text: &str) {
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            body.push(b"+");
        }
        write!(body, "{}", utf8_percent_encode(word, FORM_SET)).expect(MEMORY);
    }
}

fn multipart<'a>(fields: impl Iterator<Item = (&'a str, &'a Secret)>, boundary: &str) -> Buffer {
    let mut body = Buffer::default();
    for (name, value) in fields {
        // As browsers have it.
        let name = name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22");
        let head =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        for part in [head.as_str(), value.expose(), "\r\n"] {
            body.push(part.as_bytes());
        }
    }
    write!(body, "--{boundary}--\r\n").expect(MEMORY);
    body
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
/// What the URL standard leaves as it is in a form.
const FORM_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
const MEMORY: &str = "memory takes everything";

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn request(encoding: Encoding) -> Written {
        let fields = [("id", "an id"), ("secret", "a+b/ü\"*-._~&=")];
        let fields = fields.map(|(name, value)| (name.to_owned(), Secret::new(value))).into();
        let request = TokenRequest { method: Method::POST, path: "/t".into(), encoding, fields };
        request.written()
    }

    #[test]
    fn fields_are_written_as_each_encoding_has_them() {
        let text = |buffer: &Buffer| String::from_utf8(buffer.to_vec()).expect("text");
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("id", "an id"), ("secret", "a+b/ü\"*-._~&=")])
            .finish();
        let Written::Body(kind, body) = request(Encoding::Form) else { panic!("no body") };
        assert_eq!((kind.as_str(), text(&body)), (FORM, form.clone()));
        let Written::Query(query) = request(Encoding::Query) else { panic!("a body") };
        assert_eq!(text(&query), form);
        let Written::Body(_, body) = request(Encoding::Json) else { panic!("no body") };
        assert_eq!(text(&body), r#"{"id":"an id","secret":"a+b/ü\"*-._~&="}"#);
        let Written::Body(kind, body) = request(Encoding::Multipart) else { panic!("no body") };
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
        let part = "Content-Disposition: form-data; name=";
        let expected = format!(
            "--{boundary}\r\n{part}\"id\"\r\n\r\nan id\r\n--{boundary}\r\n{part}\"secret\"\r\n\r\n\
             a+b/ü\"*-._~&=\r\n--{boundary}--\r\n"
        );
        assert_eq!(text(&body), expected);
    }
}
