use super::*;

fn parse(text: &str) -> Result<Config, String> {
    let (document, mut report) = Document::parse("tokenward.toml", text);
    let folder = tempfile::tempdir().expect("a folder");
    match config(&document, folder.path(), &mut report) {
        Some(config) => Ok(config),
        None => Err(report.to_string()),
    }
}

fn mistake(text: &str) -> String {
    parse(text).map(|_| ()).expect_err("a mistake")
}

const ADS: &str = "[upstream.ads]
vendor = \"aiclk\"
listen = \"127.0.0.1:8082\"
credentials.client_id = \"c\"
";

#[test]
fn p32_the_least_config_has_careful_defaults() {
    let config = parse(ADS).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(config.admin.to_string(), "127.0.0.1:9464");
    let crate::config::StorePlace::File { path, .. } = &config.store.place else {
        panic!("{:?}", config.store)
    };
    assert!(path.ends_with("tokens.json"));
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.base_url, upstream.vendor.base_url);
    assert_eq!((upstream.look_limit, upstream.replay_limit), (64 << 10, 1 << 20));
    assert_eq!(upstream.refresh.limits.per_day, 300);
    assert_eq!(upstream.refresh.schedule.margin, Duration::from_secs(300));
    assert_eq!((config.shutdown.minimum, config.shutdown.grace), (Duration::ZERO, GRACE));
    assert!(upstream.seed.is_none() && upstream.guard.allowed.is_open());
}

#[test]
fn p32_the_operators_rules_come_before_the_vendors() {
    let rule = "[[upstream.ads.reject]]\nname = \"mine\"\npointer = \"/code\"\nin = [40102]\n\
                verdict = \"expired\"\n";
    let config = parse(&format!("{ADS}{rule}")).unwrap_or_else(|report| panic!("{report}"));
    let names: Vec<_> = config.upstreams[0].rules.iter().map(|(_, rule)| rule.name()).collect();
    assert_eq!(names, ["mine", "http-401", "code-401", "token-message"]);
    let success = rule.replace("40102", "200");
    assert!(mistake(&format!("{ADS}{success}")).contains("calls a success"));
}

#[test]
fn p21_only_this_machine_may_call() {
    let text = ADS.replace("127.0.0.1:8082", "0.0.0.0:8082");
    assert!(mistake(&text).starts_with("tokenward.toml:3:10: "), "{}", mistake(&text));
    let admin = |more: &str| format!("[admin]\nlisten = \"0.0.0.0:1\"\n{more}\n{ADS}");
    assert!(mistake(&admin("")).contains("allow_remote"));
    parse(&admin("allow_remote = true")).unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn p32_allowed_hosts_are_hosts() {
    for host in ["*.internal", "http://web", "web/x", "web:x", "fd00::5", ""] {
        for (table, line) in [("admin", "2:18"), ("upstream.ads.guard", "6:18")] {
            let text = format!("[{table}]\nallowed_hosts = [\"{host}\"]\n");
            let text = if table == "admin" { text + ADS } else { ADS.to_owned() + &text };
            let told = mistake(&text);
            assert!(told.starts_with(&format!("tokenward.toml:{line}: ")), "{told}");
            assert!(told.contains("this is not a host") && told.contains("[fd00::5]"), "{told}");
        }
    }
    let hosts = "guard.allowed_hosts = [\"Web\", \"web:8080\", \"10.0.0.5\", \"[fd00::5]:80\"]\n";
    let config = parse(&format!("{ADS}{hosts}")).unwrap_or_else(|report| panic!("{report}"));
    let known = &config.upstreams[0].guard.hosts;
    assert!(known.knows("web:1") && known.knows("[fd00:0::5]") && !known.knows("[fd00::5]:1"));
}

#[test]
fn p32_mistakes_between_keys_are_found() {
    for (text, expected) in [
        (String::new(), "there is no upstream"),
        (ADS.replace("listen = \"127.0.0.1:8082\"\n", ""), "`upstream.ads.listen` is missing"),
        (format!("[admin]\nlisten = \"127.0.0.1:8082\"\n{ADS}"), "has this address already"),
        (ADS.replace("credentials.client_id = \"c\"", ""), "credentials.client_id` is missing"),
        (ADS.replace("client_id", "clientid"), "has no credential `clientid`"),
        (ADS.replace("\"aiclk\"", "\"aicl\""), "did you mean \"aiclk\"?"),
        (ADS.replace("\"aiclk\"", "\"./none.toml\""), "none.toml:1:1: error: the file cannot"),
        (ADS.replace("upstream.ads", "upstream.Ads"), "lower-case letters"),
        (format!("{ADS}timeouts.idle = \"0s\"\n"), "`timeouts.idle` must be more than nothing"),
        (format!("{ADS}inject.nope = false\n"), "injects nothing of this name"),
        (format!("{ADS}tls.client_cert = \"c.pem\"\n"), "both `client_cert` and `client_key`"),
        (format!("{ADS}tls.server_name = \"a.test:443\"\n"), "no certificate can have such a name"),
        (format!("{ADS}tls.server_name = \"*.a.test\"\n"), "a name alone"),
        (
            format!("{ADS}base_url = \"http://a.test\"\ntls.server_name = \"a.test\"\n"),
            "this `base_url` has no TLS",
        ),
        (format!("{ADS}base_url = \"https://a..test\"\n"), "the name of this host"),
        (format!("{ADS}tls.min_version = \"1.1\"\n"), "1.1"),
        (format!("{ADS}guard.paths = [\"openapi\"]\n"), "a path pattern begins with"),
        (format!("{ADS}guard.methods = [\"get\"]\n"), "written in capitals"),
        (format!("{ADS}guard.methods = []\n"), "without `methods` everything may"),
        (format!("{ADS}guard.paths = []\n"), "an empty list lets nothing pass"),
        (format!("{ADS}guard.paths = [\"get /x\"]\n"), "written in capitals"),
        (format!("{ADS}guard.paths = [\"/x/{{id}}\"]\n"), "`{` cannot be in it"),
        (format!("{ADS}guard.preset = \"read_only\"\n"), "did you mean \"read-only\"?"),
        (format!("{ADS}guard.preset = \"write\"\n"), "expected read-only"),
        (format!("log.level = \"inof\"\n{ADS}"), "is not one: give error, warn, info"),
        (format!("admin.listen = \"unix:/run/a.sock\"\n{ADS}"), "the admin address is"),
        (format!("[store]\npath = \"no/such/tokens.json\"\n{ADS}"), "there is no folder"),
        (format!("shutdown.minimum = \"25s\"\n{ADS}"), "tokenward.toml:1:20: error: nothing would"),
        (
            format!("shutdown = {{ minimum = \"5s\", grace = \"4s\" }}\n{ADS}"),
            "grace`, which is 4s",
        ),
    ] {
        let shown = mistake(&text);
        assert!(shown.contains(expected), "{expected:?} is not in:\n{shown}");
    }
}

#[test]
fn a_vendor_has_its_own_name_wherever_base_url_leads() {
    let text = format!("{ADS}base_url = \"https://10.0.0.1:8443/v2\"\n");
    for (more, known_as) in [
        ("", "https://10.0.0.1:8443/v2"),
        ("tls.server_name = \"API.test\"\n", "https://api.test:8443/v2"),
    ] {
        let config = parse(&format!("{text}{more}")).unwrap_or_else(|report| panic!("{report}"));
        let upstream = &config.upstreams[0];
        assert_eq!(upstream.base_url.to_string(), "https://10.0.0.1:8443/v2");
        assert_eq!(upstream.identity.to_string(), known_as);
    }
}

#[test]
fn p32_a_name_that_no_certificate_has_is_shown_in_its_place() {
    let shown = mistake(&format!("{ADS}tls.server_name = \"https://a.test\"\n"));
    assert!(shown.starts_with("tokenward.toml:5:19: "), "{shown}");
}

#[test]
fn p32_all_mistakes_are_told_at_once() {
    let text =
        format!("[admin]\nlisten = \"nowhere\"\n{ADS}tls.ca = 1\nguard.methods = [\"G T\"]\n");
    let shown = mistake(&text);
    for part in ["`listen`", "unknown key `ca`", "this is not a method", "3 mistakes"] {
        assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
    }
}

const REDIS: &str = "[store]\nkind = \"redis\"\n";

#[test]
fn p32_a_redis_store_is_read_from_its_url_or_its_sentinels() {
    use crate::token::store::redis::{Place, Server};
    for (keys, server, database, tls) in [
        ("url = \"redis://a.test\"", "a.test:6379", 0, false),
        ("url = \"rediss://[::1]:7000/3\"", "[::1]:7000", 3, true),
        ("url = \"unix:/run/r.sock?db=2\"", "unix:/run/r.sock", 2, false),
        ("url = \"unix:///run/r.sock\"", "unix:/run/r.sock", 0, false),
        (
            "sentinels = [\"a.test\", \"[::1]:7\"]\nmaster = \"m\"",
            "m (by the sentinels a.test:26379, [::1]:7)",
            0,
            false,
        ),
        (
            "sentinels = [\"rediss://a.test:5\"]\nmaster = \"m\"",
            "m (by the sentinels a.test:5)",
            0,
            true,
        ),
    ] {
        let config = parse(&format!("{REDIS}{keys}\n{ADS}"));
        let config = config.unwrap_or_else(|report| panic!("{keys}: {report}"));
        let crate::config::StorePlace::Redis { redis, tls: found } = config.store.place else {
            panic!("{keys}")
        };
        assert_eq!((redis.server.to_string().as_str(), redis.database), (server, database));
        assert_eq!((found.is_some(), redis.key_prefix.as_str()), (tls, "tokenward:"));
    }
    let text = format!("{REDIS}url = \"redis://me%40x:p%3Ass@a.test/1\"\n{ADS}");
    let config = parse(&text).unwrap_or_else(|report| panic!("{report}"));
    let crate::config::StorePlace::Redis { redis, .. } = config.store.place else { panic!() };
    let exposed = |secret: Option<crate::secret::Secret>| secret.map(|s| s.expose().to_owned());
    assert_eq!(exposed(redis.username).as_deref(), Some("me@x"));
    assert_eq!(exposed(redis.password).as_deref(), Some("p:ss"));
    let Server::At(Place::Tcp { host, .. }) = redis.server else { panic!() };
    assert_eq!(host, "a.test");
}

#[test]
fn p32_mistakes_in_a_redis_store_are_shown_without_its_password() {
    let secret = "hidden-redis-password";
    let url = |url: &str| format!("url = \"{url}\"");
    for (keys, expected) in [
        (String::new(), "a redis store needs `store.url`, or `store.sentinels`"),
        (url(&format!("http://:{secret}@a.test")), "this is not the URL of a Redis server"),
        (url(&format!(":{secret}@a.test")), "lacks its scheme"),
        (url(&format!("redis://:{secret}@a.test:99999")), "this is no URL"),
        (url(&format!("redis://:{secret}@a.test/one")), "the database is a number"),
        (url(&format!("rediss://:{secret}@a.test#insecure")), "no `?` and no `#`"),
        (url("redis:///1"), "lacks its host"),
        (url("rediss://a..test"), "no certificate can have the name"),
        (url("unix:run/r.sock"), "begins with `/`"),
        (url("unix:/r.sock?pass=x"), "only `?db=`"),
        (
            format!("url = \"redis://:{secret}@a.test\"\npassword = \"{secret}\""),
            "`store.url` has a password already",
        ),
        (url("redis://me@a.test"), "give `store.password`"),
        (
            "url = \"redis://a.test\"\npassword = { env = \"NOT_SET_ANYWHERE\" }".to_owned(),
            "NOT_SET_ANYWHERE is not set",
        ),
        (
            "url = \"redis://a.test\"\nsentinels = [\"a.test\"]".to_owned(),
            "`store.url` or `store.sentinels`, not both",
        ),
        ("url = \"redis://a.test\"\nmaster = \"m\"".to_owned(), "give `store.sentinels`"),
        ("sentinels = [\"a.test\"]".to_owned(), "`store.master` is missing"),
        ("sentinels = []\nmaster = \"m\"".to_owned(), "there is no sentinel in it"),
        (
            format!("sentinels = [\":{secret}@a.test\"]\nmaster = \"m\""),
            "a sentinel is `host:port`",
        ),
        ("sentinels = [\"a.test\", \"rediss://b.test\"]\nmaster = \"m\"".to_owned(), "or to none"),
        ("url = \"redis://a.test\"\nkey_prefix = \"a{b\"".to_owned(), "without spaces, braces"),
        (
            "url = \"rediss://a.test\"\ntls.ca_file = \"none.pem\"".to_owned(),
            "none.pem: cannot be read",
        ),
        (
            "url = \"rediss://a.test\"\ntls.client_key = \"none.pem\"".to_owned(),
            "both `client_cert` and `client_key`",
        ),
        ("url = \"redis://a.test\"\ntls.ca_file = \"none.pem\"".to_owned(), "with rediss://"),
    ] {
        let shown = mistake(&format!("{REDIS}{keys}\n{ADS}"));
        assert!(shown.contains(expected), "{expected:?} is not in:\n{shown}");
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn p21_the_list_of_clients_is_read_with_the_config() {
    for (more, expected) in [
        ("[clients]\n", "tokenward.toml:1:2: error: `clients.file` is missing"),
        ("[clients]\nfile = \"none.toml\"\n", "none.toml:1:1: error: the file cannot be read"),
        ("[clients]\nfiel = \"c\"\n", "did you mean `file`?"),
    ] {
        let shown = mistake(&format!("{more}{ADS}"));
        assert!(shown.contains(expected), "{expected:?} is not in:\n{shown}");
    }
    assert!(parse(ADS).is_ok_and(|config| config.clients.is_none()));
}

#[test]
fn p24_a_vendor_that_cannot_be_emulated_is_a_mistake_that_says_what_is_missing() {
    let emulated = parse(&format!("{ADS}guard.token_endpoint = \"emulate\"\n"));
    let emulated = emulated.unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(emulated.upstreams[0].guard.emulated.len(), 1);
    let refused = parse(&format!("{ADS}guard.token_endpoint = \"refuse\"\n"));
    assert!(
        refused.unwrap_or_else(|report| panic!("{report}")).upstreams[0].guard.emulated.is_empty()
    );

    let whole = include_str!("../../../config/vendors/aiclk.toml");
    let (before, rest) = whole.split_once("[emulate.body]").expect("it can be emulated");
    let (_, after) = rest.split_once("[envelope]").expect("an envelope");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ads.toml");
    std::fs::write(&file, format!("{before}[envelope]{after}")).expect("written");
    let text = ADS.replace("\"aiclk\"", &format!("\"{}\"", file.display()));
    let shown = mistake(&format!("{text}guard.token_endpoint = \"emulate\"\n"));
    assert!(shown.starts_with("tokenward.toml:5:24: error: "), "{shown}");
    assert!(shown.contains("the description of vendor aiclk does not say how"), "{shown}");
    assert!(shown.contains("help: add a table `[emulate.body]` to it"), "{shown}");
}

#[test]
fn p23_a_mistake_in_an_allow_list_is_shown_in_its_place() {
    for (line, place, problem) in [
        ("guard.paths = [\"/a\", \"GET b\"]", "5:22: ", "begins with `/` or `*`"),
        ("guard.preset = \"readonly\"", "5:16: ", "vendor aiclk has no preset \"readonly\""),
    ] {
        let shown = mistake(&format!("{ADS}{line}\n"));
        assert!(shown.starts_with(&format!("tokenward.toml:{place}")), "{shown}");
        assert!(shown.contains(problem), "{shown}");
    }
}

#[test]
fn p23_a_preset_and_the_operators_lists_narrow_each_other() {
    let lists = "guard = { preset = \"read-only\", methods = [\"GET\", \"POST\"], \
                 paths = [\"/openapi/v1/account/*\"] }";
    let config = parse(&format!("{ADS}{lists}\n")).unwrap_or_else(|report| panic!("{report}"));
    let allowed = &config.upstreams[0].guard.allowed;
    for (method, path, passes) in [
        ("GET", "/openapi/v1/account/info", true),
        ("POST", "/openapi/v1/account/info", false),
        ("GET", "/openapi/v1/account/other", false),
        ("GET", "/openapi/v1/creative/get", false),
    ] {
        let method = http::Method::from_bytes(method.as_bytes()).expect("a method");
        assert_eq!(allowed.admits(&method, path).is_ok(), passes, "{method} {path}");
    }
}
