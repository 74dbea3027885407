//! What a pod finds in its place: a cluster behind TLS, and a service account in a folder.

use std::path::PathBuf;

use tempfile::TempDir;
use tokenward::token::store::Store;
use tokenward::token::store::kubernetes::{Config, KubernetesStore};
use tokenward::upstream::tls;

use super::authority::Authority;
use super::kubernetes::{Cluster, NAMESPACE, SECRET, TOKEN};

pub struct Pod {
    pub cluster: Cluster,
    folder: TempDir,
}

impl Pod {
    pub async fn new() -> Self {
        let authority = Authority::new("the cluster");
        let cluster = Cluster::start(Some(authority.server("localhost", false))).await;
        let pod = Self { cluster, folder: tempfile::tempdir().expect("a folder") };
        pod.put("ca.crt", &authority.pem());
        pod.put("namespace", NAMESPACE);
        pod.put("token", &format!("{TOKEN}\n"));
        pod
    }

    /// A file of the service account.
    pub fn put(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("written");
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A store as one replica has it.
    pub fn store(&self) -> Store {
        let config = Config {
            server: self.cluster.url().parse().expect("a URL"),
            namespace: NAMESPACE.to_owned(),
            secret: SECRET.to_owned(),
            token_file: Some(self.folder().join("token")),
        };
        let ca_file = Some(self.folder().join("ca.crt"));
        let files = tls::Config { ca_file, ..tls::Config::default() };
        let tls = tls::client_config(&files, true).expect("TLS");
        KubernetesStore::new(config, tls).expect("a store").into()
    }

    /// The table `store` of a gateway in this pod.
    pub fn config(&self) -> String {
        let (url, folder) = (self.cluster.url(), self.folder());
        let folder = folder.display();
        format!("[store]\nkind = \"kubernetes\"\nurl = \"{url}\"\nservice_account = \"{folder}\"\n")
    }
}
