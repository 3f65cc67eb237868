//! What `make install` brings, tried as people do: completion on a terminal of each shell, and `man`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cloud::{Cloud, Ended};
use crate::streams::terminal::{SIZE, Terminal};
use crate::streams::with_web;

/// Below which everything is installed.
struct Installed {
    root: PathBuf,
}

impl Installed {
    async fn make(cloud: &Cloud) -> Self {
        let installed = Self {
            root: cloud.folder.path().join("dest/usr"),
        };
        installed.of(cloud, "install").await;
        installed
    }

    async fn of(&self, cloud: &Cloud, target: &str) {
        let programs = Path::new(env!("CARGO_BIN_EXE_pwctl")).parent().unwrap();
        let mut make = tokio::process::Command::new("make");
        make.arg("-C")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        make.args(["-s", target, "PREFIX=/usr"]);
        make.arg(format!("DESTDIR={}", cloud.folder.path().join("dest").display()));
        let ended: Ended = make.env("PROGRAMS", programs).output().await.unwrap().into();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// A program on a terminal that finds what is installed and nothing of this person's.
    fn on_terminal(&self, cloud: &Cloud, words: &[&str]) -> Terminal {
        // A session of its own: fish wants the terminal to be its.
        let mut command = cloud.command_of("/usr/bin/setsid");
        command
            .arg("-cw")
            .arg(format!("/usr/bin/{}", words[0]))
            .args(&words[1..]);
        command.env(
            "PATH",
            format!("{}:/usr/bin:/bin", self.root.join("bin").display()),
        );
        command.env("XDG_DATA_DIRS", self.root.join("share"));
        command.env("MANPATH", self.root.join("share/man"));
        command.env("LC_ALL", "C.UTF-8");
        Terminal::of(command, SIZE)
    }
}

fn is_possible() -> bool {
    let needed = [
        "/usr/bin/bash",
        "/usr/bin/zsh",
        "/usr/bin/fish",
        "/usr/bin/man",
        "/usr/bin/make",
        "/usr/share/bash-completion/bash_completion",
    ];
    let missing: Vec<_> = needed
        .into_iter()
        .filter(|path| !Path::new(path).exists())
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "missing: {missing:?}");
    println!("skipped: scripts/packages test installs {missing:?}");
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shell_completes_commands_and_the_names_of_vms_and_images() {
    if !is_possible() {
        return;
    }
    let cloud = with_web().await;
    let installed = Installed::make(&cloud).await;
    let functions = installed.root.join("share/zsh/site-functions");
    let setup = format!(
        "fpath=({} $fpath); autoload -U compinit; compinit -u -D; PS1='%% '",
        functions.display()
    );
    for (shell, setup) in [
        (
            &["bash", "--norc", "-i"][..],
            ". /usr/share/bash-completion/bash_completion; PS1='% '",
        ),
        (&["zsh", "-f", "-i"], setup.as_str()),
        (&["fish", "-i"], "function fish_prompt; echo '% '; end"),
    ] {
        let mut terminal = installed.on_terminal(&cloud, shell);
        terminal.press(&format!("{setup}; echo rea''dy\r"));
        terminal.until("ready");
        for (typed, completed) in [
            ("pwctl conso\t", "pwctl console "),
            ("pwctl get w\t", "pwctl get web "),
            (
                "pwctl create x --image docker.io/li\t",
                "docker.io/library/debian:12",
            ),
            ("pwctl --context lo\t", "pwctl --context local "),
        ] {
            terminal.until("% ");
            terminal.seen.clear();
            terminal.press(typed);
            terminal.until_screen(completed);
            // Leaves the line and asks for a new one.
            terminal.press("\x15");
            terminal.press("\r");
        }
        terminal.press("exit\r");
        terminal.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_begin_so_come_in_time() {
    let cloud = with_web().await;
    assert_eq!(cloud.pwctl(&["team", "create", "ops"]).await.code, Some(0));
    for (name, owner) in [("worker", "admin"), ("web", "ops")] {
        let words = ["create", name, "--image", "debian", "--owner", owner];
        assert_eq!(cloud.pwctl(&words).await.code, Some(0));
    }
    for (typed, offered) in [
        ("w", "web.admin\nweb.ops\nworker\n"),
        ("wo", "worker\n"),
        ("web.o", "web.ops\n"),
        ("x", ""),
    ] {
        // Other tests run beside this one: the fastest of some is what it takes.
        let mut fastest = (Duration::MAX, String::new());
        for _ in 0..5 {
            let mut command = cloud.command(&["--", "pwctl", "get", typed]);
            command.env("COMPLETE", "fish").stdin(Stdio::null());
            let begun = Instant::now();
            let ended: Ended = command.output().await.unwrap().into();
            fastest = fastest.min((begun.elapsed(), ended.out));
        }
        let (took, names) = fastest;
        let mut names: Vec<_> = names.lines().map(|name| format!("{name}\n")).collect();
        names.sort_unstable();
        assert_eq!(names.concat(), offered, "{typed}");
        assert!(took < Duration::from_millis(300), "{typed}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_or_silent_keeps_nobody_waiting() {
    let cloud = Cloud::open().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let mut slowest = Duration::ZERO;
    for server in [silent.as_str(), "http://127.0.0.1:1", "nonsense"] {
        let mut command = cloud.command(&["--", "pwctl", "--url", server, "get", "w"]);
        command.env("COMPLETE", "fish").stdin(Stdio::null());
        let begun = Instant::now();
        let ended: Ended = command.output().await.unwrap().into();
        slowest = slowest.max(begun.elapsed());
        assert_eq!(
            (ended.code, ended.out.as_str(), ended.err.as_str()),
            (Some(0), "", ""),
            "{server}"
        );
    }
    assert!(slowest < Duration::from_millis(300), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manual_is_there_and_all_of_it_goes_again() {
    if !is_possible() {
        return;
    }
    let cloud = Cloud::open().await;
    let installed = Installed::make(&cloud).await;
    let mut terminal = installed.on_terminal(&cloud, &["man", "-P", "cat", "pwctl-create"]);
    terminal.until("Create a VM and wait until you can ssh into it");
    terminal.until("pwctl create web --image debian:12");
    assert_eq!(terminal.ended().await, Some(0));
    let mut terminal = installed.on_terminal(&cloud, &["man", "-P", "cat", "pwctl"]);
    terminal.until("pwctl-config-ssh(1)");
    assert_eq!(terminal.ended().await, Some(0));
    // The guests' part of an install that built it, and a file of somebody else's.
    let bundle = installed.root.join("lib/pitwall");
    std::fs::create_dir_all(&bundle).unwrap();
    for name in [
        "vmlinux",
        "initramfs.cpio",
        "modules.erofs",
        "bundle.json",
        "notes",
    ] {
        std::fs::write(bundle.join(name), "x").unwrap();
    }
    installed.of(&cloud, "uninstall").await;
    let files = |root: &Path| {
        let found = std::process::Command::new("/usr/bin/find")
            .arg(root)
            .args(["-type", "f"])
            .output();
        String::from_utf8(found.unwrap().stdout).unwrap()
    };
    let notes = bundle.join("notes");
    assert_eq!(files(&installed.root), format!("{}\n", notes.display()));
    std::fs::remove_file(notes).unwrap();
    installed.of(&cloud, "uninstall").await;
    assert!(!bundle.exists());
}
