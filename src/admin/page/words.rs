//! Times, spans and numbers, as people read them.

use std::time::{Duration, SystemTime};

use crate::clock;

/// `9 s`, `4 min 5 s`, `42 min`, `3 h 12 min`, `5 d 3 h`: no more of it than helps.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => format!("{minutes} min {} s", seconds % 60),
        600..3600 => format!("{minutes} min"),
        3600..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// `03:12:10 UTC`, as the log has it.
pub(super) fn time(time: SystemTime) -> String {
    let whole = humantime::format_rfc3339_seconds(time).to_string();
    let clock = whole.split_once('T').map_or(whole.as_str(), |(_, clock)| clock);
    format!("{} UTC", clock.trim_end_matches('Z'))
}

/// A moment as an element, with the day unless it is today.
pub(super) fn moment(moment: SystemTime) -> String {
    let whole = humantime::format_rfc3339_seconds(moment).to_string();
    let today = humantime::format_rfc3339_seconds(clock::wall()).to_string();
    let day = |text: &str| text.split_once('T').map(|(day, _)| day.to_owned()).unwrap_or_default();
    let shown = if day(&whole) == day(&today) {
        time(moment)
    } else {
        format!("{} {}", day(&whole), time(moment))
    };
    format!("<time datetime=\"{whole}\">{shown}</time>")
}

/// A moment and how long ago that is. Within the first minute it does not count: that would move
/// without telling anything.
pub(super) fn when(time: SystemTime) -> String {
    let apart = match super::apart(time) {
        Ok(ago) if ago < Duration::from_secs(60) => "just now".to_owned(),
        Ok(ago) => format!("{} ago", span(whole_minutes(ago))),
        Err(ahead) => format!("in {}", span(ahead)),
    };
    format!("{apart} <span class=\"dim\">{}</span>", moment(time))
}

fn whole_minutes(span: Duration) -> Duration {
    match span.as_secs() {
        60..600 => Duration::from_secs(span.as_secs() / 60 * 60),
        _ => span,
    }
}

/// `1 request`, `12,345 requests`.
pub(super) fn many(count: i64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", number(count.unsigned_abs()))
}

/// In groups of three.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The same where there is little room: from a million on, two places are enough.
pub(super) fn short(count: u64) -> String {
    let (unit, letter) = match count {
        0..1_000_000 => return number(count),
        1_000_000..1_000_000_000 => (1_000_000, 'M'),
        _ => (1_000_000_000, 'G'),
    };
    format!("{}.{:02} {letter}", number(count / unit), count % unit * 100 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_numbers_say_no_more_than_helps() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (599, "9 min 59 s"),
            (600, "10 min"),
            (3599, "59 min"),
            (7325, "2 h 2 min"),
            (172_800, "2 d 0 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [
            (999_999, "999,999"),
            (1_000_000, "1.00 M"),
            (12_059_999, "12.05 M"),
            (1_234_567_890, "1.23 G"),
            (u64::MAX, "18,446,744,073.70 G"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(
            (many(1, "request"), many(0, "request")),
            ("1 request".into(), "0 requests".into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_has_its_day_unless_that_is_today() {
        let now = clock::wall();
        let today = moment(now);
        assert!(today.starts_with("<time datetime=\"") && today.contains("Z\">"), "{today}");
        let far = moment(now + Duration::from_secs(3 * 86_400));
        assert!(far.len() > today.len(), "{far}");
        assert!(when(now - Duration::from_secs(125)).starts_with("2 min 0 s ago <span"));
        assert!(when(now - Duration::from_secs(5)).starts_with("just now"));
        assert!(when(now + Duration::from_secs(4000)).starts_with("in 1 h"));
    }
}
