//! The sandbox behind TLS.

use super::*;

#[tokio::test]
async fn the_sandbox_speaks_tls() {
    let key = rcgen::generate_simple_self_signed(["vendor.test".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der());
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], private.unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let sandbox = Sandbox::new(Settings::default());
    tokio::spawn(sandbox.serve_tls(listener, shutdown.clone(), Arc::new(server)));
    let _stop = shutdown.drop_guard();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("vendor.test").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(jing_mint().as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    timeout(DEADLINE, read).await.unwrap().unwrap();
    assert_eq!(Answered::parse(&answer).json()["code"], 0);
}
