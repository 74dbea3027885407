//! Tokens that die long before their promised end, and what that probably means.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A token that the vendor called dead in its youth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
pub struct Death {
    /// How old it became, in seconds.
    pub age: u64,
    /// How old it was to become.
    pub promised: u64,
    /// The vendor had accepted it before.
    #[serde(default)]
    pub worked: bool,
}

/// What is to be said after `count` early deaths in a row, of which the last are known more of.
pub fn warning(count: u32, last: &[Death]) -> Option<String> {
    if count < ENOUGH || last.is_empty() {
        return None;
    }
    let ages: Vec<String> = last.iter().map(|death| span(death.age)).collect();
    let promised = last.iter().map(|death| death.promised).max().map(span)?;
    let (number, ages) = (ages.len(), listed(&ages));
    let many = if count as usize > number { format!(" ({count} in a row)") } else { String::new() };
    let cause = cause(last);
    Some(format!(
        "the last {number} tokens died after {ages} of a promised {promised}{many}: {cause}"
    ))
}

fn cause(last: &[Death]) -> &'static str {
    let ages = || last.iter().map(|death| death.age);
    let (youngest, oldest) = (ages().min().unwrap_or(0), ages().max().unwrap_or(0));
    if !last.iter().any(|death| death.worked) {
        "none of them was ever seen to work: the vendor calls every token dead, or a rule takes \
         its answers for rejections (`tokenward classify` tells which), or another system uses the \
         same app id all the time"
    } else if oldest >= ALIKE_FROM && oldest - youngest <= oldest / 10 {
        "all at the same age: the vendor has probably shortened their life, or another system that \
         uses the same app id renews by the clock"
    } else {
        "another system probably uses the same app id: each renewal there ends the token here. \
         Give it an app id of its own, or let it call through this gateway or share its store"
    }
}

/// `4m, 6m and 5m`.
fn listed(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn span(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// In a row, before anything is said: a vendor that restarts may end all tokens once.
pub const ENOUGH: u32 = 3;
/// How many are known more of.
pub const KEPT: usize = 3;
/// Ages below this, in seconds, are alike by chance.
const ALIKE_FROM: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn deaths(ages: [u64; 3], worked: bool) -> Vec<Death> {
        ages.into_iter().map(|age| Death { age, promised: 7200, worked }).collect()
    }

    #[test]
    fn p19_the_warning_tells_the_ages_and_the_probable_cause() {
        let text = warning(3, &deaths([240, 360, 300], true)).expect("three are enough");
        let told = "the last 3 tokens died after 4m, 6m and 5m of a promised 2h: another system \
                    probably uses the same app id";
        assert!(text.starts_with(told), "{text}");
        assert_eq!(warning(2, &deaths([240, 360, 300], true)[1..]), None);
        let many = warning(17, &deaths([240, 360, 300], true)).expect("enough");
        assert!(many.contains("of a promised 2h (17 in a row): another system"), "{many}");
    }

    #[test]
    fn p19_what_may_have_another_cause_is_not_blamed_on_another_system_alone() {
        let never = warning(3, &deaths([0, 1, 0], false)).expect("enough");
        assert!(never.contains("after 0s, 1s and 0s of a promised 2h: none of them"), "{never}");
        let alike = warning(3, &deaths([1795, 1800, 1803], true)).expect("enough");
        assert!(alike.contains("the vendor has probably shortened their life"), "{alike}");
        let young = warning(3, &deaths([2, 2, 2], true)).expect("enough");
        assert!(young.contains("another system probably uses the same app id"), "{young}");
    }
}
