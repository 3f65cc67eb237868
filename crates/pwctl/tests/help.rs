//! Help texts, word for word: changing the command line means reading this file as a diff.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const COMMANDS: [&str; 76] = [
    "",
    "create",
    "run",
    "ls",
    "get",
    "start",
    "stop",
    "restart",
    "rebuild",
    "resize",
    "extend",
    "wait",
    "events",
    "rm",
    "keys",
    "label",
    "ssh",
    "ssh-command",
    "config-ssh",
    "ssh-proxy",
    "exec",
    "logs",
    "console",
    "cp",
    "open",
    "host",
    "host ls",
    "host found",
    "host adopt",
    "host rm",
    "image",
    "image ls",
    "image name",
    "me",
    "user",
    "user ls",
    "user create",
    "user rm",
    "user enable",
    "user disable",
    "user code",
    "user role",
    "team",
    "team ls",
    "team get",
    "team create",
    "team rm",
    "team add",
    "team remove",
    "share",
    "share ls",
    "unshare",
    "transfer",
    "quota",
    "quota show",
    "quota ls",
    "quota set",
    "key",
    "key ls",
    "key add",
    "key rm",
    "token",
    "token ls",
    "token create",
    "token rm",
    "audit",
    "login",
    "logout",
    "config",
    "config list",
    "config use",
    "config set",
    "config rm",
    "doctor",
    "completion",
    "version",
];

fn help(command: &str) -> String {
    let mut pwctl = Command::new(env!("CARGO_BIN_EXE_pwctl"));
    pwctl.args(command.split_whitespace()).arg("--help").env_clear();
    let output = pwctl.output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{command}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_texts_are_the_checked_in_ones() {
    let mut text = String::new();
    for command in COMMANDS {
        writeln!(
            text,
            "$ pwctl {}\n{}",
            format!("{command} --help").trim_start(),
            help(command)
        )
        .unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        text == checked_in,
        "help changed; look at the difference after: UPDATE_GOLDEN=1 cargo test -p pwctl"
    );
}

#[test]
fn every_command_is_in_the_list() {
    let listed = |of: &str| -> Vec<String> {
        let text = help(of);
        let lines = text
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        names.filter(|name| name != "help").collect()
    };
    for top in listed("") {
        assert!(COMMANDS.contains(&top.as_str()), "{top}");
        for inner in listed(&top) {
            assert!(
                COMMANDS.contains(&format!("{top} {inner}").as_str()),
                "{top} {inner}"
            );
        }
    }
}

#[test]
fn a_mistake_in_the_command_line_is_usage() {
    for (arguments, status) in [
        (&["nonsense"][..], 2),
        (&["create", "web"], 2),
        (&["ssh"], 255),
        (&["--url", "x", "ssh"], 255),
        (&["exec"], 125),
        (&["run"], 125),
        (&["--context", "x", "exec"], 125),
        (&["ls", "--json", "-o", "yaml"], 2),
        (&["rm"], 2),
        (&["cp", "only-one"], 2),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_pwctl"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_mistake_is_one_line_of_json_where_that_is_asked_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_pwctl"))
        .args(["create", "--json"])
        .output()
        .unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    let problem: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1));
    assert_eq!(problem["code"], "usage");
}
