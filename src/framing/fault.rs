//! Everything that a caller's message can be refused for while it is being read.

use std::error::Error as StdError;
use std::io;

use thiserror::Error;

/// What is wrong with a message, in words for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Fault {
    #[error("the request line is not `METHOD target HTTP/1.1` with one space between its parts")]
    RequestLine,
    #[error("the target is neither a path (without `#`), nor a URL, nor what its method allows")]
    Target,
    #[error("the target is longer than the limit")]
    TargetLength,
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    #[error("a line ends with a bare CR or LF instead of CRLF")]
    LineEnding,
    #[error("there is a control byte in the head or the trailers")]
    ControlByte,
    #[error(
        "a header line is not `name: value` (it is folded, or its name is empty or not a name)"
    )]
    Field,
    #[error("the header or the trailers are bigger than the limit")]
    HeaderBytes,
    #[error("there are more header fields or trailers than the limit")]
    HeaderCount,
    #[error("Content-Length is not one number, sent once")]
    ContentLength,
    #[error("a transfer coding other than chunked is not supported")]
    UnknownCoding,
    #[error("Transfer-Encoding is not `chunked`, sent once, with HTTP/1.1")]
    TransferCoding,
    #[error("Content-Length and Transfer-Encoding contradict each other")]
    LengthAndCoding,
    #[error("there is more than one Host field")]
    TwoHosts,
    #[error("HTTP/1.1 needs a Host field")]
    NoHost,
    #[error("the Host field does not hold a host")]
    Host,
    #[error("the head of the request did not arrive in time")]
    HeadTime,
    #[error("there are too many connections")]
    Connections,
    #[error("the line before a chunk is not a size of 1 to 16 hexadecimal digits")]
    ChunkSize,
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    #[error("a trailer line is not `name: value`")]
    TrailerLine,
    #[error("a trailer would change how the message is read or where it goes")]
    TrailerName,
    #[error("the body of the request stood still for too long")]
    BodyTime,
    #[error("TLS is spoken on this port, and this was no TLS: call https://, not http://")]
    NoTls,
}

impl Fault {
    /// All there are.
    pub const ALL: [Self; 24] = [
        Self::RequestLine,
        Self::Target,
        Self::TargetLength,
        Self::Version,
        Self::LineEnding,
        Self::ControlByte,
        Self::Field,
        Self::HeaderBytes,
        Self::HeaderCount,
        Self::ContentLength,
        Self::UnknownCoding,
        Self::TransferCoding,
        Self::LengthAndCoding,
        Self::TwoHosts,
        Self::NoHost,
        Self::Host,
        Self::HeadTime,
        Self::Connections,
        Self::ChunkSize,
        Self::ChunkEnd,
        Self::TrailerLine,
        Self::TrailerName,
        Self::BodyTime,
        Self::NoTls,
    ];

    /// For a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestLine => "request-line",
            Self::Target => "target",
            Self::TargetLength => "target-length",
            Self::Version => "version",
            Self::LineEnding => "line-ending",
            Self::ControlByte => "control-byte",
            Self::Field => "field",
            Self::HeaderBytes => "header-bytes",
            Self::HeaderCount => "header-count",
            Self::ContentLength => "content-length",
            Self::UnknownCoding => "unknown-coding",
            Self::TransferCoding => "transfer-coding",
            Self::LengthAndCoding => "length-and-coding",
            Self::TwoHosts => "two-hosts",
            Self::NoHost => "no-host",
            Self::Host => "host",
            Self::HeadTime => "head-time",
            Self::Connections => "connections",
            Self::ChunkSize => "chunk-size",
            Self::ChunkEnd => "chunk-end",
            Self::TrailerLine => "trailer-line",
            Self::TrailerName => "trailer-name",
            Self::BodyTime => "body-time",
            Self::NoTls => "no-tls",
        }
    }

    /// The fault that a body failed with, wherever in the chain of causes it is.
    pub fn find(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(fault) = error.downcast_ref() {
                return Some(*fault);
            }
            // An `io::Error` does not count what it wraps as its source.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(fault) = wrapped.and_then(|wrapped| wrapped.downcast_ref()) {
                return Some(*fault);
            }
            next = error.source();
        }
        None
    }

    /// How a failed read says it.
    pub(super) fn into_error(self) -> io::Error {
        let kind = match self {
            Self::BodyTime => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_its_name() {
        let names: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
    }

    #[test]
    fn a_fault_is_found_beneath_other_errors() {
        #[derive(Debug, Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(Fault::ChunkEnd.into_error());
        assert_eq!(Fault::find(&error), Some(Fault::ChunkEnd));
        assert_eq!(Fault::find(&io::Error::from(io::ErrorKind::TimedOut)), None);
    }
}
