//! The pages for people: every command that the README gives is run as it stands there, in a folder of
//! its own and before the simulated vendors, and every link leads somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokenward::sandbox::{FaultKind, Settings, Vendor};
use tokio::process::Command;

use crate::support::process::{Process, run, tokenward};
use crate::support::vendors::{Home, Vendors, get_until};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PAGES: [&str; 2] = ["README.md", "README.zh.md"];

fn read(page: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(page);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between the fences of this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let inside = |rest: &str| rest.split_once("```").expect("the end of a block").0.to_owned();
    page.split(&fence).skip(1).map(inside).collect()
}

/// The commands of a page, without their comments.
fn commands(page: &str) -> Vec<String> {
    let shell = blocks(page, "sh").concat();
    let console = blocks(page, "console").concat();
    let typed = console.lines().filter_map(|line| line.strip_prefix("$ "));
    let lines = shell.lines().chain(typed);
    let bare = lines.map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned());
    bare.filter(|line| !line.is_empty()).collect()
}

/// The first config of the page, with its files in this folder, its vendors simulated, and free ports.
fn config(page: &str, home: &Home, vendors: &Vendors) -> String {
    let configs = blocks(page, "toml");
    let config = configs.first().expect("a config");
    let mut text = config.replace("/run/secrets/", &format!("{}/", home.path().display()));
    for port in [":9464", ":8081", ":8082"] {
        assert!(text.contains(port), "{port} in {config}");
        text = text.replace(port, ":0");
    }
    // The seed comes by `tokenward seed`, which is on the page too.
    let lines = text.lines().filter(|line| !line.starts_with("credentials.refresh_token"));
    let base_url = format!("base_url = \"http://{}\"", vendors.address);
    let with_url = |line: &str| match line.starts_with("vendor = ") {
        true => format!("{line}\n{base_url}\n"),
        false => format!("{line}\n"),
    };
    lines.map(with_url).collect()
}

#[tokio::test]
async fn every_command_of_the_readme_works() {
    for name in PAGES {
        let page = read(name);
        let settings = Settings::default();
        let vendors = Vendors::start(settings.clone()).await;
        let home = Home::with("");
        std::fs::write(home.config(), config(&page, &home, &vendors)).expect("written");
        home.put("jing_app_secret", &settings.jing.app_secret);
        home.put("FILE", &settings.aiclk.first_refresh_token);
        let mut gateway = None;
        let mut seen = BTreeSet::new();
        let mut left = commands(&page);
        assert!(left.len() >= 8, "{name}: {left:?}");
        // The seed may be put in before, and here has to be; a call needs a gateway.
        left.sort_by_key(|line| match () {
            () if line.contains("tokenward check") || line.contains("tokenward seed") => 0,
            () if line.starts_with("curl") => 2,
            () => 1,
        });
        for line in left {
            let (program, words) = line.split_once(' ').unwrap_or((&line, ""));
            let kind = match program {
                "target/release/tokenward" => words.split(' ').next().unwrap_or_default(),
                "cargo" => words.split(' ').next_back().unwrap_or_default(),
                "curl" => "curl",
                _ => "script",
            };
            let mut command = tokenward();
            command.current_dir(home.path()).env("JING_APP_ID", &settings.jing.app_id);
            command.env("AICLK_CLIENT_ID", &settings.aiclk.client_id);
            command.args(words.split_whitespace());
            match kind {
                "run" => {
                    command.args(["--log-format", "json"]);
                    let process = Process::start(command);
                    process.admin().await;
                    gateway = Some(process);
                }
                "check" | "seed" => {
                    let ended = run(command).await;
                    assert_eq!(ended.code, Some(0), "{name}: {line}: {}", ended.stderr);
                }
                "wait" | "status" => {
                    let gateway: &Process = gateway.as_ref().expect("it runs by then");
                    command.env("TOKENWARD_ADMIN", gateway.admin().await);
                    let ended = run(command).await;
                    assert_eq!(ended.code, Some(0), "{name}: {line}: {}", ended.stderr);
                }
                "curl" => {
                    let gateway = gateway.as_ref().expect("it runs by then");
                    called(&line, gateway, &vendors).await;
                }
                "demo" => {
                    let mut demo = tokenward();
                    demo.arg("demo");
                    let demo = Process::start(demo);
                    let said = demo.said(|text| text.contains("Ctrl-C")).await;
                    assert!(said.matches("curl").count() >= 3, "{said}");
                }
                // What has built the program under test.
                "--release" => assert_eq!(words, "build --release"),
                _ => assert_script(&line),
            }
            seen.insert(kind.to_owned());
        }
        for kind in ["demo", "--release", "check", "run", "wait", "status", "seed", "script"] {
            assert!(seen.contains(kind), "{name} does not show {kind}: {seen:?}");
        }
    }
}

/// A call from the page, which meets a rejection, as the page tells.
async fn called(line: &str, gateway: &Process, vendors: &Vendors) {
    get_until(format!("{}/readyz", gateway.admin().await), |it| it.status == 200).await;
    vendors.sandbox.fault(Vendor::Aiclk, FaultKind::Expire);
    let listener = gateway.upstream("aiclk").await;
    let address = listener.strip_prefix("http://").unwrap_or(&listener);
    assert!(line.contains("127.0.0.1:8082"), "{line}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &line.replace("127.0.0.1:8082", address)]);
    let ended = run(bash).await;
    assert!(ended.stdout.contains("tokenward-retry: recovered"), "{line}: {}", ended.stdout);
}

/// It is there, can be started and is understood by its interpreter; others run it.
fn assert_script(line: &str) {
    let line = line.strip_prefix("bash ").unwrap_or(line);
    let path = Path::new(ROOT).join(line.split(' ').next().unwrap_or_default());
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(text.starts_with(b"#!"), "{line}");
    let mode = std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("a file"));
    assert_ne!(mode & 0o111, 0, "{line} cannot be executed");
}

/// Every page of the repository.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found
}

/// A page's text without its code, which has brackets of its own.
fn prose(page: &Path) -> String {
    let text = read(page);
    let outside = |(at, piece): (usize, &str)| (at % 2 == 0).then(|| piece.to_owned());
    let text: String = text.split("```").enumerate().filter_map(outside).collect();
    text.replace('\n', " \n")
}

/// What the headings of a page are linked by.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = prose(page);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|it| it.is_alphanumeric() || "-_".contains(*it)).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let mut lost = Vec::new();
    let mut links = 0;
    for page in pages() {
        for piece in prose(&page).split("](").skip(1) {
            let target = piece.split([')', ' ']).next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.clone(),
                file => page.parent().expect("a folder").join(file),
            };
            let has_anchor = || anchors(&path).contains(anchor);
            if !path.exists() || (!anchor.is_empty() && !has_anchor()) {
                lost.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(links > 80, "{links}");
    assert!(lost.is_empty(), "{lost:#?}");
}
