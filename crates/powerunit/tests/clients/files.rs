//! rsync and git, which run their own other half in the machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Judged, said_by};

fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(folder)
        .args(["-c", "user.name=A Person", "-c", "user.email=a@example.org"]);
    git
}

#[test]
fn rsync_brings_a_tree_there_and_only_changes_later() {
    let Some(judged) = Judged::start(&["rsync"], &[]) else {
        return;
    };
    let (here, there) = (judged.folder().join("here"), judged.folder().join("there"));
    fs::create_dir_all(here.join("deep/er")).unwrap();
    fs::write(here.join("deep/er/large"), vec![5; 3_000_000]).unwrap();
    fs::write(here.join("goes"), "soon").unwrap();
    std::os::unix::fs::symlink("deep", here.join("link")).unwrap();
    let copy = || {
        said_by(
            Command::new("rsync")
                .args(["-a", "--delete", "--itemize-changes", "-e", &judged.ssh_words()])
                .arg(format!("{}/", here.display()))
                .arg(format!("vm:{}/", there.display())),
        )
    };
    assert_eq!(copy().lines().filter(|line| line.starts_with("<f")).count(), 2);
    assert_eq!(fs::read(there.join("link/er/large")).unwrap(), vec![5; 3_000_000]);
    fs::remove_file(here.join("goes")).unwrap();
    fs::write(here.join("comes"), "now").unwrap();
    let changes = copy();
    assert!(
        changes.contains("*deleting   goes") && changes.contains("comes"),
        "{changes}"
    );
    assert!(!changes.contains("large"), "{changes}");
}

#[test]
fn git_pushes_there_and_clones_from_there() {
    let Some(judged) = Judged::start(&["git"], &[]) else {
        return;
    };
    let folder = judged.folder();
    let (here, bare, again) = (folder.join("here"), folder.join("bare"), folder.join("again"));
    said_by(
        Command::new("git")
            .args(["init", "-q", "--bare", "-b", "main"])
            .arg(&bare),
    );
    said_by(Command::new("git").args(["init", "-q", "-b", "main"]).arg(&here));
    fs::write(
        here.join("large"),
        (0..400_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>(),
    )
    .unwrap();
    said_by(git(&here).args(["add", "."]));
    said_by(git(&here).args(["commit", "-q", "-m", "Begin"]));
    let remote = format!("vm:{}", bare.display());
    said_by(
        git(&here)
            .args(["push", "-q", &remote, "main"])
            .env("GIT_SSH_COMMAND", judged.ssh_words()),
    );
    said_by(
        Command::new("git")
            .args(["clone", "-q", &remote])
            .arg(&again)
            .env("GIT_SSH_COMMAND", judged.ssh_words()),
    );
    assert_eq!(
        fs::read(again.join("large")).unwrap(),
        fs::read(here.join("large")).unwrap()
    );
}
