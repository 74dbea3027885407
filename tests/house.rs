//! The rules by which this repository is built, held by reading its own files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn a_file_imports_only_from_floors_below_its_own() {
    let floors = floors();
    let mut broken = Vec::new();
    for source in sources("src") {
        let own = source.module();
        // The architecture page and the program's entry are outside the house.
        if own == "lib" || own == "main" {
            continue;
        }
        for (line, import) in source.imports() {
            let allowed = match (own, import.as_str()) {
                (own, import) if own == import => true,
                ("cli", SANDBOX) => true,
                (SANDBOX, import) => floors.get(import) == Some(&1),
                // What has no floor, as the simulated vendors, is for nobody in the house.
                (own, import) => floors.get(import).is_some_and(|floor| *floor < floors[own]),
            };
            if !allowed {
                broken.push(format!("{}:{line}: {own} imports {import}", source.path));
            }
        }
    }
    assert_none("a higher floor, or the same, is imported", &broken);
}

#[test]
fn every_module_has_its_floor() {
    let declared: BTreeSet<String> = read("src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .filter(|module| *module != SANDBOX)
        .map(str::to_owned)
        .collect();
    assert_eq!(floors().into_keys().collect::<BTreeSet<_>>(), declared);
}

#[test]
fn no_vendor_is_named_in_the_program() {
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| source.module() != SANDBOX) {
        for (line, text) in source.program() {
            let lower = text.to_lowercase();
            let built_in = text.contains("include_str!(\"../../config/vendors/");
            if !built_in && VENDORS.iter().any(|name| lower.contains(name)) {
                broken.push(format!("{}:{line}: {}", source.path, text.trim()));
            }
        }
    }
    assert_none("vendors are descriptions, not code", &broken);
}

/// What the environment holds for this process alone, as `NOTIFY_SOCKET` and `LISTEN_FDS`, so has no heir.
#[test]
fn no_other_program_is_started() {
    let mut broken = Vec::new();
    for source in sources("src") {
        for (line, text) in source.program() {
            if text.contains("process::Command") || text.contains("CommandExt") {
                broken.push(format!("{}:{line}: {}", source.path, text.trim()));
            }
        }
    }
    assert_none("the program starts no other", &broken);
}

#[test]
fn http_clients_stay_in_their_rooms() {
    for (client, room) in [("hyper::client", "upstream"), ("reqwest::", "token")] {
        let mut broken = Vec::new();
        let mut used = false;
        for source in sources("src") {
            for (line, _) in source.code().filter(|(_, text)| text.contains(client)) {
                used |= source.module() == room;
                if source.module() != room {
                    broken.push(format!("{}:{line}", source.path));
                }
            }
        }
        assert_none(&format!("{client} belongs into {room}"), &broken);
        assert!(used, "{room} does not use {client}: this test looks for the wrong name");
    }
}

#[test]
fn a_file_says_what_it_is_for_and_stays_short() {
    let mut broken = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            broken.push(format!("{}: {lines} lines", source.path));
        }
        if source.path.ends_with("/mod.rs") {
            broken.push(format!("{}: foo.rs stands beside foo/", source.path));
        }
        // A file of unit tests belongs to the one that it tests.
        if !source.text.starts_with("//! ") && !source.is_unit_tests() {
            broken.push(format!("{}: does not open with its purpose", source.path));
        }
    }
    assert_none(&format!("files have a purpose and at most {LONGEST} lines"), &broken);
}

#[test]
fn the_promises_name_their_proofs() {
    let shown = promises();
    let numbers: Vec<u8> = shown.keys().copied().collect();
    assert_eq!(numbers, (1..=PROMISES).collect::<Vec<_>>(), "the promises of tests/README.md");

    let mut proofs: BTreeMap<u8, BTreeSet<String>> = BTreeMap::new();
    let mut broken = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        for number in source.text.lines().filter_map(promise_of_test) {
            if !shown.contains_key(&number) {
                broken.push(format!("{}: a test for promise {number}, which is none", source.path));
            }
            proofs.entry(number).or_default().insert(source.path.clone());
        }
    }
    for (number, named) in &shown {
        let found = proofs.remove(number).unwrap_or_default();
        if found != *named {
            let list: Vec<_> = found.iter().map(|path| format!("`{path}`")).collect();
            let line = format!("Shown by `p{number:02}_…` in {}.", list.join(", "));
            broken.push(format!("promise {number} should say: {line}"));
        }
    }
    assert_none("tests/README.md and the tests differ", &broken);
}

#[test]
fn the_repository_stands_on_its_own() {
    let mut broken = Vec::new();
    for path in files(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        // What is not text can hold no reference.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if OUTSIDE.iter().any(|place| text.contains(place)) {
            broken.push(path.display().to_string());
        }
    }
    assert_none("a file refers to what is not in the repository", &broken);
}

/// One Rust file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    /// The module of the crate's root that the file belongs to.
    fn module(&self) -> &str {
        let inside = self.path.split('/').nth(1).unwrap_or_default();
        inside.strip_suffix(".rs").unwrap_or(inside)
    }

    fn is_unit_tests(&self) -> bool {
        self.path.starts_with("src/")
            && (self.path.ends_with("/tests.rs") || self.path.contains("/tests/"))
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The lines that are no comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The lines before the unit tests, which stand at the foot.
    fn program(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole = if self.is_unit_tests() { "" } else { self.text.as_str() };
        let end = whole.find("\n#[cfg(test)]\nmod ").unwrap_or(whole.len());
        (1..).zip(whole[..end].lines())
    }

    /// What the program names of the crate's root, by `crate::` or by enough `super::`.
    fn imports(&self) -> Vec<(usize, String)> {
        let depth = self.path.matches('/').count();
        let root = "super::".repeat(depth);
        let mut found = Vec::new();
        for (line, text) in self.program() {
            if text.trim_start().starts_with("//") {
                continue;
            }
            for start in ["crate::", root.as_str()] {
                for rest in text.split(start).skip(1) {
                    assert_ne!(rest, "{", "{}:{line}: one `use` a module, please", self.path);
                    found.extend(first_names(rest).into_iter().map(|name| (line, name)));
                }
            }
        }
        found
    }
}

/// The first segments of what follows in a path: `a` of `a::b`, `a` and `c` of `{a::b, c}`.
fn first_names(rest: &str) -> Vec<String> {
    let group = rest.strip_prefix('{').map_or(rest, |inside| inside.trim_end_matches(['}', ';']));
    let parts = if group == rest { vec![rest] } else { group.split(',').collect() };
    let name = |part: &str| {
        let part = part.trim_start();
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
        part[..end].to_owned()
    };
    parts.into_iter().map(name).filter(|name| !name.is_empty() && name != "super").collect()
}

/// The floor of every module, as the table of the architecture page has it.
fn floors() -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    for line in read("src/lib.rs").lines() {
        let mut cells = line.trim_start_matches("//!").split('|').map(str::trim).skip(1);
        let (Some(floor), Some(modules)) = (cells.next(), cells.next()) else { continue };
        let Ok(floor) = floor.parse() else { continue };
        for module in modules.split(',') {
            floors.insert(module.trim().trim_matches(['[', ']', '`']).to_owned(), floor);
        }
    }
    floors
}

/// Every promise of `tests/README.md`, with the files that it says hold its tests.
fn promises() -> BTreeMap<u8, BTreeSet<String>> {
    let text = read("tests/README.md");
    let mut promises = BTreeMap::new();
    for section in text.split("\n### ").skip(1) {
        let (number, rest) = section.split_once('.').expect("`### 1. Title`");
        let number: u8 = number.parse().expect("a number");
        let paragraphs = rest.split("\n\n");
        let shown = paragraphs.filter_map(|text| text.trim().strip_prefix("Shown by "));
        let quoted = shown.flat_map(|text| text.split('`').skip(1).step_by(2));
        let paths = quoted.filter(|text| text.ends_with(".rs")).map(str::to_owned);
        assert!(promises.insert(number, paths.collect()).is_none(), "promise {number} twice");
    }
    promises
}

/// 12 for `async fn p12_…`.
fn promise_of_test(line: &str) -> Option<u8> {
    let line = line.trim_start();
    let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn p")?;
    let (number, _) = name.split_once('_')?;
    (number.len() == 2).then(|| number.parse().ok())?
}

/// The Rust files below a folder of the repository, but for none of its recordings.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = files(&root.join(folder)).into_iter();
    let rust = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<_> = rust
        .map(|path| Source {
            text: fs::read_to_string(&path).expect("a readable file"),
            path: path.strip_prefix(root).expect("a path below the root").display().to_string(),
        })
        .collect();
    assert!(!sources.is_empty(), "{folder} has no Rust files");
    sources
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != ".git" {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}\n", broken.join("\n  "));
}

/// The simulated vendors stand beside the house.
const SANDBOX: &str = "sandbox";
const PROMISES: u8 = 32;
const LONGEST: usize = 400;
/// Lower case.
const VENDORS: [&str; 4] = ["jing", "aiclk", "ogw_", "qutoutiao"];
/// In two parts, so that this file does not break its own rule.
const OUTSIDE: [&str; 2] = [concat!("../", "shared"), concat!("/work", "/shared")];
