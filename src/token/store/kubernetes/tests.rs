//! The store against a server of the tests' own.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::super::contract;
use super::*;

#[path = "../../../../tests/support/kubernetes.rs"]
#[allow(dead_code, unreachable_pub, reason = "it serves the tests of the whole gateway")]
mod fake;

/// A store as one replica has it.
fn store(cluster: &fake::Cluster, folder: &std::path::Path) -> KubernetesStore {
    let token_file = folder.join("token");
    std::fs::write(&token_file, fake::TOKEN).expect("written");
    let config = Config {
        server: cluster.url().parse().expect("a URL"),
        namespace: fake::NAMESPACE.to_owned(),
        secret: fake::SECRET.to_owned(),
        token_file: Some(token_file),
    };
    let tls = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
    KubernetesStore::new(config, Arc::new(tls.with_no_client_auth())).expect("a store")
}

#[tokio::test]
async fn p17_a_secret_does_what_every_store_must_do() {
    let (cluster, folder) = (fake::Cluster::start(None).await, tempfile::tempdir().expect("one"));
    contract::holds(&store(&cluster, folder.path())).await;
}

#[tokio::test]
async fn p17_of_writers_in_many_processes_one_wins() {
    let (cluster, folder) = (fake::Cluster::start(None).await, tempfile::tempdir().expect("one"));
    let stores: Vec<_> = (0..4).map(|_| store(&cluster, folder.path())).collect();
    contract::one_of_many_writers_wins(&stores.iter().collect::<Vec<_>>()).await;
}
