//! Who we are to the API: the service account's token, which is replaced in its file now and then.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

use super::ApiError;

#[derive(Debug)]
pub(super) struct Account {
    /// `None`: a client certificate says who we are, or a proxy on this machine.
    token_file: Option<PathBuf>,
}

// === impl Account ===

impl Account {
    pub(super) fn new(token_file: Option<PathBuf>) -> Self {
        Self { token_file }
    }

    /// The value of `Authorization` as it is now. The file is read every time: it is small, in
    /// memory, and the kubelet replaces it by turning a link, which no time of change tells.
    ///
    /// # Errors
    /// When the file cannot be read, or holds nothing that can be sent.
    pub(super) async fn authorization(&self) -> Result<Option<HeaderValue>, ApiError> {
        let Some(path) = self.token_file.clone() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || {
            let value =
                std::fs::read_to_string(&path).and_then(|text| bearer(Zeroizing::new(text)));
            value.map_err(|source| ApiError::NoToken { path, source })
        });
        // It does not panic, and is not aborted.
        read.await.expect("the reading ends").map(Some)
    }

    /// For errors: where the token comes from.
    pub(super) fn token_file(&self) -> Option<&PathBuf> {
        self.token_file.as_ref()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is zeroed here")]
fn bearer(text: Zeroizing<String>) -> io::Result<HeaderValue> {
    let token = text.trim();
    if token.is_empty() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is empty"));
    }
    let whole = ["Bearer ", token].concat();
    let value = Secret::compound(whole, vec![Secret::new(token)]);
    let value = HeaderValue::from_maybe_shared(value.to_bytes())
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "it holds more than a token"))?;
    Ok(sensitive(value))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn p17_the_token_is_the_one_that_is_in_the_file_now() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let account = Account::new(Some(path.clone()));
        let error = account.authorization().await.expect_err("no file").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        for token in ["first", "second"] {
            std::fs::write(&path, format!("{token}\n")).expect("written");
            let value = account.authorization().await.expect("a token").expect("one");
            assert_eq!(value, format!("Bearer {token}"));
            assert!(value.is_sensitive());
        }
        for text in ["", " \n", "two\nlines"] {
            std::fs::write(&path, text).expect("written");
            account.authorization().await.expect_err("no token");
        }
        assert!(Account::new(None).authorization().await.expect("nothing").is_none());
    }
}
