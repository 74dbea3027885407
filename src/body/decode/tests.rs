use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;
use proptest::prelude::*;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

use super::*;

type Encode = fn(&[u8]) -> Vec<u8>;
type EncodeParts = fn(&[&[u8]]) -> Vec<Vec<u8>>;

const ENCODINGS: &[(&str, Encode)] = &[
    ("identity", |plain| plain.to_vec()),
    ("gzip", gzip),
    ("x-gzip", decorated_gzip),
    ("gzip", |plain| {
        let (head, tail) = plain.split_at(plain.len() / 2);
        [gzip(head), gzip(b""), decorated_gzip(tail), vec![0; 9]].concat()
    }),
    ("deflate", zlib),
    ("deflate", raw_deflate),
    ("br", brotli),
    ("zstd", zstd),
    ("zstd", |plain| {
        let (head, tail) = plain.split_at(plain.len() / 2);
        [zstd(head), zstd(tail)].concat()
    }),
];

/// Encoders that can be flushed, so that all that has been written can be decoded.
const FLUSHING: &[(&str, EncodeParts)] = &[
    ("gzip", |parts| {
        flushed(GzEncoder::new(Vec::new(), Compression::default()), parts, |one| one.get_mut())
    }),
    ("deflate", |parts| {
        flushed(ZlibEncoder::new(Vec::new(), Compression::default()), parts, |one| one.get_mut())
    }),
    ("br", |parts| {
        flushed(::brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22), parts, |one| {
            one.get_mut()
        })
    }),
    ("zstd", flushed_zstd),
];

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// With every optional part of the header.
fn decorated_gzip(plain: &[u8]) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().extra(*b"extra").filename("name").comment("comment");
    let mut encoder = builder.write(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    let mut bytes = encoder.finish().unwrap();
    bytes[3] |= 0x02;
    let end_of_header = 10 + 2 + 5 + 5 + 8;
    bytes.splice(end_of_header..end_of_header, [0xaa, 0xbb]);
    bytes
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ::brotli::CompressorWriter::new(Vec::new(), 4096, 9, 22);
    encoder.write_all(plain).unwrap();
    encoder.into_inner()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    zstd_safe::compress(&mut out, plain, 3).unwrap();
    out
}

/// What comes out of an encoder after each part.
fn flushed<W: Write>(
    mut encoder: W,
    parts: &[&[u8]],
    out: fn(&mut W) -> &mut Vec<u8>,
) -> Vec<Vec<u8>> {
    let each = parts.iter().map(|part| {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
        std::mem::take(out(&mut encoder))
    });
    each.collect()
}

fn flushed_zstd(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut context = CCtx::create();
    let each = parts.iter().map(|part| {
        let mut bytes = vec![0; zstd_safe::compress_bound(part.len()) + 64];
        let mut out = OutBuffer::around(&mut bytes[..]);
        let mut input = InBuffer::around(part);
        context.compress_stream(&mut out, &mut input).unwrap();
        assert_eq!(context.flush_stream(&mut out), Ok(0));
        let length = out.pos();
        bytes.truncate(length);
        bytes
    });
    each.collect()
}

fn decoder(coding: &str) -> Decoder {
    let headers =
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap())]);
    Decoder::for_headers(&headers).unwrap()
}

fn decode(coding: &str, slices: &[&[u8]], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = decoder(coding);
    let mut out = Vec::new();
    for slice in slices {
        let left = limit - out.len();
        decoder.push(slice, &mut out, left)?;
    }
    Ok(out)
}

const ANSWER: &[u8] =
    br#"{"request_id":"7b1f3c52","code":40102,"msg":"access_token expired","data":null}"#;

/// Data that does not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    bytes.take(length).collect()
}

#[test]
fn p07_every_coding_is_decoded_at_any_split() {
    for (coding, encode) in ENCODINGS {
        let encoded = encode(ANSWER);
        for at in 0..=encoded.len() {
            let (head, tail) = encoded.split_at(at);
            let empty = [&[][..]; 20];
            let slices = [&empty[..], &[head], &empty, &[tail], &empty].concat();
            assert_eq!(decode(coding, &slices, 1 << 16).as_deref(), Ok(ANSWER), "{coding} {at}");
        }
        let bytes: Vec<_> = encoded.chunks(1).collect();
        assert_eq!(decode(coding, &bytes, 1 << 16).as_deref(), Ok(ANSWER), "{coding}");
    }
}

#[test]
fn p07_what_has_arrived_is_decoded_at_once() {
    let noise = noise(10_000);
    let parts: [&[u8]; 4] = [&ANSWER[..30], &ANSWER[30..31], &noise, &ANSWER[31..]];
    for (coding, encode) in FLUSHING {
        let mut decoder = decoder(coding);
        let mut out = Vec::new();
        for (part, encoded) in parts.iter().zip(encode(&parts)) {
            out.clear();
            decoder.push(&encoded, &mut out, 1 << 16).unwrap();
            assert!(out == *part, "{coding}");
        }
    }
}

#[test]
fn large_bodies_of_any_kind_are_decoded() {
    let mixed = [noise(150_000), vec![b'x'; 150_000], noise(1000)].concat();
    for (coding, encode) in ENCODINGS {
        let encoded = encode(&mixed);
        let slices: Vec<_> = encoded.chunks(1450).collect();
        assert!(decode(coding, &slices, 1 << 20).as_ref() == Ok(&mixed), "{coding}");
    }
}

#[test]
fn p07_a_bomb_is_decoded_to_the_limit_and_no_further() {
    let zeros = vec![0; 4 << 20];
    for (coding, encode) in ENCODINGS {
        let encoded = encode(&zeros);
        let mut decoder = decoder(coding);
        let mut out = b"kept".to_vec();
        decoder.push(&encoded, &mut out, 64 << 10).unwrap();
        assert_eq!(out.len(), 4 + (64 << 10), "{coding}");
        assert!(out.capacity() < 256 << 10, "{coding}");
        assert!(decoder.is_over(), "{coding}");
        decoder.push(&encoded, &mut out, 64 << 10).unwrap();
        assert_eq!(out.len(), 4 + (64 << 10), "{coding}");
    }
}

#[test]
fn a_body_that_gives_nothing_is_left() {
    let member = gzip(b"");
    let empty_members = member.repeat((MAX_BARREN + 4096) / member.len());
    let long_name = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0][..], &vec![b'n'; MAX_BARREN]].concat();
    // A skippable frame that says it has 16 MiB.
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 1][..], &vec![0; MAX_BARREN]].concat();
    let empty_block = [0, 0, 0, 0xff, 0xff].repeat(MAX_BARREN / 4);
    for (coding, body) in
        [("gzip", empty_members), ("gzip", long_name), ("zstd", skipped), ("deflate", empty_block)]
    {
        let slices: Vec<_> = body.chunks(1000).collect();
        assert_eq!(decode(coding, &slices, 1 << 16), Err(DecodeError::Barren), "{coding}");
        assert_eq!(decode(coding, &[&body], 1 << 16), Err(DecodeError::Barren), "{coding}");
    }
}

#[test]
fn a_window_too_large_is_refused() {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::WindowLog(24)).unwrap();
    let mut bytes = vec![0; 1000];
    let mut out = OutBuffer::around(&mut bytes[..]);
    context.compress_stream(&mut out, &mut InBuffer::around(ANSWER)).unwrap();
    context.flush_stream(&mut out).unwrap();
    let length = out.pos();
    assert_eq!(decode("zstd", &[&bytes[..length]], 1 << 16), Err(DecodeError::Corrupt));
}

#[test]
fn a_truncated_body_gives_what_there_is() {
    let plain = noise(5000);
    for (coding, encode) in ENCODINGS {
        let encoded = encode(&plain);
        for length in (0..encoded.len()).step_by(7) {
            let out = decode(coding, &[&encoded[..length]], 1 << 16).unwrap();
            assert!(plain.starts_with(&out), "{coding} {length}");
        }
    }
}

#[test]
fn garbage_is_an_error_and_stays_one_body() {
    for coding in ["gzip", "zstd", "br", "deflate"] {
        let mut decoder = decoder(coding);
        let mut out = Vec::new();
        assert_eq!(
            decoder.push(b"\xff\xff{\"code\":401}", &mut out, 100),
            Err(DecodeError::Corrupt),
            "{coding}"
        );
        assert!(decoder.is_over());
        assert_eq!(decoder.push(ANSWER, &mut out, 100), Ok(()));
        assert_eq!(out, b"", "{coding}");
    }
}

#[test]
fn codings_that_cannot_be_looked_through_give_no_decoder() {
    let headers = |codings: &[&'static str]| -> HeaderMap {
        codings.iter().map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding))).collect()
    };
    for known in
        [&[][..], &["identity"], &["GZip"], &["x-gzip"], &["Deflate"], &["BR"], &[" zstd "]]
    {
        assert!(Decoder::for_headers(&headers(known)).is_some(), "{known:?}");
    }
    for unknown in [&["compress"][..], &["gzip, br"], &["br", "gzip"], &["gzip", "gzip"], &["dcz"]]
    {
        assert!(Decoder::for_headers(&headers(unknown)).is_none(), "{unknown:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for (coding, encode) in ENCODINGS {
            let mut encoded = encode(&bytes);
            for (place, flip) in &flips {
                if !encoded.is_empty() {
                    let place = place.index(encoded.len());
                    encoded[place] ^= flip;
                }
            }
            let (head, tail) = encoded.split_at(cut.index(encoded.len() + 1));
            let split = decode(coding, &[head, tail], 1000);
            let whole = decode(coding, &[&encoded], 1000);
            if flips.iter().all(|(_, flip)| *flip == 0) {
                prop_assert_eq!(&split, &Ok(bytes.clone()), "{}", coding);
                prop_assert_eq!(&whole, &split, "{}", coding);
            } else if let (Ok(split), Ok(whole)) = (&split, &whole) {
                // Where a fault is noticed may depend on how the bytes come; what came out may not.
                prop_assert_eq!(split, whole, "{}", coding);
            }
            let _ = decode(coding, &[&bytes], 1000);
        }
    }
}
