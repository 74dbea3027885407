//! What has been a secret is gone from memory, and no core dump shows what is one (p26).

use tokio::process::Command;

use crate::support::memory::{Copy, copies};
use crate::support::process::{Process, gateway};
use crate::support::vendors::{Home, client, get, get_until, send};
use crate::support::{Answer, RawVendor, recording};

/// Forty letters and digits, as a vendor might make them: unlike everything else in the memory.
const ACCESS: [&str; 2] =
    ["qT7wZ1xKb93LmVd5RfYc0HnJs8GpUa2EoXiM4zNt", "Vb6yWq0TzKd82RmCx5LfHj1NpGs7YaUo9EiXnM3c"];
const REFRESH: [&str; 2] =
    ["Hs3kPz8QvXn51TbGy7WdJm0RcLf6EoUa2YiKx9Nq", "Lw9mCe4ZtYj27QpVk1HxBs6DnRg0FuTo8IaMz5Xy"];
const APP_SECRET: &str = "Gd5rTn2YwQ8bLz7KpXs0VhJm4CfEo1UaHiRx6NqB";

fn config(vendor: &RawVendor, more: &str) -> Home {
    let at = vendor.address;
    // Its token goes into the query.
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vendors/wechat.toml");
    Home::with(&format!(
        r#"
{more}
workers = 1
admin.listen = "127.0.0.1:0"
store.path = "tokens.json"
[upstream.jing]
vendor = "jing"
listen = "127.0.0.1:0"
base_url = "http://{at}"
credentials = {{ app_id = "an-app-id", app_secret = {{ file = "secret" }} }}
[upstream.wechat]
vendor = "{description}"
listen = "127.0.0.1:0"
base_url = "http://{at}"
credentials = {{ appid = "an-app-id", secret = {{ file = "secret" }} }}
"#
    ))
}

/// A gateway that has the first pair of tokens, and whatever memory its calls have taken.
async fn serving(home: &Home) -> (Process, String, [String; 2]) {
    home.put("secret", APP_SECRET);
    let process = Process::start(gateway(&home.config()));
    let (admin, jing) = (process.admin().await, process.upstream("jing").await);
    let wechat = process.upstream("wechat").await;
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    (process, admin, [jing, wechat])
}

async fn vendor() -> RawVendor {
    let vendor = RawVendor::start().await;
    for (access, refresh) in ACCESS.into_iter().zip(REFRESH) {
        let values = [("access_token", access), ("refresh_token", refresh), ("expires_in", "7200")];
        vendor.token_endpoint_will(
            "jing",
            Answer::json(200, &recording("jing/token_success", &values)),
        );
    }
    vendor
}

#[tokio::test]
async fn p26_a_token_that_was_rotated_is_gone_from_memory() {
    let vendor = vendor().await;
    let home = config(&vendor, "core_dumps = true");
    let (process, admin, upstreams) = serving(&home).await;
    let calls = async || {
        for upstream in &upstreams {
            for _ in 0..20 {
                assert_eq!(get(format!("{upstream}/v1/x")).await.status, 200);
            }
        }
    };
    calls().await;
    let queried = vendor.token("wechat", 1);
    for used in [ACCESS[0], &queried] {
        let copies = copies(process.pid(), used);
        assert!(!copies.is_empty(), "a token in use stands in memory: the search finds nothing");
    }

    for upstream in ["jing", "wechat"] {
        let refresh = client().post(format!("{admin}/-/refresh/{upstream}"));
        let refresh = refresh.header("Content-Length", "0");
        assert_eq!(send(refresh).await.expect("an answer").status, 200);
    }
    calls().await;
    let gone =
        [("access token", ACCESS[0]), ("refresh token", REFRESH[0]), ("query token", &queried)];
    for (what, secret) in gone {
        let left = copies(process.pid(), secret);
        let wire = left.iter().filter(|copy| copy.is_of_the_wire()).count();
        println!("the old {what}: {} copies, {wire} of them in buffers of libraries", left.len());
        let ours: Vec<_> = left.iter().filter(|copy| !copy.is_of_the_wire()).map(shown).collect();
        assert!(ours.is_empty(), "copies of the old {what}:\n{}", ours.join("\n"));
    }
    let living = copies(process.pid(), APP_SECRET);
    let ours: Vec<_> = living.iter().filter(|copy| !copy.is_of_the_wire()).map(shown).collect();
    assert_eq!(ours.len(), 2, "one for each upstream that has it:\n{}", ours.join("\n"));
}

fn shown(copy: &Copy) -> String {
    let Copy { region, before, after } = copy;
    let (before, after) = (before.escape_ascii(), after.escape_ascii());
    format!("{region}: {before}<SECRET>{after}")
}

/// What the kernel says of a process: a number of its `status`, or a limit.
fn fact(pid: u32, file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a process");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line[name.len()..].trim_start_matches(':').trim().to_owned()
}

#[tokio::test]
async fn p26_there_is_no_core_dump_unless_it_is_asked_for() {
    for (more, permitted) in [("", false), ("core_dumps = true", true)] {
        let vendor = vendor().await;
        let home = config(&vendor, more);
        home.put("secret", APP_SECRET);
        // As far as the machine lets it, a core would be written into the folder.
        let mut command = Command::new("sh");
        let run = "ulimit -c unlimited; cd \"$1\"; exec \"$0\" run --log-format json --config tokenward.toml";
        command.args(["-c", run, env!("CARGO_BIN_EXE_tokenward")]).arg(home.path());
        let process = Process::start(command);
        process.admin().await;
        let limit = fact(process.pid(), "limits", "Max core file size");
        assert_eq!(limit.starts_with("unlimited"), permitted, "{limit}");
        process.signal("ABRT").await;
        let ended = process.ended().await;
        assert_eq!(ended.code, None, "killed by a signal");
        let cores = std::fs::read_dir(home.path()).expect("a folder").filter(|entry| {
            let name = entry.as_ref().expect("an entry").file_name();
            name.to_string_lossy().starts_with("core")
        });
        let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a pattern");
        match permitted {
            false => assert_eq!(cores.count(), 0),
            true if pattern.trim() == "core" => assert_eq!(cores.count(), 1),
            true => println!("this machine writes cores elsewhere: {pattern}"),
        }
    }
}
