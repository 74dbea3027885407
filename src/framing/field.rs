//! The fields by which a message is framed, and where it goes.

use super::fault::Fault;
use super::line::{is_name_like, is_token, trim};

/// What the fields of a head say about the message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    length: Option<u64>,
    coding: Option<Coding>,
    has_host: bool,
    asks_for_upgrade: bool,
    connection_upgrade: bool,
    connection_close: bool,
    connection_keep_alive: bool,
    expects: bool,
    takes_trailers: bool,
}

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Known(u64),
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// Well-formed, but none that is undone here.
    Other,
}

impl Facts {
    /// Learns what one field says. Most are told apart by the length of their names alone.
    pub(super) fn learn(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => {
                self.takes_trailers |=
                    elements(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            }
            4 if name.eq_ignore_ascii_case(b"host") => {
                if self.has_host {
                    return Err(Fault::TwoHosts);
                }
                self.has_host = true;
                if trim(value).iter().any(|&byte| !is_of_host(byte)) {
                    return Err(Fault::Host);
                }
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects = trim(value).eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.asks_for_upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in elements(value) {
                    let is = |known: &[u8]| option.eq_ignore_ascii_case(known);
                    self.connection_upgrade |= is(b"upgrade");
                    self.connection_close |= is(b"close");
                    self.connection_keep_alive |= is(b"keep-alive");
                }
            }
            14 if is_name_like(name, b"content-length") => {
                if name.contains(&b'_') {
                    return Err(Fault::Field);
                }
                if self.length.is_some() {
                    return Err(Fault::ContentLength);
                }
                self.length = Some(number(trim(value)).ok_or(Fault::ContentLength)?);
            }
            17 if is_name_like(name, b"transfer-encoding") => {
                if name.contains(&b'_') {
                    return Err(Fault::Field);
                }
                if self.coding.is_some() {
                    return Err(Fault::TransferCoding);
                }
                self.coding = Some(coding(value).ok_or(Fault::TransferCoding)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// How the message goes on after its head, all fields being known.
    pub(super) fn length(&self, is_1_1: bool) -> Result<Length, Fault> {
        if is_1_1 && !self.has_host {
            return Err(Fault::NoHost);
        }
        match (self.coding, self.length) {
            (None, length) => Ok(Length::Known(length.unwrap_or(0))),
            (Some(_), Some(_)) => Err(Fault::LengthAndCoding),
            (Some(_), None) if !is_1_1 => Err(Fault::TransferCoding),
            (Some(Coding::Chunked), None) => Ok(Length::Chunked),
            (Some(Coding::Other), None) => Err(Fault::UnknownCoding),
        }
    }

    /// Whether the connection may serve another request after this one.
    pub(super) fn keeps(&self, is_1_1: bool) -> bool {
        !self.connection_close && (is_1_1 || self.connection_keep_alive)
    }

    pub(super) fn expects(&self) -> bool {
        self.expects
    }

    pub(super) fn takes_trailers(&self) -> bool {
        self.takes_trailers
    }

    pub(super) fn asks_for_upgrade(&self) -> bool {
        self.asks_for_upgrade && self.connection_upgrade
    }
}

/// What must not come after a body (RFC 9110, 6.5.1): it would change how the message is read, or
/// where it goes, once a receiver merges it with the header.
pub(super) fn is_barred_from_trailers(name: &[u8]) -> bool {
    BARRED.iter().any(|barred| is_name_like(name, barred))
}

const BARRED: [&[u8]; 10] = [
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// The codings of a body. `None`: what they say, if anything, leaves its end open.
fn coding(value: &[u8]) -> Option<Coding> {
    let is_chunked = |element: &[u8]| element.eq_ignore_ascii_case(b"chunked");
    let mut elements = elements(value);
    if !elements.next_back().is_some_and(is_chunked) {
        return None;
    }
    let mut coding = Coding::Chunked;
    for element in elements {
        // What comes after a semicolon are parameters.
        let name = trim(element.split(|&byte| byte == b';').next().unwrap_or_default());
        if name.is_empty() || is_chunked(name) || !name.iter().copied().all(is_token) {
            return None;
        }
        coding = Coding::Other;
    }
    Some(coding)
}

/// A number in decimal digits and nothing else.
pub fn number(digits: &[u8]) -> Option<u64> {
    let mut number = if digits.is_empty() { None } else { Some(0_u64) };
    for &digit in digits {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number = number?.checked_mul(10)?.checked_add(value);
    }
    // The last two stand for "unknown" in HTTP/2, whose library is hyper.
    number.filter(|&number| number <= u64::MAX - 2)
}

/// Lists, paths, users and blanks have no place in a `Host`.
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(fields: &[(&str, &str)], is_1_1: bool) -> Result<Length, Fault> {
        let mut facts = Facts::default();
        for (name, value) in fields {
            facts.learn(name.as_bytes(), value.as_bytes())?;
        }
        facts.length(is_1_1)
    }

    #[test]
    fn p25_a_length_is_one_number_sent_once() {
        let of = |value| length(&[("host", "a"), ("Content-Length", value)], true);
        for (value, number) in
            [(" 0", 0), ("5", 5), (" 007\t", 7), ("18446744073709551613", u64::MAX - 2)]
        {
            assert_eq!(of(value), Ok(Length::Known(number)), "{value:?}");
        }
        for value in [
            "",
            "+5",
            "-5",
            "5,5",
            "5, 6",
            "5 5",
            "0x5",
            "5;",
            "5.0",
            "18446744073709551614",
            "99999999999999999999",
        ] {
            assert_eq!(of(value), Err(Fault::ContentLength), "{value:?}");
        }
        let twice = [("host", "a"), ("content-length", "5"), ("content-length", "5")];
        assert_eq!(length(&twice, true), Err(Fault::ContentLength));
        assert_eq!(length(&[("content_length", "5")], false), Err(Fault::Field));
        assert_eq!(length(&[("content-length", "5")], false), Ok(Length::Known(5)));
    }

    #[test]
    fn p25_the_only_transfer_coding_is_chunked() {
        let of = |value| length(&[("host", "a"), ("transfer-encoding", value)], true);
        for value in ["chunked", " Chunked\t"] {
            assert_eq!(of(value), Ok(Length::Chunked), "{value:?}");
        }
        for value in ["gzip, chunked", "gzip;q=1,deflate,CHUNKED"] {
            assert_eq!(of(value), Err(Fault::UnknownCoding), "{value:?}");
        }
        for value in [
            "",
            "gzip",
            "identity",
            "chunked, gzip",
            "chunked, chunked",
            ", chunked",
            "chunked,",
            "xchunked",
            "chunked;a=b",
            "\"chunked\"",
            "chunked chunked",
            "g zip, chunked",
        ] {
            assert_eq!(of(value), Err(Fault::TransferCoding), "{value:?}");
        }
        let twice =
            [("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(length(&twice, true), Err(Fault::TransferCoding));
        assert_eq!(length(&[("transfer-encoding", "chunked")], false), Err(Fault::TransferCoding));
        assert_eq!(length(&[("transfer_encoding", "chunked")], false), Err(Fault::Field));
        for fields in [
            [("host", "a"), ("transfer-encoding", "chunked"), ("content-length", "0")],
            [("host", "a"), ("content-length", "0"), ("transfer-encoding", "gzip, chunked")],
        ] {
            assert_eq!(length(&fields, true), Err(Fault::LengthAndCoding));
        }
    }

    #[test]
    fn p25_there_is_one_host() {
        assert_eq!(length(&[], true), Err(Fault::NoHost));
        assert_eq!(length(&[], false), Ok(Length::Known(0)));
        assert_eq!(length(&[("Host", "a"), ("host", "a")], true), Err(Fault::TwoHosts));
        for host in ["a, b", "a b", "a/b", "u@a", "\"a\"", "a\\b", "ä"] {
            assert_eq!(length(&[("host", host)], true), Err(Fault::Host), "{host}");
        }
        for host in ["", "localhost:8080", "[::1]:80", "a_b.c"] {
            assert_eq!(length(&[("host", host)], true), Ok(Length::Known(0)), "{host}");
        }
    }
}
