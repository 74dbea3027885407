//! Text that becomes HTML.

use std::fmt::{self, Display, Formatter, Write as _};

/// Text as it is, within an element or a quoted attribute.
pub(super) struct Text<'a>(pub(super) &'a str);

/// Somebody else's words, perhaps written from right to left: they do not turn what stands around
/// them. What is between backticks is a command or a key.
pub(super) struct Said<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // They are no characters of HTML, or change how others look.
                control if control.is_control() && control != '\n' => f.write_str("\u{fffd}")?,
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_str("\u{fffd}")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl Display for Said<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<bdi>")?;
        let pieces: Vec<&str> = self.0.split('`').collect();
        if pieces.len().is_multiple_of(2) {
            Text(self.0).fmt(f)?;
        } else {
            for (place, piece) in pieces.iter().enumerate() {
                match place % 2 {
                    0 => Text(piece).fmt(f)?,
                    _ => write!(f, "<code>{}</code>", Text(piece))?,
                }
            }
        }
        f.write_str("</bdi>")
    }
}

/// A line of a list of facts. The value is HTML.
pub(super) fn fact(html: &mut String, name: &str, value: &dyn Display) {
    let _ = writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
}

/// A template with its `{{names}}` replaced, each once: what is filled in is not looked at again.
pub(super) fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut pieces = template.split("{{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once("}}") {
            Some((name, rest)) => {
                filled += &value(name);
                filled += rest;
            }
            None => filled += piece,
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let text = "<script>alert('1')</script> & \"x\"\0\u{202e}\n";
        let html =
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;\u{fffd}\u{fffd}\n";
        assert_eq!(Text(text).to_string(), html);
        assert_eq!(
            Said("run `a <b>` now").to_string(),
            "<bdi>run <code>a &lt;b&gt;</code> now</bdi>"
        );
        assert_eq!(Said("one ` <b>").to_string(), "<bdi>one ` &lt;b&gt;</bdi>");
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        let filled = fill("a {{one}} b {{two}} c", |name| match name {
            "one" => "{{two}}".to_owned(),
            other => other.to_owned(),
        });
        assert_eq!(filled, "a {{two}} b two c");
    }
}
