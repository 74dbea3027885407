//! The text of the file: its pages, and their checksum.

use std::collections::BTreeMap;
use std::io;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::secret::{Buffer, Secret};

use super::super::{Revision, Written};

pub(super) type Pages = BTreeMap<String, Written>;

/// The file's content: the pages, as text, and that text's checksum.
#[derive(Deserialize)]
struct Envelope<'a> {
    format: u32,
    sha256: String,
    #[serde(borrow)]
    pages: &'a RawValue,
}

/// One page in the file.
#[derive(Serialize, Deserialize)]
struct Sheet<'a> {
    revision: Revision,
    generation: u64,
    fence: u64,
    #[serde(borrow)]
    page: &'a RawValue,
    #[serde(borrow)]
    tokens: &'a RawValue,
}

/// # Errors
/// What is wrong with it. No value is repeated in that.
pub(super) fn parse(text: &str) -> Result<Pages, String> {
    // serde_json's messages give a place, never a value.
    let envelope: Envelope<'_> = serde_json::from_str(text)
        .map_err(|error| format!("not a token store ({})", place(&error)))?;
    if envelope.format != FORMAT {
        let found = envelope.format;
        return Err(format!("format {found}, and this version reads {FORMAT}"));
    }
    if envelope.sha256 != checksum(envelope.pages.get().as_bytes()) {
        return Err("its checksum does not fit its content".to_owned());
    }
    let sheets: BTreeMap<String, Sheet<'_>> = serde_json::from_str(envelope.pages.get())
        .map_err(|error| format!("its pages cannot be read ({})", place(&error)))?;
    Ok(sheets.into_iter().map(|(name, sheet)| (name, sheet.written())).collect())
}

/// # Errors
/// When a page is no JSON, which none of ours is.
pub(super) fn text(pages: &Pages) -> io::Result<Secret> {
    let sheets = pages.iter().map(|(name, page)| Ok((name, Sheet::of(page)?)));
    let sheets = sheets.collect::<io::Result<BTreeMap<_, _>>>()?;
    let mut pages = Buffer::default();
    serde_json::to_writer(&mut pages, &sheets)?;
    let head = format!("{{\"format\":{FORMAT},\"sha256\":\"{}\",\"pages\":", checksum(&pages));
    let mut text = Buffer::with_capacity(head.len() + pages.len() + FOOT.len());
    for part in [head.as_bytes(), &pages, FOOT] {
        text.push(part);
    }
    Ok(text.into_compound(Vec::new()).expect("JSON is text"))
}

impl<'a> Sheet<'a> {
    fn of(page: &'a Written) -> io::Result<Self> {
        let Written { revision, generation, fence, .. } = *page;
        let open = serde_json::from_str(&page.open)?;
        let tokens = serde_json::from_str(page.tokens.expose())?;
        Ok(Self { revision, generation, fence, page: open, tokens })
    }

    fn written(self) -> Written {
        let Self { revision, generation, fence, page, tokens } = self;
        let (open, tokens) = (page.get().to_owned(), compound(tokens.get()));
        Written { revision, generation, fence, open, tokens, keep_until: None }
    }
}

/// What tokens stand in it is known to the log filter when they are read.
fn compound(tokens: &str) -> Secret {
    Secret::compound(tokens, Vec::new())
}

fn checksum(text: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, text);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

const FORMAT: u32 = 2;
const FOOT: &[u8] = b"}\n";
