//! Keys that people put into a machine themselves, and keys that came with its image.

use std::process::{Command, Output, Stdio};

use wire::guest::HostFrame;

use crate::image::{Image, upper_disk};
use crate::support::ssh::KeyPair;
use crate::support::{available, run};
use crate::vm::Vm;
use crate::{can_boot, the_ssh_server_comes_back};

#[test]
fn keys_written_in_the_vm_open_it_and_the_images_do_not() {
    if !can_boot() || !available(&["ssh-copy-id", "ssh-agent", "ssh-add"], &[]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let baked = KeyPair::generate(folder.path(), "baked");
    let image = Image::with_key(folder.path(), &format!("{}\n", baked.public()));
    let upper = upper_disk(folder.path());
    let mut vm = Vm::start(folder.path(), &image, &upper);
    vm.wait_ready();

    assert_refused(&try_key(&vm, "root", &baked), "a key of the image");
    let own = KeyPair::generate(vm.folder(), "own");
    // In the image all files are root's.
    vm.client().text_as("root", "chown -R ann:ann /home/ann");
    copy_id(&vm, "ann", &own);
    opens(&vm, "ann", &own);
    assert_refused(&try_key(&vm, "root", &own), "ann's key for root");
    copy_id(&vm, "root", &own);
    opens(&vm, "root", &own);
    assert_refused(
        &try_key(&vm, "root", &baked),
        "a key of the image, beside one of the VM",
    );
    let ssh = vm.client();
    assert_eq!(
        ssh.text_as("root", "wc -l </root/.ssh/authorized_keys").trim(),
        "2"
    );

    modes_are_strict(&vm, &own);
    options_are_obeyed(&vm, &own);
    the_ssh_server_comes_back(&mut vm);
    opens(&vm, "ann", &own);
    assert_refused(
        &try_key(&vm, "root", &baked),
        "a key of the image, after a new start",
    );

    vm.config.revision += 1;
    vm.config.ssh.image_keys = true;
    vm.send(&HostFrame::Config(Box::new(vm.config.clone())));
    vm.wait_ready();
    opens(&vm, "root", &baked);
}

fn modes_are_strict(vm: &Vm, own: &KeyPair) {
    let ssh = vm.client();
    for (path, open, closed) in [
        ("/home/ann", "777", "755"),
        ("/home/ann/.ssh", "770", "700"),
        ("/home/ann/.ssh/authorized_keys", "666", "600"),
    ] {
        ssh.text_as("root", &format!("chmod {open} {path}"));
        assert_refused(&try_key(vm, "ann", own), path);
        ssh.text_as("root", &format!("chmod {closed} {path}"));
        opens(vm, "ann", own);
    }
}

fn options_are_obeyed(vm: &Vm, own: &KeyPair) {
    let write = |options: &str| {
        let line = format!("{options} {}", own.public());
        let mut ssh = vm.client().command_as("ann", &[]);
        let mut ssh = ssh
            .arg("cat >.ssh/authorized_keys")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(ssh.stdin.as_mut().unwrap(), line.as_bytes()).unwrap();
        drop(ssh.stdin.take());
        assert!(ssh.wait().unwrap().success());
    };
    write("restrict,command=\"echo \\\"forced $SSH_ORIGINAL_COMMAND\\\"\"");
    assert_eq!(try_key(vm, "ann", own).stdout, b"forced echo in\n");
    for (options, why) in [
        ("from=\"192.0.2.0/24\"", "from elsewhere"),
        ("permitopen=\"localhost:1\"", "an option that is not obeyed"),
    ] {
        write(options);
        assert_refused(&try_key(vm, "ann", own), why);
    }
    write("from=\"10.0.2.*\"");
    opens(vm, "ann", own);
}

/// The real one. It looks first whether the key opens already, with that key alone, and then signs in with what the
/// agent holds: the key of the configuration.
fn copy_id(vm: &Vm, login: &str, key: &KeyPair) {
    let ssh = vm.client().command_as(login, &[]);
    let own = ["IdentityFile=", "IdentitiesOnly="];
    let arguments: Vec<_> = ssh.get_args().map(|word| word.to_string_lossy()).collect();
    let others: Vec<&str> = arguments
        .chunks(2)
        .filter(|pair| {
            !own.iter()
                .any(|name| pair.last().is_some_and(|word| word.starts_with(name)))
        })
        .flatten()
        .map(AsRef::as_ref)
        .collect();
    std::fs::create_dir_all(vm.folder().join(".ssh")).unwrap();
    let script = "ssh-add -q \"$1\" && shift && exec ssh-copy-id \"$@\"";
    run(Command::new("ssh-agent")
        .env("HOME", vm.folder())
        .args(["sh", "-c", script, "sh"])
        .arg(vm.key.path())
        .arg("-i")
        .arg(key.path())
        .args(others));
}

fn try_key(vm: &Vm, login: &str, key: &KeyPair) -> Output {
    let client = vm.client().with_key(key);
    client.command_as(login, &[]).arg("echo in").output().unwrap()
}

fn opens(vm: &Vm, login: &str, key: &KeyPair) {
    let output = try_key(vm, login, key);
    assert_eq!(
        output.stdout,
        b"in\n",
        "{login}: {output:?}, console:\n{}",
        vm.console()
    );
}

fn assert_refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Permission denied (publickey)"),
        "{why}: {output:?}"
    );
}
