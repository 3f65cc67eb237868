//! Who gets in: keys of each kind, certificates, hardware tokens, algorithms, and limits before the login. The judges
//! are the real `ssh`, `ssh-keygen`, asyncssh and ssh-audit.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod algorithms;
mod certificates;
mod limits;
mod probe;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
mod token;

use std::process::Output;

use server::Server;
use support::ssh::KeyPair;

/// What a refused client ends with.
fn assert_refused(output: &Output, case: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "{case}: {said}");
    assert!(said.contains("Permission denied (publickey)"), "{case}: {said}");
}

#[test]
fn keys_of_each_kind_open() {
    let Some(mut server) = Server::start() else { return };
    let kinds: [&[&str]; 6] = [
        &["ed25519"],
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["ecdsa", "-b", "521"],
        &["rsa", "-b", "2048"],
        &["rsa", "-b", "4096"],
    ];
    let keys = kinds.map(|kind| KeyPair::of_kind(server.folder.path(), &kind.concat(), kind));
    server.configure(2, keys.iter().map(KeyPair::public).collect());
    for key in &keys {
        assert_eq!(server.client().with_key(key).text("echo in"), "in");
    }
    assert_refused(&server.client().run("true"), "a key that was taken away");
}

#[test]
fn rsa_signs_with_sha_2_whatever_the_client_is_told() {
    let Some(mut server) = Server::start() else { return };
    let key = KeyPair::of_kind(server.folder.path(), "rsa", &["rsa", "-b", "2048"]);
    let short = KeyPair::of_kind(server.folder.path(), "short", &["rsa", "-b", "1024"]);
    server.configure(2, vec![key.public(), short.public()]);
    let client = server.client().with_key(&key);
    // The line of the old documentation.
    let old = client
        .command(&[
            "-v",
            "-o",
            "LogLevel=DEBUG1",
            "-o",
            "PubkeyAcceptedKeyTypes=+ssh-rsa",
        ])
        .arg("true")
        .output()
        .unwrap();
    assert!(old.status.success(), "{old:?}");
    let only_sha1 = client
        .command(&["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"])
        .arg("true")
        .output()
        .unwrap();
    assert_refused(&only_sha1, "SHA-1");
    assert_refused(&server.client().with_key(&short).run("true"), "1024 bits");
}
