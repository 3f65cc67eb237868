//! What is agreed on, and what is not even offered.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::server::Server;
use crate::support::available;

/// A program of the virtual environment that scripts/ssh-clients makes.
fn python_client(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/venv/bin")
        .join(name);
    available(&[], &[&path]).then_some(path)
}

/// `ssh` with its account of the key exchange.
fn debug(server: &Server, options: &[&str]) -> (Output, String) {
    let options = [&["-o", "LogLevel=DEBUG3"], options].concat();
    // The first value of an option counts, and the client's own list begins with ERROR.
    let mut ssh = Command::new("ssh");
    ssh.args(&options).args(server.client().command(&[]).get_args());
    let output = ssh.arg("true").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

#[test]
fn old_algorithms_are_not_offered() {
    let Some(server) = Server::start() else { return };
    let (output, said) = debug(&server, &[]);
    assert!(output.status.success(), "{said}");
    let offered = said.split("peer server KEXINIT proposal").nth(1).unwrap();
    let offered = offered.split("debug1:").next().unwrap();
    for old in [
        "cbc", "sha1", "3des", "arcfour", "md5", "group1-", "dss", "umac-64", "ssh-rsa",
    ] {
        assert!(!offered.contains(old), "{old} is in {offered}");
    }
    for new in [
        "mlkem768x25519-sha256",
        "kex-strict-s-v00@openssh.com",
        "ssh-ed25519",
    ] {
        assert!(offered.contains(new), "{new} is not in {offered}");
    }
    // Terrapin (CVE-2023-48795): the client says that it holds the server to the strict order.
    assert!(said.contains("will use strict KEX ordering"), "{said}");
    let (_, signatures) = said.split_once("server-sig-algs=<").unwrap();
    let signatures: Vec<&str> = signatures.split('>').next().unwrap().split(',').collect();
    assert!(signatures.contains(&"rsa-sha2-512"), "{signatures:?}");
    assert!(!signatures.contains(&"ssh-rsa"), "{signatures:?}");
}

#[test]
fn a_client_with_old_algorithms_only_gets_no_further() {
    let Some(server) = Server::start() else { return };
    for option in [
        "Ciphers=aes128-cbc,3des-cbc",
        "MACs=hmac-sha1,hmac-sha1-etm@openssh.com",
        "KexAlgorithms=diffie-hellman-group14-sha1,diffie-hellman-group1-sha1",
        "HostKeyAlgorithms=ssh-rsa",
    ] {
        // An authenticated cipher would need no MAC.
        let (output, said) = debug(&server, &["-o", option, "-o", "Ciphers=aes256-ctr"]);
        assert!(said.contains("no matching"), "{option}: {said}");
        assert_eq!(output.status.code(), Some(255));
    }
}

#[test]
fn a_post_quantum_key_exchange_is_agreed_on() {
    let Some(python) = python_client("python") else {
        return;
    };
    let Some(server) = Server::start() else { return };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/negotiate.py");
    // Writes the known hosts.
    drop(server.client());
    let try_with = |kex: &str| {
        let mut command = Command::new(&python);
        command.arg(&script).arg(server.port.to_string());
        command
            .arg(server.key.path())
            .arg(server.folder.path().join("known_hosts"));
        command.arg(kex).output().unwrap()
    };
    let output = try_with("mlkem768x25519-sha256");
    assert_eq!(output.stdout, b"mlkem768x25519-sha256 in\n", "{output:?}");
    let old = try_with("diffie-hellman-group14-sha1");
    assert!(!old.status.success(), "{old:?}");
}

/// Its exit status: 0 for nothing to say, 2 for warnings, 3 for failures.
#[test]
fn ssh_audit_finds_no_failure() {
    let Some(audit) = python_client("ssh-audit") else {
        return;
    };
    let Some(server) = Server::start() else { return };
    let output = Command::new(audit)
        .args([
            "--no-colors",
            "--skip-rate-test",
            "--port",
            &server.port.to_string(),
            "127.0.0.1",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("ssh-audit ends with {:?}", output.status.code());
    assert!(said.contains("powerunit"), "{said}");
    assert!(
        matches!(output.status.code(), Some(0 | 2)),
        "{:?}: {said}",
        output.status
    );
    assert!(!said.contains("[fail]"), "{said}");
}
