//! Small pictures in SVG, drawn without a style of their own: the policy would not let it pass.

use std::fmt::Write as _;

use super::super::history::MINUTES;
use super::words;

/// A bar for each minute of the last hour, the latest at the right. `said` tells those who do not see it.
pub(super) fn bars(counts: &[u64], class: &str, said: &str) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let missing = (MINUTES + 1).saturating_sub(counts.len());
    let mut path = String::new();
    for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // What is not nothing can be seen.
        let height = (count * HEIGHT / most).max(1);
        let left = (missing + place) * STEP;
        let _ = write!(path, "M{left} {HEIGHT}v-{height}h{BAR}v{height}z");
    }
    let width = (MINUTES + 1) * STEP;
    let base = HEIGHT + 1;
    format!(
        "<svg class=\"plot {class}\" viewBox=\"0 0 {width} {base}\" preserveAspectRatio=\"none\" \
         role=\"img\" aria-label=\"{said}\"><path class=\"base\" d=\"M0 {HEIGHT}h{width}v1h-{width}z\"/>\
         <path d=\"{path}\"/></svg>"
    )
}

/// What stands in words beside it: the sum of the hour, and its worst minute.
pub(super) fn said(counts: &[u64]) -> String {
    let sum = counts.iter().sum::<u64>();
    if sum == 0 {
        return "none in the last hour".to_owned();
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let ago = counts.iter().rev().position(|count| *count == most).unwrap_or(0);
    let when = match ago {
        0 => "in this minute".to_owned(),
        1 => "a minute ago".to_owned(),
        ago => format!("{ago} minutes ago"),
    };
    format!(
        "{} in the last hour; the most in a minute, {}, {when}",
        words::number(sum),
        words::number(most)
    )
}

/// How much of something is left or taken. Words beside it say the same.
pub(super) fn meter(part: f64, class: &str) -> String {
    let filled = (part.clamp(0.0, 1.0) * 100.0).round();
    format!(
        "<svg class=\"meter {class}\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" \
         aria-hidden=\"true\"><rect class=\"base\" width=\"100\" height=\"4\"/>\
         <rect width=\"{filled}\" height=\"4\"/></svg>"
    )
}

const HEIGHT: u64 = 24;
const STEP: usize = 4;
const BAR: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_a_bar_and_the_latest_is_at_the_right() {
        let svg = bars(&[0, 1, 48, 24], "x", "said");
        // 61 minutes of four units each: the last begins at 240.
        assert!(svg.contains("d=\"M232 24v-1h3v1zM236 24v-24h3v24zM240 24v-12h3v12z\""), "{svg}");
        assert!(bars(&[], "x", "").contains("d=\"\""));
        let full = bars(&[u64::from(u32::MAX); MINUTES + 1], "x", "");
        assert!(full.contains("d=\"M0 24v-24") && full.contains("M240 24v-24"), "{full}");
    }

    #[test]
    fn the_same_in_words() {
        assert_eq!(said(&[0, 0]), "none in the last hour");
        let words = "1,203 in the last hour; the most in a minute, 1,200, 2 minutes ago";
        assert_eq!(said(&[0, 1200, 3, 0]), words);
        assert!(said(&[2, 2]).ends_with("in this minute"));
        assert!(said(&[2, 1]).ends_with("a minute ago"));
    }

    #[test]
    fn a_meter_is_never_over_full() {
        assert!(meter(2.0, "x").contains("width=\"100\" height=\"4\"/></svg>"));
        assert!(meter(0.25, "x").contains("<rect width=\"25\""));
    }
}
