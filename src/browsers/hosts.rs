//! The names by which a server may be called. A page can have its own name point at this machine
//! (DNS rebinding), but it cannot choose what a browser then writes into `Host`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// All names of a server. They are few, and finding one costs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    known: Vec<Host>,
    /// The server listens at all addresses of the machine, which may change.
    any_address: bool,
    /// What most clients write, known without a look at its parts.
    usual: Vec<String>,
}

/// One name or address, with the port if only that one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: Name,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// An IPv4 address in the dress of IPv6 is the IPv4 address.
    Address(IpAddr),
    /// Lower case, without the dot of a rooted name.
    Dns(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a host")]
pub struct BadHost;

impl Hosts {
    /// The names of what listens there: those of this machine, and its own address. One that listens
    /// at all addresses is known by any of them, as no page can make an address its name.
    pub fn of(listener: SocketAddr) -> Self {
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let address = listener.ip().to_canonical();
        let any_address = address.is_unspecified();
        let own = (!any_address).then_some(address).filter(|own| !loopback.contains(own));
        let addresses = loopback.into_iter().chain(own).map(Name::Address);
        let names = [Name::Dns("localhost".to_owned())].into_iter().chain(addresses);
        let known: Vec<_> = names.map(|name| Host { name, port: None }).collect();
        let port = Some(listener.port());
        let usual = known.iter().map(|host| Host { port, ..host.clone() }.to_string()).collect();
        Self { known, any_address, usual }
    }

    /// These names, and those too.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.extend(others.known);
        self.any_address |= others.any_address;
        self.usual.extend(others.usual);
        self
    }

    /// Whether a `Host` field, or another authority, names this server.
    pub fn knows(&self, authority: &str) -> bool {
        if self.usual.iter().any(|usual| usual == authority) {
            return true;
        }
        let Some((name, port)) = split(authority) else { return false };
        match address(name) {
            Some(address) if self.any_address && !address.is_unspecified() => true,
            Some(address) => self.known.iter().any(|host| host.is_at(address, port)),
            None => self.known.iter().any(|host| host.is_called(name, port)),
        }
    }
}

impl FromIterator<Host> for Hosts {
    fn from_iter<I: IntoIterator<Item = Host>>(hosts: I) -> Self {
        let mut all = Self::default();
        all.extend(hosts);
        all
    }
}

impl Extend<Host> for Hosts {
    fn extend<I: IntoIterator<Item = Host>>(&mut self, hosts: I) {
        for host in hosts {
            if !self.known.contains(&host) {
                self.known.push(host);
            }
        }
    }
}

impl Host {
    /// Whether this authority names it.
    pub fn is(&self, authority: &str) -> bool {
        split(authority).is_some_and(|(name, port)| match address(name) {
            Some(address) => self.is_at(address, port),
            None => self.is_called(name, port),
        })
    }

    /// The same at any port.
    #[must_use]
    pub fn at_any_port(self) -> Self {
        Self { port: None, ..self }
    }

    fn is_at(&self, address: IpAddr, port: Option<u16>) -> bool {
        matches!(&self.name, Name::Address(known) if *known == address) && self.takes(port)
    }

    fn is_called(&self, name: &str, port: Option<u16>) -> bool {
        let is_same = |known: &String| known == name || known.eq_ignore_ascii_case(name);
        matches!(&self.name, Name::Dns(known) if is_same(known)) && self.takes(port)
    }

    /// Where none is said, a client means that of `http`, or of `https` where it speaks TLS.
    fn takes(&self, port: Option<u16>) -> bool {
        self.port.is_none_or(|known| match port {
            Some(port) => known == port,
            None => known == 80 || known == 443,
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Name::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Name::Dns(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Host {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let (name, port) = split(text).ok_or(BadHost)?;
        if let Some(address) = address(name) {
            return Ok(Self { name: Name::Address(address), port });
        }
        let is_label = |label: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty() && label.bytes().all(good)
        };
        if !name.split('.').all(is_label) {
            return Err(BadHost);
        }
        Ok(Self { name: Name::Dns(name.to_ascii_lowercase()), port })
    }
}

/// The host of an authority, without the dot of a rooted name, and its port. `None`: what comes behind
/// the host is no port. What comes before it, such as a user, is taken for a part of the host.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = match authority.starts_with('[') {
        true => authority.find(']')? + 1,
        false => authority.bytes().position(|byte| byte == b':').unwrap_or(authority.len()),
    };
    let (name, after) = authority.split_at(end);
    let name = name.strip_suffix('.').unwrap_or(name);
    let port = match after.strip_prefix(':') {
        // A port may be left out behind its colon (RFC 3986, 3.2.3).
        Some("") => None,
        Some(port) if !port.starts_with('+') => Some(port.parse().ok()?),
        Some(_) => return None,
        None if after.is_empty() => None,
        None => return None,
    };
    Some((name, port))
}

/// The address that a host spells out: four numbers in decimal, or IPv6 in brackets, without a zone.
/// Other spellings, such as 127.1, are names, and unknown ones: browsers never send them.
fn address(name: &str) -> Option<IpAddr> {
    if let Some(inner) = name.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_canonical());
    }
    let begins_as_one = name.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let address: Ipv4Addr = begins_as_one.then(|| name.parse().ok())??;
    Some(IpAddr::V4(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap_or_else(|_| panic!("{text:?} is a host"))
    }

    fn listening_at(address: &str) -> Hosts {
        Hosts::of(address.parse().expect("an address"))
    }

    #[test]
    fn p22_a_server_on_loopback_knows_its_names_in_every_proper_spelling() {
        let hosts = listening_at("127.0.0.1:8081");
        for name in [
            "localhost",
            "LocalHost",
            "localhost.",
            "localhost:8081",
            "localhost.:1",
            "localhost:",
            "localhost:65535",
            "127.0.0.1",
            "127.0.0.1:8081",
            "127.0.0.1.",
            "[::1]",
            "[::1]:8081",
            "[0:0:0:0:0:0:0:1]",
            "[0000:0::0001]:80",
            "[::ffff:127.0.0.1]",
            "[::FFFF:7f00:1]:8081",
        ] {
            assert!(hosts.knows(name), "{name}");
        }
    }

    #[test]
    fn p22_what_only_looks_like_a_name_of_ours_is_none() {
        let hosts = listening_at("127.0.0.1:8081").and(listening_at("[::1]:8081"));
        for name in [
            "",
            ".",
            ":",
            ":8081",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]]",
            "[::1].",
            "[::1%lo]",
            "[::1%25lo]",
            "[::127.0.0.1]",
            "[::2]",
            "[localhost]",
            "[127.0.0.1]",
            "localhost..",
            ".localhost",
            "localhost:x",
            "localhost:80:80",
            "localhost:+80",
            "localhost:65536",
            "localhost:-1",
            "localhost,localhost",
            "localhost ",
            " localhost",
            "localhost/",
            "localhost\\",
            "localhost#",
            "localhost%2e",
            "local\u{212a}host",
            "localh\u{f6}st",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost:80@evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "localhost.localdomain",
            "localtest.me",
            "lvh.me:8081",
            "127.0.0.1.nip.io",
            "127-0-0-1.sslip.io",
            "www.127.0.0.1",
            "127.0.0.1.evil.example:8081",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.01",
            "127.000.000.001",
            "127.0.0.1..",
            "127.0.0.2",
            "127.0.0.10",
            "10.0.0.1",
            "0.0.0.0",
            "0",
            "[::]",
        ] {
            assert!(!hosts.knows(name), "{name}");
        }
    }

    #[test]
    fn p22_a_server_at_all_addresses_is_known_by_addresses_and_not_by_names() {
        for listener in ["0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:80"] {
            let hosts = listening_at(listener);
            for name in ["10.0.0.5:80", "[fd00::1]", "[::ffff:192.0.2.1]", "127.0.0.1", "localhost"]
            {
                assert!(hosts.knows(name), "{listener} {name}");
            }
            for name in
                ["0.0.0.0", "[::]:80", "[::ffff:0.0.0.0]", "evil.example", "10.0.0.5.nip.io"]
            {
                assert!(!hosts.knows(name), "{listener} {name}");
            }
        }
        let hosts = listening_at("192.0.2.7:80");
        assert!(hosts.knows("192.0.2.7:80") && hosts.knows("localhost"));
        assert!(!hosts.knows("192.0.2.8:80"));
    }

    #[test]
    fn p22_a_name_with_a_port_is_one_at_that_port() {
        let mut hosts = Hosts::default();
        hosts.extend([
            host("Tokenward.Internal:8080"),
            host("web"),
            host("[fd00::7]:80"),
            host("tls:443"),
        ]);
        for name in [
            "tokenward.internal:8080",
            "web",
            "web:1",
            "[fd00:0::7]",
            "[fd00::7]:80",
            "tls",
            "tls:443",
        ] {
            assert!(hosts.knows(name), "{name}");
        }
        for name in ["tokenward.internal", "tokenward.internal:80", "[fd00::7]:8080", "tls:80"] {
            assert!(!hosts.knows(name), "{name}");
        }
        assert!(host("Tokenward.Internal:8080").at_any_port().is("tokenward.internal.:9"));
    }

    #[test]
    fn p22_only_hosts_are_read_as_such() {
        for text in
            ["", "*.internal", "http://a", "a/b", "a b", "a:b", "a..b", "::1", "u@a", "\u{e4}"]
        {
            assert_eq!(text.parse::<Host>(), Err(BadHost), "{text}");
        }
    }
}
