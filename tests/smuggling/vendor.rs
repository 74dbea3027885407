//! A vendor that reads as strictly as RFC 9112 lets it, and notes all that it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::recording;

#[derive(Clone)]
pub(super) struct StrictVendor {
    pub(super) address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
}

/// What has come since it was last taken.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Complete requests in the form of the cases.
    pub(super) requests: Vec<Vec<String>>,
    /// What can be read in more than one way, or lacks the token, with its bytes.
    pub(super) faults: Vec<String>,
    /// All bytes, but for those of token calls and of the last request of a connection.
    pub(super) bytes: usize,
}

struct Request {
    lines: Vec<String>,
    expects: bool,
}

type Fault = String;

impl StrictVendor {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let vendor = Self { address, notes: Arc::default() };
        let accepting = vendor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        vendor
    }

    pub(super) fn take(&self) -> Notes {
        std::mem::take(&mut self.notes())
    }

    async fn serve(self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut bytes = Vec::new();
        loop {
            let (request, length) = match self.request(&mut stream, &mut bytes).await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(fault) => {
                    let shown = bytes.escape_ascii().to_string();
                    let shown = &shown[..shown.len().min(1000)];
                    self.notes().faults.push(format!("{fault}: {shown}"));
                    return;
                }
            };
            bytes.drain(..length);
            let line = &request.lines[0];
            let target = line.split(' ').nth(1).expect("it is there").to_owned();
            let body = self.note(target, request.lines, length);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if stream.write_all((head + &body).as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// Notes a complete request, and says what the body of its answer is.
    fn note(&self, target: String, lines: Vec<String>, length: usize) -> String {
        let mut notes = self.notes();
        if let Some(vendor) = token_call(&target) {
            notes.bytes -= length;
            return recording(&format!("{vendor}/token_success"), &GRANT);
        }
        if target == LAST {
            notes.bytes -= length;
        } else {
            notes.requests.push(lines);
        }
        target
    }

    /// Reads one request, and how long it is. `None`: none comes any more.
    async fn request(
        &self,
        stream: &mut TcpStream,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<(Request, usize)>, Fault> {
        let mut invited = false;
        loop {
            if let Some((mut request, head)) = self.head(bytes)? {
                if request.expects && !invited {
                    let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                    invited = true;
                }
                if let Some((lines, body)) = body(&request.lines, &bytes[head..])? {
                    request.lines.extend(lines);
                    return Ok(Some((request, head + body)));
                }
            }
            bytes.reserve(16 * 1024);
            match stream.read_buf(bytes).await {
                Ok(read) if read > 0 => self.notes().bytes += read,
                _ => return Ok(None),
            }
        }
    }

    /// The head at the beginning, in the form of the cases, and its length.
    fn head(&self, bytes: &[u8]) -> Result<Option<(Request, usize)>, Fault> {
        let Some((lines, length)) = lines(bytes)? else { return Ok(None) };
        let mut lines = lines.into_iter();
        let line = lines.next().ok_or("an empty line for a request")?;
        let words: Vec<&str> = line.split(' ').collect();
        let [method, target, "HTTP/1.1"] = words[..] else {
            return Err("not a request line".into());
        };
        if !is_token(method) || target.is_empty() || !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("not a method, or not a target".into());
        }
        let is_token_call = token_call(target).is_some();
        let mut fields = lines.map(|line| field(&line)).collect::<Result<Vec<_>, _>>()?;
        let hosts = taken(&mut fields, "host");
        if hosts != [self.address.to_string()] {
            return Err(format!("hosts: {hosts:?}"));
        }
        if !is_token_call {
            for (name, value) in INJECTED {
                let found = taken(&mut fields, name);
                if found != [value] {
                    return Err(format!("{name}: {found:?}"));
                }
            }
        }
        let invite = |value: &str| value.eq_ignore_ascii_case("100-continue");
        let expects = fields.iter().any(|(name, value)| name == "expect" && invite(value));
        // Their order is for other tests.
        fields.sort();
        let fields = fields.into_iter().map(|(name, value)| format!("{name}: {value}"));
        let lines = std::iter::once(line.clone()).chain(fields).collect();
        Ok(Some((Request { lines, expects }, length)))
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("nobody panics while holding this")
    }
}

/// The body after this head, as it stands in the cases, with its length on the wire; `None` while
/// it is not complete.
fn body(head: &[String], rest: &[u8]) -> Result<Option<(Vec<String>, usize)>, Fault> {
    let all = |name: &str| -> Vec<&str> {
        head[1..].iter().filter_map(|line| line.strip_prefix(name)).collect()
    };
    match (&all("content-length: ")[..], &all("transfer-encoding: ")[..]) {
        ([], []) => Ok(Some((Vec::new(), 0))),
        ([length], []) => {
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("not a length".into());
            }
            let length: usize = length.parse().map_err(|_| "too long a length")?;
            let Some(data) = rest.get(..length) else { return Ok(None) };
            Ok(Some((with_body(data, Vec::new()), length)))
        }
        ([], ["chunked"]) => chunks(rest),
        both => Err(format!("lengths and codings: {both:?}")),
    }
}

fn chunks(rest: &[u8]) -> Result<Option<(Vec<String>, usize)>, Fault> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = rest[at..].iter().position(|byte| *byte == b'\n') else {
            let ok = rest[at..].iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'\r');
            return if ok { Ok(None) } else { Err("not the size of a chunk".into()) };
        };
        let digits = rest[at..at + end].strip_suffix(b"\r").ok_or("a bare line feed")?;
        if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("not the size of a chunk".into());
        }
        let size = usize::from_str_radix(&latin(digits), 16).map_err(|_| "too big a chunk")?;
        at += end + 1;
        if size == 0 {
            let Some((trailers, length)) = lines(&rest[at..])? else { return Ok(None) };
            let trailers =
                trailers.iter().map(|line| field(line)).collect::<Result<Vec<_>, _>>()?;
            if let Some((name, _)) = trailers.iter().find(|(name, _)| shadows(name)) {
                return Err(format!("the trailer {name} shadows a field"));
            }
            let trailers = trailers.iter().map(|(name, value)| format!("{name}: {value}"));
            return Ok(Some((with_body(&data, trailers.collect()), at + length)));
        }
        let Some(chunk) = rest.get(at..).and_then(|rest| rest.get(..size.checked_add(2)?)) else {
            return Ok(None);
        };
        let chunk = chunk.strip_suffix(b"\r\n").ok_or("no line end after a chunk")?;
        data.extend_from_slice(chunk);
        at += size + 2;
    }
}

/// Lines up to an empty one, and how many bytes these are; `None` while that has not come.
fn lines(bytes: &[u8]) -> Result<Option<(Vec<String>, usize)>, Fault> {
    let (mut lines, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let end = rest.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t');
        let Some(end) = end else { return Ok(None) };
        match rest[end..] {
            [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => {}
            _ => return Err("a control byte in a line".into()),
        }
        at += end + 2;
        if end == 0 {
            return Ok(Some((lines, at)));
        }
        lines.push(latin(&rest[..end]));
    }
}

fn field(line: &str) -> Result<(String, String), Fault> {
    let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
    if !is_token(name) {
        return Err(format!("not a name: {name:?}"));
    }
    let name = name.to_ascii_lowercase();
    if FRAMING.contains(&&*name.replace('_', "-")) && name.contains('_') {
        return Err(format!("{name} looks like a framing field"));
    }
    Ok((name, value.trim_matches([' ', '\t']).to_owned()))
}

/// Takes the values out that stand under any spelling of a name.
fn taken(fields: &mut Vec<(String, String)>, name: &str) -> Vec<String> {
    let plain = |text: &str| text.replace('-', "_");
    let (found, rest) = fields.drain(..).partition(|(other, _)| plain(other) == plain(name));
    *fields = rest;
    let found: Vec<(String, String)> = found;
    found.into_iter().map(|(_, value)| value).collect()
}

/// No trailer may change how a message is framed, where it goes, or who asks.
fn shadows(name: &str) -> bool {
    let plain = name.replace('_', "-");
    let injected = INJECTED.iter().any(|(injected, _)| injected.replace('_', "-") == plain);
    injected || plain == "host" || FRAMING.contains(&&*plain)
}

fn with_body(data: &[u8], trailers: Vec<String>) -> Vec<String> {
    if data.is_empty() && trailers.is_empty() {
        return trailers;
    }
    [vec![String::new(), latin(data)], trailers].concat()
}

fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

/// Each byte is one character, as in the cases.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Whose token endpoint a target is.
fn token_call(target: &str) -> Option<&'static str> {
    let path = target.split('?').next()?;
    match path {
        "/v1/oauth2/token" => Some("jing"),
        "/oauth2/token" => Some("aiclk"),
        _ => None,
    }
}

/// Asked for where a case has ended and its connection goes on.
pub(super) const LAST: &str = "/last";
const GRANT: [(&str, &str); 3] =
    [("access_token", "the-token"), ("refresh_token", "another"), ("expires_in", "7200")];
const INJECTED: [(&str, &str); 3] = [
    ("authorization", "Bearer the-token"),
    ("access_token", "the-token"),
    ("app_id", "sandbox-app-id"),
];
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];
