//! `tokenward classify`: tries a vendor's rules on a saved answer.

use std::io::Read;
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::config::parse;
use crate::vendor::rules::{Outcome, Rules};

use super::{Failure, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A built-in vendor, or the path of a description.
    #[arg(long)]
    vendor: String,

    /// The answer's HTTP status.
    #[arg(long)]
    status: u16,

    /// A field of the answer's head, `Name: value`; may be given more than once.
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,

    /// The answer's body, not compressed; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
}

pub(super) fn classify(arguments: &Arguments) -> Result<(), Failure> {
    let known = parse::built_in_names();
    if !known.contains(&arguments.vendor) && !parse::looks_like_path(&arguments.vendor) {
        let (named, known) = (&arguments.vendor, known.join(", "));
        let problem = format!("no built-in vendor {named:?}; give {known} or a description's path");
        return Err(Failure::Usage(problem));
    }
    let vendor = parse::vendor(&arguments.vendor).map_err(Failure::Config)?;
    let rules = Rules::new(vendor.rules).map_err(Failure::failed)?;
    let status = StatusCode::from_u16(arguments.status)
        .map_err(|_| Failure::Usage(format!("{} is no HTTP status", arguments.status)))?;
    let headers = headers(&arguments.headers)?;
    let body = body(arguments.body.as_ref())?;

    // What the gateway would not look at shall decide nothing here.
    let looked_at = &body[..body.len().min(parse::LOOK_LIMIT)];
    if looked_at.len() < body.len() {
        out(&format!("only the first {} bytes are looked at, by default", looked_at.len()));
    }
    explain(&rules, status, &headers, looked_at);
    Ok(())
}

/// Says what each rule makes of an answer, and whether one decides.
pub(super) fn explain(rules: &Rules, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> bool {
    let outcomes = rules.explain(status, headers, body);
    for ((_, rule), outcome) in rules.iter().zip(&outcomes) {
        out(&format!("{}: {outcome}", rule.name()));
    }
    let fired = outcomes.iter().position(|outcome| *outcome == Outcome::Fires);
    match fired.and_then(|place| rules.iter().nth(place)) {
        Some((_, rule)) => out(&format!("=> {}, by the rule {}", rule.verdict(), rule.name())),
        None => out("=> no rejection: the answer is handed on as it is"),
    }
    fired.is_some()
}

fn out(line: &str) {
    say(std::io::stdout(), line);
}

pub(super) fn headers(fields: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for field in fields {
        let bad = || Failure::Usage(format!("{field:?} is not `Name: value`"));
        let (name, value) = field.split_once(':').ok_or_else(bad)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| bad())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| bad())?);
    }
    Ok(headers)
}

fn body(path: Option<&PathBuf>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = match path {
        None => return Ok(body),
        Some(path) if path.as_os_str() == "-" => std::io::stdin().read_to_end(&mut body),
        Some(path) => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut body)),
    };
    read.map_err(|error| {
        let name = path.map(|path| path.display().to_string()).unwrap_or_default();
        Failure::Usage(format!("{name}: {error}"))
    })?;
    Ok(body)
}
