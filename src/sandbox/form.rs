//! Multipart forms (RFC 7578), read strictly: nothing stands before the first field, text is UTF-8,
//! and no field is a file.

use super::strict::Mistake;

/// Names and values, as they stand in the body.
pub(super) fn fields<'a>(
    body: &'a [u8],
    boundary: &str,
) -> Result<Vec<(&'a str, &'a str)>, Mistake> {
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = text.strip_prefix(delimiter.trim_start()).ok_or_else(malformed)?;
    let mut fields = Vec::new();
    while !rest.starts_with("--") {
        let part = rest.strip_prefix("\r\n").ok_or_else(malformed)?;
        let (head, body) = part.split_once("\r\n\r\n").ok_or_else(malformed)?;
        let (value, next) = body.split_once(&delimiter).ok_or_else(malformed)?;
        fields.push((name(head)?, value));
        rest = next;
    }
    Ok(fields)
}

/// The name that a part's head gives it.
fn name(head: &str) -> Result<&str, Mistake> {
    let mut dispositions = head.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    });
    let (Some(disposition), None) = (dispositions.next(), dispositions.next()) else {
        return Err(malformed());
    };
    let mut rest = disposition.strip_prefix("form-data").ok_or_else(malformed)?;
    let mut name = None;
    while !rest.is_empty() {
        let parameter = rest.trim_start().strip_prefix(';').ok_or_else(malformed)?;
        let (key, value) = parameter.split_once("=\"").ok_or_else(malformed)?;
        let (value, next) = value.split_once('"').ok_or_else(malformed)?;
        match key.trim() {
            "name" if name.is_none() => name = Some(value),
            "filename" | "filename*" => return Err(Mistake::new("the form holds a file")),
            _ => return Err(malformed()),
        }
        rest = next;
    }
    name.ok_or_else(malformed)
}

fn malformed() -> Mistake {
    Mistake::new("the form is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Content-Disposition: form-data; name=";

    #[test]
    fn fields_are_read_in_their_order() {
        let body = format!(
            "--b\r\n{HEAD}\"one\"\r\n\r\nfirst\r\n--b\r\nContent-Type: text/plain\r\n\
             content-disposition:form-data ; name=\"two\"\r\n\r\n--\r\n-b\r\n\r\n--b--\r\n"
        );
        let expected = vec![("one", "first"), ("two", "--\r\n-b\r\n")];
        assert_eq!(fields(body.as_bytes(), "b"), Ok(expected));
        assert_eq!(fields(b"--b--", "b"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_plain_form_is_a_mistake() {
        let whole = format!("--b\r\n{HEAD}\"one\"\r\n\r\nfirst\r\n--b--\r\n");
        assert!(fields(whole.as_bytes(), "b").is_ok());
        for (from, to) in [
            ("--b\r\nContent", "before\r\n--b\r\nContent"),
            ("--b--", "--b"),
            ("--b--", "--"),
            ("\r\n\r\n", "\r\n"),
            ("form-data", "attachment"),
            ("name=", "nom="),
            ("\"one\"", "one"),
            ("\"one\"", "\"one\"; name=\"two\""),
            ("\"one\"", "\"one"),
            ("Content-Disposition", "Content-Type"),
            ("first", "\r\n--by"),
        ] {
            let body = whole.replacen(from, to, 1);
            assert_eq!(fields(body.as_bytes(), "b"), Err(malformed()), "{from} -> {to}");
        }
        assert_eq!(fields(b"--b\r\n\xff\r\n--b--", "b"), Err(malformed()));
        let file = whole.replace("\"one\"", "\"one\"; filename=\"a\"");
        assert_eq!(fields(file.as_bytes(), "b"), Err(Mistake::new("the form holds a file")));
    }
}
