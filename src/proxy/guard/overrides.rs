//! Fields by which some servers take a request for another one, past every look at its first line.

use http::{HeaderMap, Method};

use crate::headers::NameSet;

/// Finds what a request may be taken for, beside what its first line says.
#[derive(Clone, Debug)]
pub(super) struct Overrides {
    methods: NameSet,
    paths: NameSet,
}

/// What the fields of a request say in place of its first line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Overridden<'a> {
    methods: Vec<Method>,
    paths: Vec<&'a str>,
}

/// A field that overrides the first line with what cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unreadable;

impl Overrides {
    /// `None`: nothing, as for nearly every request.
    fn of<'a>(&self, headers: &'a HeaderMap) -> Option<Result<Overridden<'a>, Unreadable>> {
        let is_one = |name: &str| {
            name.starts_with('x') && (self.methods.contains(name) || self.paths.contains(name))
        };
        let overrides = headers.keys().any(|name| is_one(name.as_str()));
        overrides.then(|| self.read(headers))
    }

    /// Judges a request by its first line, and by each other one that a server may take it for.
    pub(super) fn judge_each<E>(
        &self,
        (method, path, headers): (&Method, &str, &HeaderMap),
        judge: impl Fn(&Method, &str) -> Result<(), E>,
        unreadable: E,
    ) -> Result<(), E> {
        judge(method, path)?;
        let Some(other) = self.of(headers) else { return Ok(()) };
        let Ok(other) = other else { return Err(unreadable) };
        let methods = || other.methods.iter().chain([method]);
        let mut paths = other.paths.iter().chain([&path]);
        paths.try_for_each(|path| methods().try_for_each(|method| judge(method, path)))
    }

    fn read<'a>(&self, headers: &'a HeaderMap) -> Result<Overridden<'a>, Unreadable> {
        let mut found = Overridden::default();
        let mut fields = 0;
        for (name, value) in headers {
            let is_method = self.methods.contains(name.as_str());
            fields += usize::from(is_method || self.paths.contains(name.as_str()));
            // Each combination has to be looked at.
            if fields > MOST_FIELDS {
                return Err(Unreadable);
            }
            if is_method {
                let method = value.as_bytes().trim_ascii().to_ascii_uppercase();
                found.methods.push(Method::from_bytes(&method).map_err(|_| Unreadable)?);
            } else if self.paths.contains(name.as_str()) {
                let target = str::from_utf8(value.as_bytes()).map_err(|_| Unreadable)?.trim();
                found.paths.push(path_of(target).ok_or(Unreadable)?);
            }
        }
        Ok(found)
    }
}

/// The path of a target in origin or absolute form. `None`: it is in another, which some servers would
/// mend, or so long that no program means it.
fn path_of(target: &str) -> Option<&str> {
    let target = target.split('?').next().unwrap_or_default();
    let path = if target.starts_with('/') {
        target
    } else {
        let (scheme, rest) = target.split_once("://")?;
        let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let rest = is_web.then_some(rest)?;
        rest.find('/').map_or("/", |path| &rest[path..])
    };
    (path.len() <= LONGEST_PATH).then_some(path)
}

impl Default for Overrides {
    fn default() -> Self {
        Self { methods: NameSet::new(METHODS), paths: NameSet::new(PATHS) }
    }
}

/// Rails, Express, Spring, Symfony, Google's and Microsoft's APIs.
const METHODS: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
/// No program sends more.
const MOST_FIELDS: usize = 2;
/// Bytes.
const LONGEST_PATH: usize = 2048;

/// IIS's rewriting, and frameworks that believe it wherever they run.
const PATHS: [&str; 2] = ["x-original-url", "x-rewrite-url"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_fields_that_stand_for_the_first_line_are_read() {
        let of = |fields: &[(&'static str, &[u8])]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, http::HeaderValue::from_bytes(value).expect("a value"));
            }
            let found = Overrides::default().of(&headers)?;
            Some(found.map(|found| {
                let paths = found.paths.into_iter().map(str::to_owned).collect::<Vec<_>>();
                (found.methods, paths)
            }))
        };
        assert_eq!(of(&[("x-original-host", b"a"), ("x-a", b"/")]), None);
        let fields: [(&str, &[u8]); 2] =
            [("x_http_method_override", b" delete "), ("x-method-override", b"PUT")];
        let found = (vec![Method::DELETE, Method::PUT], vec![]);
        assert_eq!(of(&fields), Some(Ok(found)));
        let fields: [(&str, &[u8]); 2] =
            [("x-original-url", b"/a?b"), ("x_rewrite_url", "/你".as_bytes())];
        let found = (vec![], vec!["/a".to_owned(), "/你".to_owned()]);
        assert_eq!(of(&fields), Some(Ok(found)));
        let hidden = (vec![], vec!["/oauth2/token".to_owned()]);
        let fields = [("x-original-url", b"/oauth2/token?x=://h/allowed".as_slice())];
        assert_eq!(of(&fields), Some(Ok(hidden)));
        let absolute = (vec![], vec!["/a".to_owned()]);
        assert_eq!(of(&[("x-original-url", b"http://host:80/a?b")]), Some(Ok(absolute)));
        assert_eq!(of(&[("x-rewrite-url", b"/a".as_slice()); 3]), Some(Err(Unreadable)));
        let long = [b'/'; LONGEST_PATH + 1];
        for odd in [b"/\xff".as_slice(), b"oauth2/token", b"", b"ftp://h/x", b"x://h/a", &long] {
            assert_eq!(of(&[("x-original-url", odd)]), Some(Err(Unreadable)), "{odd:?}");
        }
        assert_eq!(of(&[("x-http-method", b"GET,PUT")]), Some(Err(Unreadable)));
    }
}
