//! Where to listen: `"127.0.0.1:8080"`, `"localhost:8080"` or `"unix:/run/x.sock"`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{UnitError, Written};

/// An address to listen on. `localhost` is 127.0.0.1; no other name is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Listen::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Listen::Unix(_) => true,
        }
    }

    /// Whether the system chooses the port.
    pub fn is_any_port(&self) -> bool {
        matches!(self, Listen::Tcp(address) if address.port() == 0)
    }
}

impl FromStr for Listen {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Listen, UnitError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket(Path::new(path));
        }
        if let Ok(address) = text.parse() {
            return Ok(Listen::Tcp(address));
        }
        if text.contains("://") {
            return Err(not_an("a URL is not an address to listen on"));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if text.parse::<IpAddr>().is_err() => (host, port),
            _ => return Err(without_port(text)),
        };
        match (host, port.parse::<u16>()) {
            (_, Err(_)) => Err(not_an("the port is not a number from 0 to 65535")),
            ("localhost", Ok(port)) => Ok(Listen::Tcp((Ipv4Addr::LOCALHOST, port).into())),
            ("" | "*", Ok(port)) => Err(not_an("the address lacks its host")
                .help(format!("\"127.0.0.1:{port}\" for this machine alone"))),
            (_, Ok(_)) => Err(not_an("the host is not an IP address")
                .help("names are not looked up, but for localhost")),
        }
    }
}

impl Written for Listen {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1:8080\" or \"unix:/run/x.sock\"";

    fn from_number(number: i64) -> Option<Result<Listen, UnitError>> {
        let help = format!("\"127.0.0.1:{number}\" for this machine alone");
        let port = u16::try_from(number).ok()?;
        Some(Err(not_an("a port without its host").help(help))).filter(|_| port > 0)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listen, D::Error> {
        super::deserialize(deserializer)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn socket(path: &Path) -> Result<Listen, UnitError> {
    if !path.is_absolute() {
        return Err(not_an("the path of the socket is not absolute"));
    }
    if path.as_os_str().len() > LONGEST_SOCKET_PATH {
        return Err(not_an("the path of the socket is longer than the system's 107 bytes"));
    }
    Ok(Listen::Unix(path.to_owned()))
}

fn without_port(text: &str) -> UnitError {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => not_an("the address lacks its port").help("\"[::1]:8080\""),
        Ok(IpAddr::V4(_)) => not_an("the address lacks its port"),
        Err(_) if text == "localhost" => not_an("the address lacks its port"),
        Err(_) => not_an("not an address to listen on"),
    }
}

fn not_an(problem: &'static str) -> UnitError {
    UnitError::new(problem, Listen::EXPECTED)
}

/// `sun_path` of Linux, less the closing NUL.
const LONGEST_SOCKET_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown, local) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("localhost:0", "127.0.0.1:0", true),
            ("[::1]:80", "[::1]:80", true),
            ("0.0.0.0:80", "0.0.0.0:80", false),
            ("[::]:80", "[::]:80", false),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", true),
            ("unix:/run/x.sock", "unix:/run/x.sock", true),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!((listen.to_string().as_str(), listen.is_local()), (shown, local), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_the_reason() {
        let long = format!("unix:/{}", "x".repeat(LONGEST_SOCKET_PATH));
        for (text, problem) in [
            ("", "not an address to listen on"),
            ("8080", "not an address to listen on"),
            (":8080", "the address lacks its host"),
            ("*:8080", "the address lacks its host"),
            ("127.0.0.1", "the address lacks its port"),
            ("localhost", "the address lacks its port"),
            ("::1", "the address lacks its port"),
            ("127.0.0.1:http", "the port is not a number from 0 to 65535"),
            ("127.0.0.1:65536", "the port is not a number from 0 to 65535"),
            ("gateway.internal:80", "the host is not an IP address"),
            ("http://127.0.0.1:80", "a URL is not an address to listen on"),
            ("unix:x.sock", "the path of the socket is not absolute"),
            ("unix:", "the path of the socket is not absolute"),
            (&long, "the path of the socket is longer than the system's 107 bytes"),
        ] {
            assert_eq!(text.parse::<Listen>().map_err(|e| e.problem), Err(problem), "{text}");
        }
    }
}
