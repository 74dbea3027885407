//! How calls of the token endpoint are answered in the vendor's place, read from `[emulate]`.

use serde_json::{Map, Value};

use super::super::emulation::{Form, TokenCall};
use super::read::Reader;
use super::{AnswerShape, Call, raw};

impl Reader<'_> {
    /// The calls that can be answered; what hinders is noted.
    pub(super) fn emulated(
        &mut self,
        raw: raw::Emulate,
        shape: &AnswerShape,
        refresh: Option<&Call>,
        mint: Option<&Call>,
    ) -> Vec<TokenCall> {
        let body = self.required(&["emulate", "body"], raw.body);
        let body = body.and_then(|body| self.form("body", body, shape));
        let mint_body = raw.mint_body.and_then(|body| {
            let hindrance = match (refresh, mint) {
                (_, None) => Some("there is no `mint` that it could answer"),
                (Some(one), Some(two)) if one.is_same_place(two) => {
                    Some("`refresh` and `mint` are called alike, so `body` answers both")
                }
                _ => None,
            };
            hindrance.into_iter().for_each(|why| self.note(&["emulate", "mint_body"], why));
            self.form("mint_body", body, shape)
        });
        let Some(body) = body else { return Vec::new() };
        let mint_body = mint_body.unwrap_or_else(|| body.clone());
        let token_call = |(call, answer): (Option<&Call>, Form)| {
            let Call { method, path, .. } = call?.clone();
            Some(TokenCall { method, path, answer, default_life: shape.default_life })
        };
        [(refresh, body), (mint, mint_body)].into_iter().filter_map(token_call).collect()
    }

    fn form(&mut self, key: &str, body: Map<String, Value>, shape: &AnswerShape) -> Option<Form> {
        let form = Form::new(body).map_err(|errors| {
            for error in errors {
                let inside = error.path.iter().map(String::as_str);
                let path: Vec<&str> = ["emulate", key].into_iter().chain(inside).collect();
                self.note(&path, error.message);
            }
        });
        let form = form.ok()?;
        if let Err(useless) = form.check(shape) {
            let problem = format!("a caller would find no token in this: {useless}");
            let mistake = self.document.mistake_at_key(&["emulate", key], problem);
            self.report.push(mistake.help("write what the vendor answers, as it documents it"));
            return None;
        }
        Some(form)
    }
}

impl Call {
    fn is_same_place(&self, other: &Self) -> bool {
        (&self.method, &self.path) == (&other.method, &other.path)
    }
}
