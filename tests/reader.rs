//! Our reader against hyper's, on requests that were altered, cut and glued.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::differential::{check, serve};

/// A request whose meaning is known.
#[derive(Clone, Debug)]
struct Known {
    method: &'static str,
    target: String,
    /// What the target arrives as.
    arrives: String,
    body: Option<Body>,
}

#[derive(Clone, Debug)]
enum Body {
    Whole(String),
    Chunked(Vec<String>, bool),
}

impl Known {
    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: a\r\nX: y\r\n", self.method, self.target);
        match &self.body {
            None => text += "\r\n",
            Some(Body::Whole(body)) => {
                text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
            }
            Some(Body::Chunked(chunks, trailer)) => {
                text += "Transfer-Encoding: chunked\r\n\r\n";
                for chunk in chunks {
                    text += &format!("{:x};a=b\r\n{chunk}\r\n", chunk.len());
                }
                text += if *trailer { "0\r\nx-sum: 1\r\n\r\n" } else { "0\r\n\r\n" };
            }
        }
        text.into_bytes()
    }

    fn body(&self) -> String {
        match &self.body {
            None => String::new(),
            Some(Body::Whole(body)) => body.clone(),
            Some(Body::Chunked(chunks, _)) => chunks.concat(),
        }
    }
}

/// Text that would be read as requests if the reader lost its place.
fn content() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("GET /x?\" HTTP/1.1\r\nhost: a\r\n\r\n"),
        Just("\r\n\r\n"),
        Just("0\r\n\r\n"),
        Just("POST / HTTP/1.1\r\ncontent-length: 9\r\n"),
        Just("5\r\n"),
        Just("{\"a\": 1}"),
    ];
    vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

fn known() -> impl Strategy<Value = Known> {
    let target = vec(
        prop_oneof![
            4 => "[a-z0-9=&/.;:,%{}|^\\[\\]\\\\'+-]".prop_map(|text| (text.clone(), text)),
            1 => Just(("\"".into(), "%22".into())),
            1 => Just(("<".into(), "%3C".into())),
            1 => Just((">".into(), "%3E".into())),
            1 => Just(("#".into(), "%23".into())),
            1 => Just(("`".into(), "`".into())),
            1 => Just(("ä".into(), "ä".into())),
        ],
        0..12,
    );
    let body = prop_oneof![
        2 => Just(None),
        1 => content().prop_map(|content| Some(Body::Whole(content))),
        1 => (vec(content(), 1..4), any::<bool>())
            .prop_map(|(chunks, trailer)| Some(Body::Chunked(chunks, trailer))),
    ];
    (target, body, prop_oneof![Just("GET"), Just("POST"), Just("DELETE"), Just("REPORT")]).prop_map(
        |(parts, body, method)| {
            let (sent, arrives): (Vec<String>, Vec<String>) = parts.into_iter().unzip();
            let target = format!("//a/..{}?", if sent.len() % 2 == 0 { "" } else { "/\"" });
            Known {
                method,
                arrives: target.clone() + &arrives.concat(),
                target: target + &sent.concat(),
                body,
            }
        },
    )
}

/// One alteration of bytes.
#[derive(Clone, Debug)]
enum Change {
    Remove(usize, usize),
    Insert(usize, &'static [u8]),
    Set(usize, u8),
    Repeat(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    const TEMPTING: [&[u8]; 26] = [
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\0",
        b"#",
        b"\"",
        b"<",
        b":",
        b";",
        b",",
        b"\x7f",
        b"\xff",
        b"0",
        b"f",
        b"-",
        b"content-length: 3\r\n",
        b"Content-Length: +3\r\n",
        b"\r\n\r\n",
        b"host: b\r\n",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"http://a",
        b"connection: upgrade\r\nupgrade: x\r\n",
        b"expect: 100-continue\r\n",
    ];
    let at = 0..600_usize;
    prop_oneof![
        (at.clone(), 1..4_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (at.clone(), prop::sample::select(&TEMPTING[..]))
            .prop_map(|(at, text)| Change::Insert(at, text)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at, 1..40_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |at: usize| at % bytes.len().max(1);
    match *change {
        _ if bytes.is_empty() => {}
        Change::Remove(at, count) => {
            let at = place(at);
            bytes.drain(at..bytes.len().min(at + count));
        }
        Change::Insert(at, text) => {
            // At the beginnings of lines, alterations tempt most.
            let at = place(at);
            let line = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            let at = if text.ends_with(b"\n") { line } else { at };
            bytes.splice(at..at, text.iter().copied());
        }
        Change::Set(at, byte) => {
            let at = place(at);
            bytes[at] = byte;
        }
        Change::Repeat(at, count) => {
            let at = place(at);
            let again = bytes[at..bytes.len().min(at + count)].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

fn pipeline(requests: &[Known]) -> Vec<u8> {
    requests.iter().flat_map(Known::bytes).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn p05_every_request_of_a_connection_arrives_as_it_was_meant(
        requests in vec(known(), 1..5),
        split in 0..1000_u64,
    ) {
        let bytes = pipeline(&requests);
        let served = serve(&bytes, split, true);
        prop_assert_eq!(served.fault, None);
        let arrived: Vec<_> = served.requests.iter().map(|seen| {
            let body = seen.body.as_ref().expect("a body").0.to_vec();
            let body = String::from_utf8(body).expect("text");
            (seen.method.to_string(), seen.target.clone(), body)
        }).collect();
        let meant: Vec<_> = requests.iter().map(|known| {
            (known.method.to_owned(), known.arrives.clone(), known.body())
        }).collect();
        prop_assert_eq!(arrived, meant);
    }

    #[test]
    fn p25_what_hyper_takes_is_the_same_or_refused_for_a_reason(
        requests in vec(known(), 1..4),
        changes in vec(change(), 0..4),
        split in 1..1000_u64,
    ) {
        let mut bytes = pipeline(&requests);
        for change in &changes {
            apply(&mut bytes, change);
        }
        check(&bytes, split);
    }
}
