use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::parse;

const KEY: &str = "0123456789abcdef01234567";
const OTHER: &str = "0123456789abcdef01234568";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn put(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    }

    fn read(&self, text: &str) -> Listed {
        self.put("clients.toml", text, 0o600);
        self.file().read()
    }

    fn file(&self) -> ClientsFile {
        let known = |name: &str| KnownUpstream {
            name: name.to_owned(),
            vendor: parse::vendor("aiclk").expect("a description"),
            base: "/base".to_owned(),
        };
        let upstreams = ["ads", "ads2"].map(known).into();
        ClientsFile { path: self.0.path().join("clients.toml"), upstreams }
    }

    #[track_caller]
    fn mistake(&self, text: &str) -> String {
        let report = self.read(text).clients.expect_err("a mistake").to_string();
        assert!(!report.contains(KEY) && !report.contains(OTHER), "{report}");
        report.replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn p21_clients_are_read_with_their_keys_names_and_rules() {
    let folder = Folder::new();
    folder.put("new", &format!("{OTHER}\n"), 0o600);
    let hash = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
    let listed = folder.read(&format!(
        "[a]\nkey = [\"{KEY}\", {{ file = \"new\" }}, {{ file = \"./new\" }}]\nadmin = true\n\
         [b_2]\nkey = {{ sha256 = \"{hash}\" }}\ncertificate = [\"App.internal\", \"spiffe://P/app\"]\n\
         [b_2.upstream.ads]\nmethods = [\"GET\"]\npaths = [\"/v1/*\"]\n\
         [c]\ncertificate = \"c.internal\"\nupstream.ads2.paths = [\"POST /x\"]\n\
         [d]\nkey = \"{KEY}9\"\nadmin = true\nupstream = {{}}\n"
    ));
    let clients = listed.clients.unwrap_or_else(|report| panic!("{report}"));
    let [a, b, c, d] = &clients[..] else { panic!("{clients:?}") };
    assert_eq!(
        a.keys,
        [clients::KeyHash::of(KEY.as_bytes()), clients::KeyHash::of(OTHER.as_bytes())]
    );
    assert!(a.admin && !b.admin && a.upstreams.iter().flatten().all(|list| list.is_open()));
    assert_eq!(b.keys, [clients::KeyHash::of(b"key")]);
    assert_eq!(b.certificates, ["app.internal", "spiffe://P/app"]);
    let get = http::Method::GET;
    let ads = b.upstreams[0].as_ref().expect("granted");
    assert!(ads.admits(&get, "/base/v1/x").is_ok() && ads.admits(&get, "/base/v2/x").is_err());
    assert!(b.upstreams[1].is_none() && c.upstreams[0].is_none());
    assert!(d.upstreams.iter().all(Option::is_none));
    assert_eq!(listed.files.len(), 3, "{:?}", listed.files);
    assert_eq!(listed.warnings, Vec::<String>::new());
}

#[test]
fn p32_mistakes_in_the_list_are_shown_in_their_places() {
    let folder = Folder::new();
    folder.put("short", "hunter22hunter22", 0o600);
    folder.put("same", KEY, 0o600);
    let good = format!("[a]\nkey = \"{KEY}\"\n");
    for (text, expected) in [
        (format!("[A]\nkey = \"{KEY}\"\n"), "clients.toml:1:2: error: a client's name has"),
        (format!("[{}]\nkey = \"{KEY}\"\n", "a".repeat(65)), "at most 64"),
        ("[a]\n".to_owned(), "clients.toml:1:2: error: nobody can be `a`"),
        ("a = 1\n".to_owned(), "clients.toml:1:5: error: `a` is a whole number"),
        ("a = \"hunter22hunter22hunter22\"\n".to_owned(), "error: `a` is a string"),
        (
            "[a]\nkey = \"hunter22\"\n".to_owned(),
            "clients.toml:2:7: error: a key has at least 24 bytes",
        ),
        ("[a]\nkey = { file = \"short\" }\n".to_owned(), "openssl rand -hex 32"),
        ("[a]\nkey = { file = \"none\" }\n".to_owned(), "none cannot be read"),
        ("[a]\nkey = { env = \"TOKENWARD_NO_SUCH\" }\n".to_owned(), "TOKENWARD_NO_SUCH is not set"),
        ("[a]\nkey = { sha256 = \"2c70\" }\n".to_owned(), "a SHA-256 has 64 hex digits"),
        ("[a]\nkey = { sha265 = \"2c70\" }\n".to_owned(), "did you mean `sha256`?"),
        (
            "[a]\nkey = { env = \"A\", file = \"b\" }\n".to_owned(),
            "`key` is a table that does not fit",
        ),
        ("[a]\nkey = 5\n".to_owned(), "{ sha256 = \"64 hex digits\" }"),
        ("[a]\nkey = []\n".to_owned(), "nobody can be `a`"),
        (format!("[a]\nkey = \"{} {KEY}\"\n", "x"), "only visible ASCII characters"),
        (format!("{good}keys = 1\n"), "clients.toml:3:1: error: unknown key `keys`"),
        (
            format!("{good}[b]\nkey = {{ file = \"same\" }}\n"),
            "clients.toml:4:1: error: `a` has this key",
        ),
        ("[a]\ncertificate = \"*.internal\"\n".to_owned(), "no name of a certificate"),
        ("[a]\ncertificate = [\"\"]\n".to_owned(), "clients.toml:2:16: error"),
        (
            "[a]\ncertificate = \"x.y\"\n[b]\ncertificate = \"X.Y\"\n".to_owned(),
            "clients.toml:4:15: error: `a` has this name already",
        ),
        (
            format!("{good}[a.upstream.adds]\n"),
            "clients.toml:3:13: error: there is no upstream `adds`",
        ),
        (format!("{good}[a.upstream.adds]\n"), "did you mean `ads`?"),
        (format!("{good}[a.upstream.zzzzzz]\n"), "there are: ads, ads2"),
        (format!("{good}upstream = {{}}\n"), "`a` may call nothing"),
        (
            "[a]\ncertificate = \"x.y\"\nadmin = true\n".to_owned(),
            "clients.toml:3:9: error: `a` has no key, which alone opens the admin address",
        ),
        (format!("{good}[a.upstream.ads]\nmethods = [\"get\"]\n"), "clients.toml:4:12: error"),
        (format!("{good}[a.upstream.ads]\npaths = [\"x\"]\n"), "clients.toml:4:10: error"),
        (format!("{good}[a.upstream.ads]\npaths = []\n"), "an empty list lets nothing pass"),
        (format!("{good}[a.upstream.ads]\npreset = \"none\"\n"), "has no preset"),
        (format!("{good}[a.upstream.ads]\nnope = 1\n"), "unknown key `nope`"),
        ("[a\n".to_owned(), "clients.toml:1:3: error"),
        ("[a]\nkey = \"\u{1}\"".to_owned(), "error"),
    ] {
        let shown = folder.mistake(&text);
        assert!(shown.contains(expected), "{expected:?} is not in:\n{shown}");
        assert!(!shown.contains("hunter22"), "{shown}");
    }
}

#[test]
fn p32_one_mistake_is_told_once_and_all_at_once() {
    let folder = Folder::new();
    let one = folder.mistake("[a]\nkey = { fiel = \"x\" }\n");
    assert!(one.ends_with("\n1 mistake"), "{one}");
    let all =
        folder.mistake("[A]\nkey = \"short\"\n[b]\n[c]\nkey = 1\nupstream.x.paths = [\"y\"]\n");
    assert!(all.ends_with("\n5 mistakes"), "{all}");
}

#[test]
fn p32_a_list_that_is_no_text_or_not_there_is_a_mistake() {
    let folder = Folder::new();
    let shown = |folder: &Folder| folder.file().read().clients.expect_err("a mistake").to_string();
    assert!(shown(&folder).contains("clients.toml:1:1: error: the file cannot be read"));
    fs::write(folder.file().path, b"a = \"\xff\"").expect("written");
    assert!(shown(&folder).contains("not text in UTF-8"));
    fs::write(folder.file().path, " ".repeat(LARGEST as usize + 1)).expect("written");
    assert!(shown(&folder).contains("larger than 1048576 bytes"));
}

#[test]
fn p26_a_list_that_others_can_read_is_told() {
    let folder = Folder::new();
    let hashed = format!("[a]\nkey = {{ sha256 = \"{}\" }}\n", "0".repeat(64));
    for (text, mode, told) in [
        (format!("[a]\nkey = \"{KEY}\"\n"), 0o600, 0),
        (format!("[a]\nkey = \"{KEY}\"\n"), 0o604, 1),
        (hashed, 0o644, 0),
        ("[a]\nkey = { file = \"key\" }\n".to_owned(), 0o644, 1),
        (String::new(), 0o644, 1),
    ] {
        folder.put("key", KEY, 0o640);
        folder.put("clients.toml", &text, mode);
        let listed = folder.file().read();
        assert!(listed.clients.is_ok());
        assert_eq!(listed.warnings.len(), told, "{text:?} {:?}", listed.warnings);
    }
}
