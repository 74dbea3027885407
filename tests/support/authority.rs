//! A certificate authority of the test's own, and what servers and clients show that it vouches for.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a server of this name shows; with `clients` it wants to see a certificate as well.
    pub fn server(&self, name: &str, clients: bool) -> ServerConfig {
        self.server_of(rustls::ALL_VERSIONS, &[name], clients, |_| {})
    }

    /// The same for names, changed in what makes it good.
    pub fn server_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> ServerConfig {
        self.server_of(rustls::ALL_VERSIONS, names, false, change)
    }

    pub fn server_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        names: &[&str],
        clients: bool,
        change: impl FnOnce(&mut CertificateParams),
    ) -> ServerConfig {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let (certificate, key) = self.issue(names, usage, change);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let builder = ServerConfig::builder_with_protocol_versions(versions);
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        builder.with_single_cert(vec![certificate.der().clone()], key).expect("a server's config")
    }

    /// A server's certificate and its key, in PEM.
    pub fn server_pem(&self, names: &[&str]) -> (String, String) {
        let (certificate, key) = self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, |_| {});
        (certificate.pem(), key.serialize_pem())
    }

    /// A client's certificate and its key, in PEM.
    pub fn client(&self, name: &str) -> (String, String) {
        let (certificate, key) = self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth, |_| {});
        (certificate.pem(), key.serialize_pem())
    }

    /// The same for names, changed in what makes it good.
    pub fn client_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let (certificate, key) = self.issue(names, ExtendedKeyUsagePurpose::ClientAuth, change);
        (certificate.pem(), key.serialize_pem())
    }

    /// A list that revokes the certificates with these serial numbers, in PEM.
    pub fn revokes(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).expect("a list").pem().expect("PEM")
    }

    fn issue(
        &self,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Certificate, KeyPair) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![usage];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }
}
