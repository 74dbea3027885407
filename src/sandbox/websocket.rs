//! A WebSocket that echoes: the handshake, and the few frames that an echo needs (RFC 6455).
//!
//! No vendor is known to offer one: the simulator adds it, as it adds its streams, so that a
//! gateway's upgrades can be tried. Its handshake is a call like any other, token and all.

use std::io;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    select,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{answer::Answer, received::Received, strict::Mistake};

/// Reads the handshake and prepares the answer to it, for a call whose token is good.
pub(super) fn handshake(received: &Received) -> Result<Answer, Mistake> {
    let headers = &received.headers;
    if received.method != Method::GET
        || !lists(headers, &header::CONNECTION, "upgrade")
        || !lists(headers, &header::UPGRADE, "websocket")
    {
        return Err(Mistake::new("no handshake of a WebSocket"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Mistake::new("sec-websocket-version is not 13"));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Mistake::new("sec-websocket-key is not there once"));
    };
    if STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return Err(Mistake::new("sec-websocket-key is not 16 bytes in base64"));
    }
    let accept = HeaderValue::try_from(proof(key.as_bytes()))
        .map_err(|_| Mistake::new("sec-websocket-key has no answer"))?;
    Ok(Answer::switching([
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ]))
}

/// Echoes until the client closes, breaks a rule or goes away, or the sandbox shuts down.
pub(super) async fn serve(upgrade: OnUpgrade, shutdown: CancellationToken) {
    let echoing = async {
        let socket = upgrade.await.map_err(io::Error::other)?;
        echo(TokioIo::new(socket)).await
    };
    select! {
        ended = echoing => match ended {
            Ok(()) => debug!("sandbox: WebSocket closed"),
            Err(error) => debug!(%error, "sandbox: WebSocket ended early"),
        },
        () = shutdown.cancelled() => {}
    }
}

async fn echo(socket: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (from, mut to) = tokio::io::split(socket);
    let mut from = BufReader::new(from);
    loop {
        let first = from.read_u8().await?;
        let (masked, length) = match from.read_u8().await? {
            byte if byte & 0x7f == 126 => (byte & 0x80, u64::from(from.read_u16().await?)),
            byte if byte & 0x7f == 127 => (byte & 0x80, from.read_u64().await?),
            byte => (byte & 0x80, u64::from(byte & 0x7f)),
        };
        let opcode = first & 0x0f;
        if masked == 0 || first & RESERVED != 0 || !OPCODES.contains(&opcode) {
            return close(&mut to, PROTOCOL_ERROR).await;
        }
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= LONGEST) else {
            return close(&mut to, TOO_BIG).await;
        };
        let mut mask = [0; 4];
        from.read_exact(&mut mask).await?;
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).await?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        match opcode {
            PONG => {}
            PING => send(&mut to, FINAL | PONG, &payload).await?,
            // A close is answered by its own code, and that is the end.
            CLOSE => {
                send(&mut to, first, &payload).await?;
                return to.shutdown().await;
            }
            _ => send(&mut to, first, &payload).await?,
        }
    }
}

async fn close(to: &mut (impl AsyncWrite + Unpin), code: u16) -> io::Result<()> {
    send(to, FINAL | CLOSE, &code.to_be_bytes()).await?;
    to.shutdown().await
}

/// What a server sends is not masked.
async fn send(to: &mut (impl AsyncWrite + Unpin), first: u8, payload: &[u8]) -> io::Result<()> {
    let length = payload.len();
    let mut frame = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    to.write_all(&frame).await?;
    to.flush().await
}

/// What proves that the key was read.
fn proof(key: &[u8]) -> String {
    let mut hasher = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hasher.update(key);
    hasher.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hasher.finish())
}

fn lists(headers: &HeaderMap, name: &header::HeaderName, option: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(option))
}

const FINAL: u8 = 0x80;
/// No extension is agreed on that could use these bits.
const RESERVED: u8 = 0x70;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Continuation, text and binary beside them.
const OPCODES: [u8; 6] = [0, 1, 2, CLOSE, PING, PONG];

const PROTOCOL_ERROR: u16 = 1002;
const TOO_BIG: u16 = 1009;
/// Of a frame.
const LONGEST: usize = 1024 * 1024;
