//! What callers may ask for: methods, and operations of the vendor's API.

use std::collections::HashMap;

use http::Method;

use crate::vendor::operation::Operation;
use crate::vendor::path::{Certain, PathPattern};

/// Everything that may be asked for. By itself that is all there is; each list that is added narrows
/// it, and a request must be on every one of them.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    /// Before the vendor's paths in every target.
    base: String,
    methods: Option<Vec<Method>>,
    lists: Vec<Operations>,
}

/// What of a request is not on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// The path may be called, but not with this method.
    Method,
    Path,
}

/// Patterns without a `*` are looked up, the others tried one by one.
#[derive(Clone, Debug, Default)]
struct Operations {
    exact: HashMap<String, Methods>,
    patterns: Vec<(PathPattern, Methods)>,
}

/// `None`: any.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Methods(Option<Vec<Method>>);

impl AllowList {
    /// Narrows it to these methods.
    #[must_use]
    pub fn to_methods(mut self, methods: Vec<Method>) -> Self {
        self.methods = Some(match self.methods {
            Some(before) => before.into_iter().filter(|one| methods.contains(one)).collect(),
            None => methods,
        });
        self
    }

    /// Narrows it to these operations.
    #[must_use]
    pub fn to(mut self, operations: &[Operation]) -> Self {
        self.lists.push(Operations::new(operations));
        self
    }

    /// The same list for an API whose paths all have `base` before them.
    #[must_use]
    pub fn below(mut self, base: &str) -> Self {
        self.base.insert_str(0, base);
        self
    }

    /// Whether everything may be asked for.
    pub fn is_open(&self) -> bool {
        self.methods.is_none() && self.lists.is_empty()
    }

    /// `path` is the vendor's, as it is about to be sent.
    ///
    /// # Errors
    /// When this may not be asked for.
    pub fn admits(&self, method: &Method, path: &str) -> Result<(), Unlisted> {
        if self.methods.as_ref().is_some_and(|methods| !methods.contains(method)) {
            return Err(Unlisted::Method);
        }
        if self.lists.is_empty() {
            return Ok(());
        }
        let path = match path.strip_prefix(self.base.as_str()) {
            Some(path) => path,
            // The server as a whole, which has no place below a path.
            None if path == "*" => path,
            None => return Err(Unlisted::Path),
        };
        let certain = Certain::of(path);
        self.lists.iter().try_for_each(|list| list.admit(method, certain.as_ref()))
    }
}

impl Operations {
    fn new(operations: &[Operation]) -> Self {
        let mut list = Self::default();
        for Operation { method, path } in operations {
            let text = path.as_str();
            let methods = if text.contains('*') {
                let known = list.patterns.iter().position(|(pattern, _)| pattern == path);
                let at = known.unwrap_or_else(|| {
                    list.patterns.push((path.clone(), Methods::none()));
                    list.patterns.len() - 1
                });
                &mut list.patterns[at].1
            } else {
                list.exact.entry(text.to_owned()).or_insert_with(Methods::none)
            };
            methods.add(method.as_ref());
        }
        list
    }

    fn admit(&self, method: &Method, path: Option<&Certain<'_>>) -> Result<(), Unlisted> {
        let exact = path.and_then(|path| self.exact.get(path.as_str()));
        let patterns = self.patterns.iter().filter(|(pattern, _)| pattern.matches(path));
        let mut unlisted = Unlisted::Path;
        for methods in exact.into_iter().chain(patterns.map(|(_, methods)| methods)) {
            if methods.contain(method) {
                return Ok(());
            }
            unlisted = Unlisted::Method;
        }
        Err(unlisted)
    }
}

impl Methods {
    fn none() -> Self {
        Self(Some(Vec::new()))
    }

    fn add(&mut self, method: Option<&Method>) {
        match (&mut self.0, method) {
            (Some(methods), Some(method)) => methods.push(method.clone()),
            _ => self.0 = None,
        }
    }

    fn contain(&self, method: &Method) -> bool {
        self.0.as_ref().is_none_or(|methods| methods.contains(method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        AllowList::default().to(&operations(entries))
    }

    fn operations(entries: &[&str]) -> Vec<Operation> {
        entries.iter().map(|text| Operation::parse(text).expect("an entry")).collect()
    }

    #[test]
    fn p23_an_entry_with_a_method_permits_that_method() {
        let list = list(&["GET /a", "POST /a", "/b", "GET /c/*", "PUT /c/d/*", "DELETE /c/d/*"]);
        for (method, path, verdict) in [
            (Method::GET, "/a", Ok(())),
            (Method::POST, "/a", Ok(())),
            (Method::PUT, "/a", Err(Unlisted::Method)),
            // A HEAD is asked for by its own name.
            (Method::HEAD, "/a", Err(Unlisted::Method)),
            (Method::PUT, "/b", Ok(())),
            (Method::GET, "/c/d/e", Ok(())),
            (Method::PUT, "/c/d/e", Ok(())),
            (Method::PUT, "/c/e", Err(Unlisted::Method)),
            (Method::DELETE, "/c/d/e", Ok(())),
            (Method::GET, "/", Err(Unlisted::Path)),
            (Method::GET, "/A", Err(Unlisted::Path)),
        ] {
            assert_eq!(list.admits(&method, path), verdict, "{method} {path}");
        }
    }

    #[test]
    fn p23_lists_narrow_each_other() {
        let all = AllowList::default();
        assert!(all.is_open() && all.admits(&Method::PATCH, "*").is_ok());
        let both = list(&["GET /a/*", "/b"]).to(&operations(&["/a/1", "POST /b"]));
        assert_eq!(both.admits(&Method::GET, "/a/1"), Ok(()));
        assert_eq!(both.admits(&Method::GET, "/a/2"), Err(Unlisted::Path));
        assert_eq!(both.admits(&Method::POST, "/b"), Ok(()));
        assert_eq!(both.admits(&Method::GET, "/b"), Err(Unlisted::Method));
        let read = both.to_methods(vec![Method::GET, Method::HEAD]).to_methods(vec![Method::GET]);
        assert_eq!(read.admits(&Method::POST, "/b"), Err(Unlisted::Method));
        assert_eq!(read.admits(&Method::HEAD, "/a/1"), Err(Unlisted::Method));
        assert_eq!(list(&[]).admits(&Method::GET, "/"), Err(Unlisted::Path));
    }

    #[test]
    fn p23_a_list_holds_below_a_base_path() {
        let list = list(&["/a/*", "/b"]).below("/base%20path");
        for (path, passes) in [
            ("/base%20path/a/x", true),
            ("/base%20path/b", true),
            ("/base%20path/c", false),
            ("/base%20path/a/../../x", false),
        ] {
            assert_eq!(list.admits(&Method::GET, path).is_ok(), passes, "{path}");
        }
    }
}
