//! A playbook: what a machine is set up with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{Judged, beside, said_by, venv};

#[test]
fn a_playbook_sets_up_a_machine_and_changes_nothing_the_second_time() {
    let playbook = venv("ansible-playbook");
    let Some(judged) = Judged::start(&["python3", "su"], &[&playbook]) else {
        return;
    };
    let inventory = judged.folder().join("inventory");
    fs::write(&inventory, "vm ansible_python_interpreter=/usr/bin/python3\n").unwrap();
    let target = judged.folder().join("target");
    // Some of it runs as another user, who must come as far as the files.
    let remote = judged.folder().join("remote");
    fs::create_dir(&remote).unwrap();
    for (folder, mode) in [(judged.folder(), 0o755), (&remote, 0o1777)] {
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    }
    let play = || {
        said_by(
            Command::new(&playbook)
                .arg("-i")
                .arg(&inventory)
                .arg("-e")
                .arg(format!("target={}", target.display()))
                .arg(beside("playbook.yml"))
                .env(
                    "ANSIBLE_SSH_ARGS",
                    format!(
                        "-F {} -o ControlMaster=auto -o ControlPersist=60s",
                        judged.config.display()
                    ),
                )
                .env("ANSIBLE_SSH_CONTROL_PATH_DIR", judged.folder().join("cp"))
                .env("ANSIBLE_LOCAL_TEMP", judged.folder().join("local"))
                .env("ANSIBLE_REMOTE_TEMP", &remote)
                .env("ANSIBLE_NOCOLOR", "1")
                .env("LC_ALL", "C.UTF-8"),
        )
    };
    let first = play();
    assert!(
        first.contains("failed=0") && !first.contains("changed=0"),
        "{first}"
    );
    assert_eq!(
        fs::read_to_string(target.join("greeting")).unwrap(),
        "Hello from vm, 42\n"
    );
    assert_eq!(fs::read_to_string(target.join("copied")).unwrap(), "as it is\n");
    let second = play();
    assert!(
        second.contains("changed=0") && second.contains("failed=0"),
        "{second}"
    );
}
