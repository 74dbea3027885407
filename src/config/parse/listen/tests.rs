use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::config::{Config, parse};
use crate::document::Document;

/// A folder with certificates, and a config that may name them.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["ours", "other"] {
            let made = rcgen::generate_simple_self_signed([format!("{name}.test")]);
            let rcgen::CertifiedKey { cert, signing_key } = made.expect("a certificate");
            fs::write(folder.path().join(format!("{name}.pem")), cert.pem()).expect("written");
            let key = signing_key.serialize_pem();
            fs::write(folder.path().join(format!("{name}.key")), key).expect("written");
        }
        fs::write(folder.path().join("text.pem"), "hello").expect("written");
        let client = "[billing]\nkey = \"0123456789abcdef0123456789abcdef\"\n";
        fs::write(folder.path().join("clients.toml"), client).expect("written");
        let folder = Self(folder);
        for name in ["ours.key", "other.key", "clients.toml"] {
            folder.set_mode(name, 0o600);
        }
        folder
    }

    fn set_mode(&self, name: &str, mode: u32) {
        let path = self.0.path().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of ours");
    }

    fn parse(&self, top: &str, listen: &str) -> Result<Config, String> {
        let text = format!(
            "{top}\n[upstream.ads]\nvendor = \"aiclk\"\ncredentials.client_id = \"c\"\n{listen}\n"
        );
        let (document, mut report) = Document::parse("tokenward.toml", text);
        match parse::config(&document, self.0.path(), &mut report) {
            Some(config) => Ok(config),
            None => Err(report.to_string()),
        }
    }

    #[track_caller]
    fn good(&self, top: &str, listen: &str) -> Config {
        self.parse(top, listen).unwrap_or_else(|report| panic!("{top} {listen}: {report}"))
    }

    #[track_caller]
    fn mistake(&self, top: &str, listen: &str) -> String {
        self.parse(top, listen).map(|_| ()).expect_err("a mistake")
    }
}

const FILE: &str = "clients.file = \"clients.toml\"";
const LOCAL: &str = "listen = \"127.0.0.1:0\"";

#[test]
fn p21_other_machines_may_call_when_that_is_said_and_who() {
    let folder = Folder::new();
    for address in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "[::ffff:192.0.2.1]:80"] {
        let listen = format!("listen = \"{address}\"");
        let allowed = format!("{listen}\nallow_remote = true");
        for (top, listen, said) in [
            ("", &listen, "say `upstream.ads.allow_remote = true`, and in a table `[clients]`"),
            ("", &allowed, "name them in a file, by `file = \"clients.toml\"`"),
            (FILE, &listen, "say `upstream.ads.allow_remote = true` if they may"),
        ] {
            let shown = folder.mistake(top, listen);
            assert!(shown.contains("other machines can reach this address"), "{shown}");
            assert!(shown.contains(said), "{said}: {shown}");
            assert!(shown.contains("tokenward.toml:5:10: "), "{shown}");
        }
        let config = folder.good(FILE, &allowed);
        let warned = config.warnings.iter().any(|it| it.contains("cross the network in plain"));
        assert!(warned, "{:?}", config.warnings);
        let tls = format!("{FILE}\nclients.tls = {{ cert = \"ours.pem\", key = \"ours.key\" }}");
        let config = folder.good(&tls, &allowed);
        assert!(!config.warnings.iter().any(|it| it.contains("plain")), "{:?}", config.warnings);
        let gateway = format!("[gateway]\nlisten = \"{address}\"");
        assert!(folder.mistake(&gateway, LOCAL).contains("`gateway.allow_remote = true`"));
    }
    for local in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "unix:/x"] {
        let config = folder.good("", &format!("listen = \"{local}\""));
        assert_eq!(config.warnings, [""; 0], "{local}");
    }
}

#[test]
fn p32_files_of_callers_tls_are_tried_and_mistakes_stand_at_their_key() {
    let folder = Folder::new();
    let tls = |keys: &str| format!("[clients]\nfile = \"clients.toml\"\n[clients.tls]\n{keys}");
    for (keys, place, problem) in [
        ("cert = \"ours.pem\"", "3:10", "both `cert` and `key`"),
        ("client_ca = \"other.pem\"", "3:10", "which needs `cert` and `key`"),
        ("cert = \"none.pem\"\nkey = \"ours.key\"", "4:8", "none.pem: cannot be read"),
        ("cert = \"text.pem\"\nkey = \"ours.key\"", "4:8", "no certificate in PEM"),
        ("cert = \"ours.pem\"\nkey = \"text.pem\"", "5:7", "no private key in PEM"),
        ("cert = \"ours.pem\"\nkey = \"other.key\"", "5:7", "not the key of the certificate"),
        (
            "cert = \"ours.pem\"\nkey = \"ours.key\"\nclient_ca = \"text.pem\"",
            "6:13",
            "no certificate in PEM",
        ),
        (
            "cert = \"ours.pem\"\nkey = \"ours.key\"\nclient_crl = \"ours.pem\"",
            "6:14",
            "this needs `client_ca`",
        ),
        (
            "cert = \"ours.pem\"\nkey = \"ours.key\"\nclient_ca = \"other.pem\"\n\
             client_crl = \"ours.pem\"",
            "7:14",
            "no revocation list (X509 CRL) in PEM",
        ),
    ] {
        let shown = folder.mistake(&tls(keys), LOCAL);
        assert!(shown.contains(&format!("tokenward.toml:{place}: ")), "{problem}: {shown}");
        assert!(shown.contains(problem), "{problem}: {shown}");
    }
    let unnamed = tls("cert = \"ours.pem\"\nkey = \"ours.key\"\nclient_ca = \"other.pem\"")
        .replace("file = \"clients.toml\"", "");
    let shown = folder.mistake(&unnamed, LOCAL);
    assert!(shown.contains("`clients.file` is missing"), "{shown}");

    let good = tls("cert = \"ours.pem\"\nkey = \"ours.key\"\nclient_ca = \"other.pem\"");
    assert_eq!(folder.good(&good, LOCAL).warnings, [""; 0]);
    folder.set_mode("ours.key", 0o644);
    let warnings = folder.good(&good, LOCAL).warnings;
    assert!(warnings[0].contains("ours.key can be read by others"), "{warnings:?}");
}

#[test]
fn p21_a_socket_has_a_mode_and_an_owner_of_the_systems_lists() {
    let folder = Folder::new();
    let unix = |socket: &str| format!("listen = \"unix:/run/x.sock\"\nsocket = {socket}");
    let of = |socket: &str| {
        let config = folder.good("", &unix(socket));
        let socket = config.upstreams[0].listen.as_ref().expect("a listener").socket;
        (socket.mode.bits(), socket.owner, socket.group, config.warnings.len())
    };
    assert_eq!(of("{}"), (0o600, None, None, 0));
    assert_eq!(of("{ mode = \"0660\", group = \"1234\" }"), (0o660, None, Some(1234), 0));
    assert_eq!(of("{ owner = \"root\", group = \"root\" }"), (0o600, Some(0), Some(0), 0));
    assert_eq!(of("{ mode = \"0666\" }"), (0o666, None, None, 1), "it is open to all: a warning");
    for (socket, problem) in [
        ("{ mode = 660 }", "a number, and not the text of a mode"),
        ("{ mode = \"0444\" }", "nobody could connect"),
        ("{ owner = \"nobody-has-this-name\" }", "no user of this name in /etc/passwd"),
        ("{ group = \"nobody-has-this-name\" }", "no group of this name in /etc/group"),
        ("{ user = \"root\" }", "unknown key `user`"),
    ] {
        let shown = folder.mistake("", &unix(socket));
        assert!(shown.contains(problem), "{problem}: {shown}");
    }
    let shown = folder.mistake("", &format!("{LOCAL}\nsocket = {{ mode = \"0660\" }}"));
    assert!(shown.contains("only a `unix:` address has a socket"), "{shown}");
}
