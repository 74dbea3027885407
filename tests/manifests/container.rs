//! The gateway's container of a rendered overlay, started as the kubelet would start it: its arguments,
//! its variables, and its mounts in a folder of the test.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

use crate::support::leaks;
use crate::support::process::{Process, tokenward};

/// What `kubectl kustomize` makes of an overlay, and what an operator fills in beside it.
pub(super) struct Overlay {
    pub(super) name: &'static str,
    pub(super) objects: Vec<Value>,
    by_hand: Vec<Value>,
}

/// A container whose files are there.
pub(super) struct Container {
    /// Takes the place of `/`.
    root: TempDir,
    /// Where volumes are mounted.
    mounts: Vec<String>,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

/// What the operator and the cluster put into Secrets and service accounts, by key.
pub(super) type Filled = BTreeMap<&'static str, String>;

// === impl Overlay ===

impl Overlay {
    pub(super) fn render(name: &'static str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/tools/bin/python");
        let mut command = Command::new(&python);
        let output = command.arg(root.join("tests/manifests/render")).arg(name).output();
        let missing = "tests/run puts it there, from tests/tools.txt";
        let output =
            output.unwrap_or_else(|error| panic!("{}: {error}: {missing}", python.display()));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} is not rendered:\n{said}");
        let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let list = |key: &str| all[key].as_array().expect("a list").clone();
        Self { name, objects: list("objects"), by_hand: list("by_hand") }
    }

    /// The only object of this kind.
    pub(super) fn one(&self, kind: &str) -> &Value {
        let mut found = self.objects.iter().filter(|object| object["kind"] == kind);
        let one = found.next().unwrap_or_else(|| panic!("{}: no {kind}", self.name));
        assert!(found.next().is_none(), "{}: more than one {kind}", self.name);
        one
    }

    /// A Secret of `secret.yaml`, as it stands there.
    pub(super) fn by_hand(&self, name: &str) -> &Value {
        let mut secrets = self.by_hand.iter();
        let secret = secrets.find(|secret| secret["metadata"]["name"] == name);
        secret.unwrap_or_else(|| panic!("secret.yaml has no {name}"))
    }

    /// The pod template of its workload.
    pub(super) fn pod(&self) -> &Value {
        let mut pods = self.objects.iter().map(|object| &object["spec"]["template"]);
        pods.find(|pod| pod.is_object()).expect("a workload")
    }

    /// The gateway's container, whichever list it is in.
    pub(super) fn container(&self) -> &Value {
        let lists = ["initContainers", "containers"].map(|list| &self.pod()["spec"][list]);
        let mut containers = lists.into_iter().filter_map(Value::as_array).flatten();
        containers.find(|one| one["name"] == "tokenward").expect("a container")
    }

    /// A text of the ConfigMap that the container has mounted.
    pub(super) fn config(&self, file: &str) -> Table {
        let text = self.one("ConfigMap")["data"][file].as_str().expect("a file");
        text.parse().expect("TOML")
    }

    /// Writes down all that is mounted.
    pub(super) fn mount(&self, filled: &Filled) -> Container {
        let (pod, container) = (&self.pod()["spec"], self.container());
        let root = tempfile::tempdir().expect("a folder");
        let each = |of: &Value| of.as_array().cloned().unwrap_or_default();
        let text = |of: &Value| of.as_str().expect("a text").to_owned();
        let mounted: Vec<_> = each(&container["volumeMounts"]);
        let mounts = mounted.iter().map(|mount| text(&mount["mountPath"])).collect();
        let mut made = Container {
            root,
            mounts,
            arguments: each(&container["args"]).iter().map(text).collect(),
            environment: BTreeMap::new(),
        };
        for variable in each(&container["env"]) {
            let reference = &variable["valueFrom"]["secretKeyRef"];
            let value = match variable["value"].as_str() {
                Some(value) => value.to_owned(),
                None => self.secret(&text(&reference["name"]), filled)
                    [reference["key"].as_str().expect("a key")]
                .clone(),
            };
            made.environment.insert(text(&variable["name"]), value);
        }
        for mount in &mounted {
            let named = |volume: &&Value| volume["name"] == mount["name"];
            let volumes = each(&pod["volumes"]);
            let volume = volumes.iter().find(named).expect("a mount has a volume");
            let folder = made.place(mount["mountPath"].as_str().expect("a path"));
            fs::create_dir_all(&folder).expect("a folder");
            self.fill(&made, &folder, volume, filled);
        }
        made
    }

    /// Puts into a folder what its volume holds.
    fn fill(&self, container: &Container, folder: &Path, volume: &Value, filled: &Filled) {
        if let Some(name) = volume["configMap"]["name"].as_str() {
            let map = self.one("ConfigMap");
            assert_eq!(map["metadata"]["name"], name, "{}: this one is mounted", self.name);
            for (file, text) in map["data"].as_object().expect("files") {
                let text = container.within(text.as_str().expect("a text"));
                put(folder, file, &text, 0o644);
            }
        } else if let Some(name) = volume["secret"]["secretName"].as_str() {
            // With an `fsGroup` the kubelet lets the group read.
            let mode = volume["secret"]["defaultMode"].as_u64().expect("a mode") | 0o440;
            for (file, text) in self.secret(name, filled) {
                put(folder, &file, &text, u32::try_from(mode).expect("a mode"));
            }
        } else if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            assert_eq!(self.one("PersistentVolumeClaim")["metadata"]["name"], claim);
        } else if let Some(sources) = volume["projected"]["sources"].as_array() {
            for source in sources {
                let file = &source["serviceAccountToken"]["path"];
                let items =
                    ["configMap", "downwardAPI"].map(|kind| &source[kind]["items"][0]["path"]);
                let file = items.into_iter().chain([file]).find_map(Value::as_str);
                let file = file.expect("a file of the service account");
                put(folder, file, &filled[file], 0o440);
            }
        } else {
            panic!("{}: nobody knows what to put into {volume}", self.name);
        }
    }

    /// A Secret that the operator has filled in: every placeholder, and nothing else.
    fn secret(&self, name: &str, filled: &Filled) -> BTreeMap<String, String> {
        let secret = self.by_hand(name);
        assert_eq!(secret["metadata"]["namespace"], self.one("ConfigMap")["metadata"]["namespace"]);
        let data = secret["stringData"].as_object().expect("placeholders");
        let fill = |(key, text): (&String, &Value)| {
            assert_eq!(text, "FILL-IN", "{key} of {name}");
            let value = filled.get(key.as_str());
            (key.clone(), value.unwrap_or_else(|| panic!("what is {key}?")).clone())
        };
        data.iter().map(fill).collect()
    }
}

// === impl Container ===

impl Container {
    /// Starts it with these variables beside its own.
    pub(super) fn start(&self, more: &[(&str, String)]) -> Process {
        let mut command = tokenward();
        command.env_clear().current_dir(self.root.path());
        // What measures the coverage of tests says here where to.
        command.envs(std::env::vars().filter(|(name, _)| name.starts_with("LLVM_")));
        command.args(self.arguments.iter().map(|argument| self.within(argument)));
        command.envs(self.environment.iter().map(|(name, value)| (name, self.within(value))));
        command.envs(more.iter().map(|(name, value)| (*name, value)));
        Process::start(command)
    }

    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// A text in which every path leads to where its mount is here. A path that no mount holds is none of
    /// the container's.
    fn within(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        let mut made = String::new();
        let mut done = 0;
        for (at, _) in text.match_indices('/') {
            let (before, path) = text.split_at(at);
            let is_whole = before.is_empty() || before.ends_with('"');
            let is_mounted = self.mounts.iter().any(|mount| {
                let after = path.strip_prefix(mount.as_str());
                after.is_some_and(|after| after.is_empty() || after.starts_with(['/', '"']))
            });
            assert!(is_mounted || !is_whole, "no volume is mounted for {}", first_line(path));
            if is_mounted && is_whole {
                made.push_str(&text[done..at]);
                made.push_str(&root);
                done = at;
            }
        }
        made + &text[done..]
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn put(folder: &Path, file: &str, text: &str, mode: u32) {
    let path = folder.join(file);
    fs::write(&path, text).expect("written");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
}

/// What stands in Secrets is looked for in all that the gateway says.
pub(super) fn keep_secret(filled: &Filled) {
    for (key, value) in filled {
        // Who somebody is, and certificates, may be told.
        if !key.ends_with("_id") && !key.ends_with(".crt") && *key != "namespace" {
            leaks::secret(value.clone());
        }
    }
}
