//! Whom this machine trusts: its own CA certificates, or bundled ones where it has none.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls_native_certs::{CertificateResult, load_native_certs};
use tracing::{debug, warn};

/// The same for all upstreams, and read once: it takes a tenth of a second. Empty only where the
/// environment names certificates and there are none.
pub(super) fn platform() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || Arc::new(choose(load_native_certs(), are_named()));
    ROOTS.get_or_init(load).clone()
}

/// Whoever names certificates wants these and no others: the bundled ones trust far more.
fn choose(found: CertificateResult, named: bool) -> RootCertStore {
    for error in &found.errors {
        debug!(%error, "a CA certificate of this machine cannot be read");
    }
    let mut roots = RootCertStore::empty();
    // What cannot be parsed among the system's certificates is no reason to trust none of them.
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return roots;
    }
    let cause = found.errors.first().map(tracing::field::display);
    if named {
        warn!(cause, "SSL_CERT_FILE or SSL_CERT_DIR is set, and leads to no CA certificate");
        return roots;
    }
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    let certificates = roots.len();
    warn!(certificates, cause, "this machine has no CA certificates: the bundled ones are trusted");
    roots
}

fn are_named() -> bool {
    NAMED_BY.iter().any(|name| std::env::var_os(name).is_some())
}

const NAMED_BY: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_roots_stand_in_where_the_machine_has_none_of_its_own() {
        let nothing = CertificateResult::default;
        assert!(choose(nothing(), false).len() > 100);
        assert!(choose(nothing(), true).is_empty(), "the operator has named others");
        let mut own = nothing();
        own.certs = webpki_root_certs::TLS_SERVER_ROOT_CERTS[..2].to_vec();
        assert_eq!(choose(own, false).len(), 2);
    }

    #[test]
    fn roots_are_read_once() {
        assert!(Arc::ptr_eq(&platform(), &platform()));
    }
}
