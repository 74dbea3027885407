//! Times, tables and texts as people read them on a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

/// A cell of a table, with the colour that it has on a terminal.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    colour: Option<Colour>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Good,
    Bad,
    Doubtful,
    Heading,
}

// === impl Cell ===

impl Cell {
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self { text: plain(text.as_ref()), colour: None }
    }

    pub(super) fn in_colour(text: impl AsRef<str>, colour: Colour) -> Self {
        Self { colour: Some(colour), ..Self::new(text) }
    }
}

// === impl Colour ===

impl Colour {
    pub(super) fn paint(self, text: &str, coloured: bool) -> String {
        let code = match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Doubtful => "33",
            Self::Heading => "1",
        };
        if coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether standard output is a terminal whose user has not said no (no-color.org).
pub(super) fn coloured() -> bool {
    let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !declined
}

/// The rows, each column as wide as its longest cell.
pub(super) fn table(rows: &[Vec<Cell>], coloured: bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let gap = width - cell.text.chars().count();
            let text = match cell.colour {
                Some(colour) => colour.paint(&cell.text, coloured),
                None => cell.text.clone(),
            };
            text + &" ".repeat(gap)
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The two largest units: `1 h 12 min`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let largest = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in units.iter().skip(largest).take(2) {
        let count = left / unit;
        left %= unit;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count} {name}"));
        }
    }
    parts.join(" ")
}

/// Texts that come from elsewhere may not move the cursor, or worse.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (4_320, "1 h 12 min"),
            (3_605, "1 h"),
            (86_400 * 3 + 7_200, "3 d 2 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_cells_and_colours_take_no_room() {
        let rows = [
            vec![Cell::new("a"), Cell::in_colour("yes", Colour::Good), Cell::new("x")],
            vec![Cell::new("longer"), Cell::in_colour("no", Colour::Bad)],
        ];
        assert_eq!(table(&rows, false), "a       yes  x\nlonger  no");
        let painted = "a       \x1b[32myes\x1b[0m  x\nlonger  \x1b[31mno\x1b[0m";
        assert_eq!(table(&rows, true), painted);
    }

    #[test]
    fn a_text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\r\nc"), "a [2Jb  c");
    }
}
