//! A head that was found to be well-formed, as a request.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};

use super::fault::Fault;
use super::field::Length;
use super::head::{Field, Head, HeadScan};
use super::{Limits, target};

/// What of a request says how it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) is_1_1: bool,
    /// The connection may serve another request after this one.
    pub(super) keeps: bool,
    /// The caller takes trailers.
    pub(super) trailers: bool,
    /// The caller waits to be told before it sends its body.
    pub(super) expects: bool,
    pub(super) upgrade: bool,
    pub(super) length: Length,
}

/// Judges what has come since the last call; `bytes` begin with the head. `None`: it has not ended.
/// Otherwise so many bytes are its.
pub(super) fn read(
    scan: &mut HeadScan,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Option<Head>, Fault> {
    let is_first = scan.is_new();
    FIELDS.with_borrow_mut(|fields| {
        fields.clear();
        let Some(head) = scan.scan(bytes, limits, fields)? else { return Ok(None) };
        if !is_first {
            // Its beginning was judged earlier, and where its fields are was forgotten.
            fields.clear();
            HeadScan::default().scan(bytes, limits, fields)?;
        }
        Ok(Some(head))
    })
}

/// The request of the head that was read last, whose bytes these are.
pub(super) fn build(head: &Head, bytes: &Bytes) -> Result<(Request<()>, Asked), Fault> {
    let mut request = Request::new(());
    let method = Method::from_bytes(&bytes[head.method.clone()]).map_err(|_| Fault::RequestLine)?;
    let target = if head.encode {
        Bytes::from(target::encoded(&bytes[head.target.clone()]))
    } else {
        bytes.slice(head.target.clone())
    };
    *request.uri_mut() = Uri::from_maybe_shared(target).map_err(|_| Fault::Target)?;
    let facts = &head.facts;
    let asked = Asked {
        is_head: method == Method::HEAD,
        is_1_1: head.is_1_1,
        keeps: facts.keeps(head.is_1_1),
        trailers: facts.takes_trailers(),
        expects: head.is_1_1 && facts.expects(),
        upgrade: head.upgrade,
        length: head.length,
    };
    *request.method_mut() = method;
    *request.version_mut() = if head.is_1_1 { Version::HTTP_11 } else { Version::HTTP_10 };
    *request.headers_mut() = headers(bytes)?;
    Ok((request, asked))
}

fn headers(bytes: &Bytes) -> Result<HeaderMap, Fault> {
    FIELDS.with_borrow_mut(|fields| {
        // Putting the vendor's host in would make a full one grow.
        let mut headers = HeaderMap::with_capacity(fields.len() + 1);
        for Field { name, value } in fields.drain(..) {
            let name = HeaderName::from_bytes(&bytes[name]).map_err(|_| Fault::Field)?;
            let value = HeaderValue::from_maybe_shared(bytes.slice(value));
            headers.append(name, value.map_err(|_| Fault::ControlByte)?);
        }
        Ok(headers)
    })
}

thread_local! {
    /// Where the fields of the head are that was read last.
    static FIELDS: RefCell<Vec<Field>> = const { RefCell::new(Vec::new()) };
}
