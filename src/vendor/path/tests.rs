use std::time::Duration;

use tokio::time::Instant;

use super::*;

fn pattern(text: &str) -> PathPattern {
    PathPattern::new(text).expect("a good pattern")
}

#[test]
fn p24_a_forbidden_path_is_found_in_every_spelling() {
    let token = pattern("/oauth2/token");
    for path in [
        "/oauth2/token",
        "/oauth2/token/",
        "//oauth2//token",
        "/oauth2/./token",
        "/x/../oauth2/token",
        "/../oauth2/token",
        "/oauth2/x/y/../../token",
        "/oauth2/token/.",
        "/oauth2/token/x/..",
        "/OAuth2/Token",
        "/oauth2/token.",
        "/oauth2/token.json",
        "/oauth2/token.json/",
        "/index.php/oauth2/token",
        "/(S(abc))/oauth2/token",
        "//host:80/oauth2/token",
        // Encoded.
        "/oauth2/%74oken",
        "/oauth2/%2574oken",
        "/oauth2/%252574oken",
        "/oauth2/%%37%34oken",
        "/oauth2%2ftoken",
        "/oauth2%252ftoken",
        "/x/%2e%2e/oauth2/token",
        "/x/%252e%252e%252foauth2/token",
        "/x/.%2e/oauth2/token",
        "%2foauth2%2ftoken",
        // Only some resolve the first of these, and only some the second.
        "/oauth2/%252e%252e/../token",
        "/x/%252e%252e/../oauth2/token",
        // Parameters.
        "/oauth2/token;jsessionid=1",
        "/oauth2;a=b/token",
        "/;/oauth2/token",
        "/x/..;/oauth2/token",
        "/x/..;a=b/oauth2/token",
        "/x/..%3b/oauth2/token",
        "/oauth2/token;/x/../../y",
        "/oauth2;%2f..%2f../token",
        "/oauth2/token;x/y",
        // Backslashes.
        "\\oauth2\\token",
        "/oauth2%5ctoken",
        "/x\\..\\oauth2\\token",
        // Cut off, or not.
        "/oauth2/token%3fx",
        "/oauth2/token%23x",
        "/oauth2/token%00",
        "/oauth2/token%00.html",
        "/x%3f/../oauth2/token",
        "/x%23/../oauth2/token",
        "/x%00/../oauth2/token",
        "/oauth2/token%0a",
        "/oauth2/token%0d%0aX",
        // Trimmed, or left out.
        "/oauth2/token%20",
        "/oauth2/token+",
        "/oauth2/token%09",
        "/oauth2/to%09ken",
        "/oauth2/to%00ken",
        "/oauth2/to%E2%80%8Bken",
        "/oauth2/token%c2%a0",
        "/x/..%00/oauth2/token",
        "/x/..%20/oauth2/token",
        "/x/.%ff./oauth2/token",
        "/oauth2/%20/token",
        "/oauth2/token::$DATA",
        "/oauth2::$INDEX_ALLOCATION/token",
        // Other encodings of ASCII.
        "/oauth2%c0%aftoken",
        "/oauth2%c1%9ctoken",
        "/oauth2%c0%2ftoken",
        "/oauth2%e0%80%aftoken",
        "/oauth2%f0%80%80%aftoken",
        "/oauth2%fc%80%80%80%80%aftoken",
        "/x/%c0%ae%c0%ae/oauth2/token",
        "/x/%25c0%25ae./oauth2/token",
        "/x/%u002e%u002e/oauth2/token",
        "/oauth2%u2215token",
        "/oauth2/%u0074oken",
        "/oauth2%ef%bc%8ftoken",
        "/oauth2%e2%88%95token",
        "/oauth2%e2%81%84token",
        "/oauth2／token",
        "/oauth2%c2%a5token",
        "/x/%ef%bc%8e%ef%bc%8e/oauth2/token",
        "/x/%e2%80%a5/oauth2/token",
        "/x/%ef%bc%85%32%65./oauth2/token",
        "/oauth2/%ef%bd%94oken",
        "/oauth2/ｔｏｋｅｎ",
        "/oauth²/token",
        "/oauth2/to%E2%84%AAen",
        "/oauth2/tōken",
        "/oauth2/ｔｏｋｅｎ；x",
        "/oauth2į/token",
        "/oauth2įtoken",
    ] {
        assert!(token.could_match(path), "{path}");
    }
}

#[test]
fn p24_other_paths_are_not_taken_for_a_forbidden_one() {
    let tokens = [pattern("/oauth2/token"), pattern("/v1/oauth2/*"), pattern("/v1/charge/*")];
    for path in [
        "/",
        "*",
        "/oauth2",
        "/oauth2/tokens",
        "/oauth2/token/x",
        "/openapi/v1/oauth2/token",
        "/openapi/v1/account/info",
        "/v1/charges/x",
        "/v1/oauth/x",
        "/openapi/v1/%E4%BD%A0%E5%A5%BD",
        "/v1/%E4%BD%A0%E5%A5%BD%E4%BD%A0%E5%A5%BD%E4%BD%A0/token",
        "/v1/你好你好你好/token",
        "/v1/привет/token",
        "/v1/żółtko/token",
        "/a%20b/c.json",
        "/v1.0/account;v=1/info",
        "/route/13.38,52.51;13.39,52.52",
        "/x%2Cy/(1)",
        "/files/http://example.com/oauth",
        "/%",
        "/100%25",
        "",
    ] {
        for token in &tokens {
            assert!(!token.could_match(path), "{path} for {}", token.as_str());
        }
    }
}

#[test]
fn p24_patterns_with_stars_find_what_lies_below() {
    let charge = pattern("/v1/charge/*");
    for path in [
        "/v1/charge",
        "/v1/charge/",
        "/v1/charge/x",
        "/v1/charge/../x",
        "/v1/charge/%2e%2e/x",
        "/v1/charge;x",
        "/v1/charge%3f",
        "/v1/x/..;/charge/a/b",
        "/V1/%43harge%2fx",
    ] {
        assert!(charge.could_match(path), "{path}");
    }
    let middle = pattern("/v1/*/pay");
    for path in ["/v1/x/pay", "/v1/x/y/pay/", "/v1/a%2fb/pa%79", "/v1/x/z/../pay", "/v1//pay"] {
        assert!(middle.could_match(path), "{path}");
    }
    assert!(!middle.could_match("/v1/x/pays") && !middle.could_match("/v2/x%20y/pay"));
    let long = format!("/{}", "a".repeat(300));
    assert!(pattern(&long).could_match(&long) && pattern(&long).could_match(&(long + ";x")));
    let (one, other) = ("/ab".repeat(90) + "/c", "/ab".repeat(89) + "/c");
    assert!(pattern(&one).could_match(&one.to_uppercase()) && !pattern(&one).could_match(&other));
    // A long base path does not make every path suspicious.
    let below = pattern("/oauth2/token").below(&"/base".repeat(40));
    for (path, expected) in [("/oauth2/%74oken", true), ("/a.json", false), ("/a%20b/token", false)]
    {
        assert_eq!(below.could_match(&format!("{}{path}", "/base".repeat(40))), expected, "{path}");
    }
    assert!(pattern("/你好/*").could_match("/%E4%BD%A0%E5%A5%BD/x"));
}

#[test]
fn p23_an_allowed_path_cannot_be_left_by_its_spelling() {
    let open = pattern("/openapi/v1/*");
    for path in [
        "/openapi/v1",
        "/openapi/v1/",
        "/openapi/v1//",
        "/openapi/v2/x",
        "/OpenApi/v1/x",
        "//openapi/v1/x",
        "/openapi//v1/x",
        "/openapi/v1%2fx",
        "/openapi/%76%31/x",
        "/openapi/v1/../v2/x",
        "/openapi/v1/a/../b",
        "/openapi/v1/./b",
        "/openapi/v1/%2e%2e/v2/x",
        "/openapi/v1/.%2e/v2/x",
        "/openapi/v1/%252e%252e/v2/x",
        "/openapi/v1/%25%32%65%2e/v2/x",
        "/openapi/v1/a%2f..%2f..%2f..%2fv2",
        "/openapi/v1/a%5c..%5c..%5cv2",
        "/openapi/v1/..\\..\\v2",
        "/openapi/v1/..;/v2",
        "/openapi/v1/..;a=b/v2",
        "/openapi/v1/;/../v2",
        "/openapi/v1/;x",
        "/openapi/v1/%3fx",
        "/openapi/v1/%23",
        "/openapi/v1/..%3b/v2",
        "/openapi/v1/...",
        "/openapi/v1/..%20/v2",
        "/openapi/v1/%20",
        "/openapi/v1/..%00/v2",
        "/openapi/v1/x%00",
        "/openapi/v1/x%0a",
        "/openapi/v1/x%7f",
        "/openapi/v1/.%E2%80%8B./v2",
        "/openapi/v1/%u002e%u002e/v2",
        "/openapi/v1/%c0%ae%c0%ae/v2",
        "/openapi/v1/%e0%80%ae./v2",
        "/openapi/v1/x%c0%af",
        "/openapi/v1/x%ff",
        "/openapi/v1/x%e4%bd",
        "/openapi/v1/%ef%bc%8e%ef%bc%8e/v2",
        "/openapi/v1/．．/v2",
        "/openapi/v1/‥/v2",
        "/openapi/v1/a／..／..／v2",
        "/openapi/v1/a%e2%88%95..%e2%88%95..%e2%88%95..",
        "/openapi/v1/%ef%bc%85%32%65./v2",
        "/openapi/v1/100%",
        "/openapi/v1/%zz",
        "/openapi/v1/%2541",
        "/openapi/v1/%25u0041",
        "/openapi/v1/(S(x))",
        "/openapi/v1/::$DATA",
        "openapi/v1/x",
        "",
        "*",
    ] {
        assert!(!open.surely_matches(path), "{path}");
    }
}

#[test]
fn p23_usual_paths_pass_however_they_have_to_be_encoded() {
    let open = pattern("/openapi/v1/*");
    for path in [
        "/openapi/v1/account/info",
        "/openapi/v1/account/info/",
        "/openapi/v1/%E4%BD%A0%E5%A5%BD",
        "/openapi/v1/你好",
        "/openapi/v1/a%20b",
        "/openapi/v1/x%2Cy",
        "/openapi/v1/group%2Fproject/a",
        "/openapi/v1/c%23",
        "/openapi/v1/c++",
        "/openapi/v1/what%3F",
        "/openapi/v1/%E4%BD%A0%EF%BC%9F",
        "/openapi/v1/100%25",
        "/openapi/v1/100%25/x",
        "/openapi/v1/http://example.com/x",
        "/openapi/v1/13.38,52.51;13.39,52.52",
        "/openapi/v1/@me/(1)/~x:y/!$&'*=",
        "/openapi/v1/.well-known/x",
        "/openapi/v1/a..b/v1./x",
        "/openapi/v1/{\"a\"}",
        "/openapi/v1/%F0%9F%98%80",
        "/openapi/v1/😀",
    ] {
        assert!(open.surely_matches(path), "{path}");
    }
    for (text, path) in [
        ("/你好/*", "/%E4%BD%A0%E5%A5%BD/x"),
        ("/你好/*", "/你好/x"),
        ("/*", "/"),
        ("/*", "/x"),
        ("*", "*"),
        ("*", "/../%00"),
        ("/a/b", "/a/b"),
        ("/a*", "/a"),
        ("/a*", "/a/"),
        ("/list/", "/list/"),
        ("/*/info", "/x/info"),
        ("/a/*/c", "/a/b%2Fb/c"),
        ("/a/*.json", "/a/x.json"),
    ] {
        assert!(pattern(text).surely_matches(path), "{text} on {path}");
    }
}

#[test]
fn p23_what_a_server_may_leave_out_does_not_count_as_there() {
    for (text, path) in [
        ("/users/*", "/users/"),
        ("/users/*", "/users//"),
        ("/users/*", "/users/%2f"),
        ("/users/*", "/users"),
        ("/users", "/users/"),
        ("/list/", "/list"),
        ("/a/*/info", "/a//info"),
        ("/a/*/info", "/a/%2f/info"),
        ("/a/*/info", "/a/x;y/info"),
        ("/a/*/info", "/a/x%3fy/info"),
        ("/a/*/info", "/a/x%23/info"),
        ("/a/*/info", "/a/x/info;y"),
        ("/a/*/info", "/a/x::$DATA/info"),
        ("/a/*b", "/a/x;b"),
        ("/a*41", "/a%41"),
        ("/a*2541", "/a%2541"),
        ("*/x", "//y/x"),
    ] {
        assert!(!pattern(text).surely_matches(path), "{text} on {path}");
    }
}

#[test]
fn p24_patterns_hold_below_a_base_path() {
    let token = pattern("/oauth2/token").below("/mock/v9");
    for path in ["/mock/v9/oauth2/token", "/mock/v9/../v9/oauth2/%74oken"] {
        assert!(token.could_match(path), "{path}");
    }
    assert!(!token.could_match("/oauth2/token"));
    let open = pattern("/openapi/*").below("/mock/v9");
    assert!(open.surely_matches("/mock/v9/openapi/x"));
    assert!(!open.surely_matches("/mock/v9/openapi/../../openapi/x"));
    assert!(pattern("*").below("/mock").surely_matches("/mock/x"));
    assert_eq!(pattern("/x").below(""), pattern("/x"));
    assert!(pattern("/x/*").below("/a%20b").surely_matches("/a%20b/x/y"));
}

#[test]
fn p23_a_pattern_is_written_as_it_is_meant() {
    use PatternError::{Beginning, Character, Dot, Empty};
    for (text, error) in [
        ("no/slash", Beginning),
        ("", Beginning),
        ("/a?b", Character('?')),
        ("/a#b", Character('#')),
        ("/a%20b", Character('%')),
        ("/a b", Character(' ')),
        ("/a\\b", Character('\\')),
        ("/a;b", Character(';')),
        ("/{id}", Character('{')),
        ("/a\u{200B}", Character('\u{200B}')),
        ("/a／b", Character('／')),
        ("/a//b", Empty),
        ("/a/../b", Dot),
        ("/a/.", Dot),
        ("/a./b", Dot),
    ] {
        assert_eq!(PathPattern::new(text), Err(error), "{text}");
    }
}

#[test]
fn stars_stand_for_any_run() {
    for (text, path, expected) in [
        ("/a/*/c", "/a/b/c", true),
        ("/a/*/c", "/a/b/b/c", true),
        ("/a/*/c", "/a/c", false),
        ("*", "/anything", true),
        ("/a*b*c", "/aXbYc", true),
        ("/a*b*c", "/aXcYb", false),
        ("/a", "/a/b", false),
        ("/a**b", "/axb", true),
    ] {
        let pattern = pattern(text);
        assert_eq!(pattern.surely_matches(path), expected, "{text} on {path}");
        assert_eq!(pattern.could_match(path), expected, "{text} on {path}");
        let spelt = format!("{path}%00");
        assert_eq!(pattern.could_match(&spelt), expected, "{text} on {spelt}");
    }
}

/// Work that grew faster than the path would take hours.
#[test]
fn p24_a_hostile_path_is_matched_in_linear_time() {
    let pattern = pattern(&format!("/{}", "*a".repeat(50)));
    let paths =
        ["a", "a%61", "%252561", ";", "../", "..;/", "a;", "%c0%ae/", "．／", "%2525", "(."]
            .map(|text| format!("/{}b", text.repeat(16_000 / text.len())));
    let nested = format!("/%{}", "25".repeat(8_000));
    let before = Instant::now();
    for path in paths.iter().chain([&nested]) {
        pattern.surely_matches(path);
        pattern.could_match(path);
    }
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
}
