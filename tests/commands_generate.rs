//! What the program prints about itself for other programs: the schema of its config, completions for
//! shells, and manual pages. Each is used as it is meant to be.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::support::process::{Ended, run, tokenward};
use crate::support::vendors::Home;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const COMMANDS: [&str; 12] = [
    "run",
    "demo",
    "sandbox",
    "check",
    "seed",
    "status",
    "wait",
    "classify",
    "probe",
    "schema",
    "completions",
    "man",
];

async fn told(words: &[&str]) -> String {
    let mut command = tokenward();
    command.args(words);
    let ended = run(command).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{words:?}");
    ended.stdout
}

fn program(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// The configs that come with the program, and the full one with its optional keys switched on.
fn shipped(home: &Home) -> Vec<PathBuf> {
    let config = Path::new(ROOT).join("config");
    let full = std::fs::read_to_string(config.join("tokenward.toml")).expect("the example");
    let lines = full.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    let full = lines.collect::<Vec<_>>().join("\n");
    let mut paths = vec![home.put("full.toml", &full)];
    let mut folders = vec![config];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with("tokenward.toml") => paths.push(path),
                false => {}
            }
        }
    }
    paths
}

/// Where each config does not fit the schema.
async fn misfits(home: &Home, configs: &[PathBuf]) -> Vec<Vec<String>> {
    let schema = home.put("schema.json", &told(&["schema"]).await);
    let script = format!("{ROOT}/tests/schema/validate.py");
    let mut python = program(&["python3", "-I", &script]);
    python.arg(schema).args(configs);
    let Ended { code, stdout, stderr } = run(python).await;
    assert_eq!(code, Some(0), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn p32_the_schema_takes_every_config_that_comes_with_the_program() {
    let home = Home::with("");
    let configs = shipped(&home);
    assert!(configs.len() >= 6, "{configs:?}");
    for (path, misfits) in configs.iter().zip(misfits(&home, &configs).await) {
        assert_eq!(misfits, Vec::<String>::new(), "{}", path.display());
    }
}

#[tokio::test]
async fn p32_the_schema_refuses_what_the_parser_refuses() {
    let mistakes = [
        ("nope = 1", ""),
        ("workers = 0", "workers"),
        ("log.format = \"xml\"", "log.format"),
        ("admin.lisen = \"127.0.0.1:9464\"", "admin"),
        ("admin.listen = 9464", "admin.listen"),
        ("admin.listen = \"127.0.0.1\"", "admin.listen"),
        ("store.kind = \"disk\"", "store.kind"),
        ("store.url = { nope = \"x\" }", "store.url"),
        ("store.encryption_key = [{ env = \"A\", file = \"b\" }]", "store.encryption_key"),
        ("shutdown.grace = 10", "shutdown.grace"),
        ("shutdown.minimum = \"soon\"", "shutdown.minimum"),
        ("gateway.socket.mode = \"0o660\"", "gateway.socket.mode"),
        ("[upstream.\"X Y\"]\nvendor = \"jing\"", "upstream"),
        ("[upstream.x]\nbase_url = \"ftp://x\"", "upstream.x.base_url"),
        ("[upstream.x]\ninject.a = \"no\"", "upstream.x.inject.a"),
        ("[upstream.x]\nreplay.max_body = \"1 M\"", "upstream.x.replay.max_body"),
        ("[upstream.x]\nrefresh.margin = \"5 parsecs\"", "upstream.x.refresh.margin"),
        ("[upstream.x]\nrefresh.daily_limit = -1", "upstream.x.refresh.daily_limit"),
        ("[upstream.x]\nguard.token_endpoint = \"emulat\"", "upstream.x.guard.token_endpoint"),
        ("[upstream.x]\ntls.min_version = \"1.1\"", "upstream.x.tls.min_version"),
        ("[upstream.x]\ncredentials.a = 5", "upstream.x.credentials.a"),
        ("[[upstream.x.reject]]\nstatus = [401]", "upstream.x.reject.0"),
        ("[[upstream.x.reject]]\nverdict = \"dead\"", "upstream.x.reject.0.verdict"),
    ];
    let home = Home::with("");
    let good = home.put("good.toml", &whole("workers = 1"));
    let put =
        |(at, (text, _)): (usize, &(&str, &str))| home.put(&format!("{at}.toml"), &whole(text));
    let mistaken = mistakes.iter().enumerate().map(put);
    let configs: Vec<_> = [good].into_iter().chain(mistaken).collect();
    let mut places: Vec<Vec<String>> = vec![Vec::new()];
    places.extend(mistakes.iter().map(|(_, place)| vec![(*place).to_owned()]));
    for ((config, place), misfits) in
        configs.iter().zip(&places).zip(misfits(&home, &configs).await)
    {
        let text = std::fs::read_to_string(config).expect("written");
        assert_eq!(misfits, *place, "{text}");
        let mut check = tokenward();
        check.args(["check", "--config"]).arg(config);
        let code = if place.is_empty() { 0 } else { 2 };
        assert_eq!(run(check).await.code, Some(code), "the parser differs: {text}");
    }
}

/// A config whose only mistake is this piece.
fn whole(piece: &str) -> String {
    let table = "[upstream.x]\nvendor = \"aiclk\"\nlisten = \"127.0.0.1:0\"\n\
                 credentials.client_id = \"id\"\n";
    match piece.strip_prefix("[upstream.x]\n") {
        Some(keys) => format!("{table}{keys}\n"),
        None if piece.starts_with("[[") => format!("{table}{piece}\n"),
        None => format!("{piece}\n{table}"),
    }
}

#[tokio::test]
async fn p32_the_schema_says_what_each_key_means() {
    let schema: Value = serde_json::from_str(&told(&["schema"]).await).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let upstream = &schema["properties"]["upstream"]["additionalProperties"];
    let margin = &upstream["properties"]["refresh"]["properties"]["margin"];
    let meaning = margin["description"].as_str().expect("a description");
    assert!(meaning.contains("20 %"), "{margin:#}");
}

/// What a shell offers for the beginning of a command line.
async fn completed(shell: &str, home: &Home, line: &str) -> Vec<String> {
    let script = home.put(&format!("_tokenward.{shell}"), &told(&["completions", shell]).await);
    let file = script.display();
    let asked = match shell {
        "bash" => format!(
            "source {file}; COMP_WORDS=({line}\"\"); [[ '{line}' == *' ' ]] || COMP_WORDS=({line}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _tokenward tokenward \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        ),
        _ => format!("source {file}; complete -C '{line}'"),
    };
    let mut shell = program(&[shell, "-c", &asked]);
    shell.env("HOME", home.path());
    let ended = run(shell).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}: {}", ended.stdout);
    let first = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    ended.stdout.lines().map(first).collect()
}

#[tokio::test]
async fn a_shell_that_has_loaded_its_completions_completes_commands_and_options() {
    let home = Home::with("");
    for shell in ["bash", "fish"] {
        let commands = completed(shell, &home, "tokenward ").await;
        for command in COMMANDS {
            assert!(commands.iter().any(|it| it == command), "{shell}: {command}: {commands:?}");
        }
        let options = completed(shell, &home, "tokenward wait --t").await;
        assert_eq!(options, ["--timeout"], "{shell}");
    }
}

#[tokio::test]
async fn zsh_takes_its_completions() {
    let home = Home::with("");
    home.put("_tokenward", &told(&["completions", "zsh"]).await);
    let folder = home.path().display();
    let line = format!(
        "fpath=({folder} $fpath); autoload -Uz compinit && compinit -u -d {folder}/dump && \
         print ${{_comps[tokenward]}} && autoload +X _tokenward && functions _tokenward"
    );
    let ended = run(program(&["zsh", "-f", "-c", &line])).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    assert!(ended.stdout.starts_with("_tokenward\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("--timeout="), "it was not loaded");
}

/// Bold and underlined letters are typed twice, with a backspace between.
fn without_overstrikes(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        match letter {
            '\u{8}' => drop(plain.pop()),
            letter => plain.push(letter),
        }
    }
    plain
}

#[tokio::test]
async fn every_command_has_a_manual_page_that_man_can_show() {
    let home = Home::with("");
    let folder = home.path().join("man1");
    told(&["man", "--to", &folder.display().to_string()]).await;
    for name in [""].into_iter().chain(COMMANDS) {
        let dash = if name.is_empty() { "" } else { "-" };
        let page = folder.join(format!("tokenward{dash}{name}.1"));
        let path = page.display().to_string();
        let mut man = program(&["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", &path]);
        man.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8");
        let Ended { code, stdout, stderr } = run(man).await;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{path}");
        let text = without_overstrikes(&stdout);
        assert!(text.contains("NAME\n") && text.contains("SYNOPSIS\n"), "{text}");
        let words = if name.is_empty() { vec!["man"] } else { vec!["man", name] };
        let printed = told(&words).await;
        let written = std::fs::read_to_string(&page).expect("a page");
        assert_eq!(printed.trim_end(), written.trim_end(), "{name}");
        let lint = run(program(&["mandoc", "-T", "lint", "-W", "error", &path])).await;
        assert_eq!((lint.code, lint.stdout.as_str()), (Some(0), ""), "{path}: {}", lint.stderr);
    }
    let page = told(&["man"]).await;
    for says in ["TOKENWARD_CONFIG", "exit code"] {
        assert!(page.contains(says), "{says}: {page}");
    }
    let mut unknown = tokenward();
    unknown.args(["man", "nothing"]);
    assert_eq!(run(unknown).await.code, Some(2));
}
