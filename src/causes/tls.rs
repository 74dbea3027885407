//! Why there is no TLS with a peer, in words that say what to do.

use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use super::find;
use super::network::find_io;

/// What a failed handshake means: a clause about the peer, and after a semicolon what helps. `None`
/// when TLS has no part in the failure.
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = find::<rustls::Error>(error) {
        return Some(of_tls(error));
    }
    let told = "it hung up during the handshake; is TLS spoken on this port, and does a firewall \
                or proxy stand between?";
    find_io(error)
        .filter(|error| HUNG_UP.contains(&error.kind()))
        .map(|error| format!("{told} ({error})"))
}

/// Whether the peer, after the handshake was over for us, turned down our certificate or the lack
/// of one, as TLS 1.3 has it. It has read no request by then.
pub fn turned_down(error: &(dyn Error + 'static)) -> bool {
    matches!(find(error), Some(rustls::Error::AlertReceived(alert)) if is_of_certificate(*alert))
}

fn of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        rustls::Error::InvalidMessage(why) => format!(
            "what answers there does not speak TLS ({why:?}); is it plain HTTP, so that `base_url` \
             begins with http://, or is the port another?"
        ),
        rustls::Error::PeerIncompatible(why) => {
            format!("it shares no protocol version or cipher with us ({why:?}); {VERSION_ADVICE}")
        }
        other => format!("it breaks the rules of TLS; tell its operator ({other})"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::ExpiredContext { time, not_after } => format!(
            "its certificate expired on {}; the vendor has to renew it, unless the clock here is \
             wrong ({})",
            date(*not_after),
            date(*time)
        ),
        E::NotValidYetContext { time, not_before } => format!(
            "its certificate is not valid before {}; is the clock here right ({})?",
            date(*not_before),
            date(*time)
        ),
        E::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            let names = names(presented);
            format!(
                "its certificate is not for {expected} but for {names}; correct `base_url`, or \
                 give the vendor's name in `tls.server_name`"
            )
        }
        E::UnknownIssuer => "nobody who is trusted here has issued its certificate (unknown \
                             issuer); if the issuer is to be trusted, put its certificate into \
                             `tls.ca_file`"
            .to_owned(),
        E::Revoked => "its certificate was revoked; the vendor has to replace it".to_owned(),
        other => {
            format!("its certificate cannot be accepted; the vendor has to replace it ({other})")
        }
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => {
            format!("it refused our protocol versions; {VERSION_ADVICE}")
        }
        AlertDescription::CertificateRequired => "it demands a client certificate; give one in \
                                                  `tls.client_cert` and `tls.client_key`"
            .to_owned(),
        alert if is_of_certificate(alert) => format!(
            "it did not accept our client certificate, or the lack of one ({alert:?}); check \
             `tls.client_cert` and `tls.client_key`"
        ),
        AlertDescription::UnrecognisedName => {
            "it knows nobody of this name; correct `base_url` or `tls.server_name`".to_owned()
        }
        AlertDescription::HandshakeFailure => format!(
            "it refused the handshake (HandshakeFailure): no cipher in common, or it demands a \
             client certificate; {VERSION_ADVICE}, and see `tls.client_cert`"
        ),
        alert => format!("it broke TLS off with an alert ({alert:?}); ask its operator why"),
    }
}

fn is_of_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

/// rustls has them as `DnsName("a.test")`. They come from whom nobody trusts: few and short ones.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name at all".to_owned();
    }
    let bare = |name: &String| -> String {
        let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inside.unwrap_or(name).trim_matches('"').chars().take(LONGEST_NAME).collect()
    };
    let shown: Vec<_> = presented.iter().take(MOST_NAMES).map(bare).collect();
    let more = presented.len().saturating_sub(MOST_NAMES);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(", ") + &more
}

fn date(time: UnixTime) -> String {
    // A certificate can name years that the system's clock cannot.
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    let last = UNIX_EPOCH + LAST_DATE;
    let time: SystemTime = time.filter(|time| *time < last).unwrap_or(last);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// What a peer's abrupt end looks like.
const HUNG_UP: [ErrorKind; 4] = [
    ErrorKind::UnexpectedEof,
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::BrokenPipe,
];
const VERSION_ADVICE: &str = "TLS 1.3 and 1.2 are spoken, and nothing below `tls.min_version`";
const MOST_NAMES: usize = 5;
/// As long as a name in the DNS can be.
const LONGEST_NAME: usize = 253;
/// The end of the year 9999.
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);
