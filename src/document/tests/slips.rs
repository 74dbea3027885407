//! No slip of the hand brings a secret to light.

use proptest::prelude::*;

use super::*;

/// A change that a hand or a tool makes to a file by accident, at a place in thousandths.
#[derive(Debug, Clone)]
enum Slip {
    Insert(usize, char),
    Replace(usize, char),
    Delete(usize, usize),
    JoinLine(usize),
    CopyLine(usize, usize),
    DropLine(usize),
}

fn slip() -> impl Strategy<Value = Slip> {
    let at = 0..1000usize;
    let c = prop::sample::select("\"'=[]{}#.,\n \\x1\u{540d}".chars().collect::<Vec<_>>());
    prop_oneof![
        (at.clone(), c.clone()).prop_map(|(at, c)| Slip::Insert(at, c)),
        (at.clone(), c).prop_map(|(at, c)| Slip::Replace(at, c)),
        (at.clone(), 1..12usize).prop_map(|(at, n)| Slip::Delete(at, n)),
        at.clone().prop_map(Slip::JoinLine),
        (at.clone(), at.clone()).prop_map(|(from, to)| Slip::CopyLine(from, to)),
        at.prop_map(Slip::DropLine),
    ]
}

fn make(slip: &Slip, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let mut lines: Vec<&str> = text.lines().collect();
    let index = |at: usize, len: usize| at * len / 1000;
    match *slip {
        Slip::Insert(at, c) => chars.insert(index(at, chars.len()), c),
        Slip::Replace(at, c) if !chars.is_empty() => {
            let at = index(at, chars.len());
            chars[at] = c;
        }
        Slip::Delete(at, n) => {
            let at = index(at, chars.len());
            chars.drain(at..(at + n).min(chars.len()));
        }
        Slip::JoinLine(at) => {
            let ends: Vec<_> = (0..chars.len()).filter(|i| chars[*i] == '\n').collect();
            if !ends.is_empty() {
                chars.remove(ends[index(at, ends.len())]);
            }
        }
        Slip::CopyLine(from, to) if !lines.is_empty() => {
            lines.insert(index(to, lines.len()), lines[index(from, lines.len())]);
            return lines.join("\n");
        }
        Slip::DropLine(at) if !lines.is_empty() => {
            lines.remove(index(at, lines.len()));
            return lines.join("\n");
        }
        _ => {}
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p26_no_slip_of_the_hand_brings_a_secret_to_light(
        // One capital letter at least: a secret that looks like a key cannot be told from one.
        secret in "[A-Za-z0-9+/_.-]{5,10}[A-Z][A-Za-z0-9+/_.-]{5,10}={0,2}",
        name in "app_id|app_secret|refresh_token|client_id|pin",
        form in 0..5usize,
        slips in prop::collection::vec(slip(), 0..6),
        broken in any::<bool>(),
    ) {
        let entry = match form {
            0 => format!("credentials.{name} = \"{secret}\""),
            1 => format!("credentials = {{ other = \"x\", {name} = '{secret}', more = \"y\" }}"),
            2 => format!("[upstream.crm.credentials]\n{name} = \"{secret}\""),
            3 => format!("credentials.{name} = \"\"\"\n{secret}\"\"\""),
            _ => format!("credentials.{name} = ['{secret}']"),
        };
        let value = if broken { "5" } else { "\"127.0.0.1:80\"" };
        let mut text = format!("workers = 4\n[upstream.crm]\nlisten = {value}\n{entry}\n[upstream.b]\nlisten = 1\n");
        for slip in &slips {
            text = make(slip, &text);
        }
        let report = mistakes(&text);
        prop_assert!(!report.contains(&secret), "{text}\n-----\n{report}");
    }

    #[test]
    fn any_text_at_all_is_reported_on(text in "(?s).{0,60}", toml in "[a-z\\[\\]\\.='\"#{},\n 0-9]{0,60}") {
        for text in [text, toml] {
            prop_assert!(mistakes(&text).ends_with('s') || mistakes(&text).ends_with('e'));
        }
    }
}
