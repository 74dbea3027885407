//! Mistakes, and how they are shown: like a compiler's, all at once.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use annotate_snippets::renderer::{AnsiColor, Style};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// What is wrong with a document, in the order of the text.
///
/// As text, each mistake begins with `file:line:column: error: …` (or `environment: NAME: error: …`)
/// on a line of its own, for editors and scripts; the line in question follows, with a caret.
#[derive(Debug, Default, Clone)]
pub struct Report {
    mistakes: Vec<Mistake>,
}

/// One thing that is wrong, where it stands, and what was expected there.
#[derive(Debug, Clone)]
pub struct Mistake {
    place: Place,
    message: String,
    expected: Option<String>,
    help: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Line and column count from 1, the column in characters. `text` is what may be seen of the
    /// line, and `span` the bytes of it that are meant.
    File {
        name: Rc<str>,
        line: usize,
        column: usize,
        text: String,
        span: Range<usize>,
    },
    Environment {
        variable: String,
    },
}

impl Report {
    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.mistakes.len()
    }

    pub fn push(&mut self, mistake: Mistake) {
        let at = self.mistakes.partition_point(|other| other.order() <= mistake.order());
        self.mistakes.insert(at, mistake);
    }

    pub fn merge(&mut self, other: Report) {
        for mistake in other.mistakes {
            self.push(mistake);
        }
    }

    /// The messages alone, without places and snippets.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.mistakes.iter().map(|mistake| mistake.message.as_str())
    }

    /// Fails with the report itself if it holds a mistake.
    pub fn into_result(self) -> Result<(), Report> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The text for a terminal that shows colours; [`Display`](fmt::Display) gives the plain one.
    pub fn coloured(&self) -> String {
        self.render(&Renderer::styled(), BOLD, RED)
    }

    fn render(&self, renderer: &Renderer, bold: Style, red: Style) -> String {
        let mut out = String::new();
        for mistake in &self.mistakes {
            let (place, message) = (&mistake.place, one_line(&mistake.message));
            out += &format!("{bold}{place}:{bold:#} {red}error{red:#}: {bold}{message}{bold:#}\n");
            for line in mistake.body(renderer).lines() {
                out += line.trim_end();
                out.push('\n');
            }
            out.push('\n');
        }
        out + &match self.len() {
            1 => "1 mistake".to_owned(),
            n => format!("{n} mistakes"),
        }
    }
}

impl Mistake {
    pub(super) fn new(place: Place, message: String) -> Mistake {
        Mistake { place, message, expected: None, help: None }
    }

    /// Says beside the caret what should stand there: `expected an address`.
    pub fn expected(mut self, what: impl Into<String>) -> Mistake {
        self.expected = Some(what.into());
        self
    }

    /// Says below the snippet what to do.
    pub fn help(mut self, what: impl Into<String>) -> Mistake {
        self.help = Some(what.into());
        self
    }

    /// Changes every text of the mistake.
    pub(super) fn map(mut self, change: impl Fn(&str) -> String) -> Mistake {
        self.message = change(&self.message);
        self.expected = self.expected.map(|text| change(&text));
        self.help = self.help.map(|text| change(&text));
        self
    }

    /// By file, then line and column; the environment comes last.
    fn order(&self) -> (bool, &str, usize, usize) {
        match &self.place {
            Place::File { name, line, column, .. } => (false, name, *line, *column),
            Place::Environment { variable } => (true, variable, 0, 0),
        }
    }

    fn body(&self, renderer: &Renderer) -> String {
        let mut group = Group::with_level(Level::ERROR);
        match &self.place {
            Place::File { line, text, span, .. } => {
                let caret =
                    AnnotationKind::Primary.span(span.clone()).label(self.expected.as_deref());
                group = group.element(Snippet::source(text).line_start(*line).annotation(caret));
            }
            Place::Environment { .. } => {
                let expected = self.expected.as_deref().map(|what| Level::NOTE.message(what));
                group = group.elements(expected);
            }
        }
        group = group.elements(self.help.as_deref().map(|what| Level::HELP.message(what)));
        if group.is_empty() { String::new() } else { renderer.render(&[group]) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain(), Style::new(), Style::new()))
    }
}

impl std::error::Error for Report {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { name, line, column, .. } => write!(f, "{name}:{line}:{column}"),
            Place::Environment { variable } => write!(f, "environment: {}", one_line(variable)),
        }
    }
}

/// A message stays on its line and sends a terminal no commands.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::BrightRed.on_default().bold();
