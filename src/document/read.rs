//! Reads a type from a document and goes on after each mistake, so that all are found at once.

use serde::de::DeserializeOwned;

use super::fault::Fault;
use super::{Document, MOST_MISTAKES, Report};

impl Document {
    /// Reads the whole document as a `T`, and reports everything that does not fit. What does not
    /// fit is left out of the `T`, which is why its fields should be optional or have defaults.
    ///
    /// `None` if there is nothing to read from (a syntax mistake, a required key missing at the
    /// top). A `Deserialize` may give a message of several lines; those that begin with `expected`
    /// and `help:` are shown in their places. Elements of an array that do not fit are left out.
    pub fn read<T: DeserializeOwned>(&self, report: &mut Report) -> Option<T> {
        if self.ruined {
            return None;
        }
        self.root.forget();
        let mut faults: Vec<(Vec<String>, Fault)> = Vec::new();
        let mut as_toml: Vec<(Vec<String>, Fault)> = Vec::new();
        let read = loop {
            let fault = match T::deserialize(&self.root) {
                Ok(read) => break Some(read),
                Err(fault) => fault,
            };
            let mut path = fault.path();
            path.extend(fault.unplaced_key().map(str::to_owned));
            let (node, steps) = self.root.follow(&path);
            path.truncate(steps);
            if node.can_be_text() && !node.verbatim.replace(true) {
                as_toml.push((path, fault));
                continue;
            }
            let follows = fault.follows_from(&node.refused_keys());
            node.refuse(fault.is_stray());
            let is_root = path.is_empty();
            if !follows {
                // What was wrong with it as TOML says more than what is wrong with it as text.
                let first = as_toml.iter().position(|(earlier, _)| *earlier == path);
                faults.push(first.map_or((path, fault), |at| as_toml.swap_remove(at)));
            }
            if is_root || faults.len() == MOST_MISTAKES {
                break None;
            }
        };
        // Only now is it known which values were understood and may be shown.
        let readable = self.readable();
        for (path, fault) in faults {
            let at_key = fault.is_at_key();
            let place = self.place(&path, at_key, &readable);
            let mistake = fault.into_mistake(place, self.is_secret(&path, at_key));
            report.push(mistake.map(|text| self.censor(text)));
        }
        read
    }
}
