//! User certificates, made by `ssh-keygen` and shown by `ssh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::assert_refused;
use crate::server::Server;
use crate::support::run;
use crate::support::ssh::KeyPair;
use crate::token::{Agent, Token};

/// A server that trusts one authority and no key.
struct Realm {
    server: Server,
    authority: KeyPair,
    user: KeyPair,
}

impl Realm {
    fn new() -> Option<Self> {
        Self::with_authority(&["ed25519"])
    }

    fn with_authority(kind: &[&str]) -> Option<Self> {
        let mut server = Server::start()?;
        let authority = KeyPair::of_kind(server.folder.path(), "authority", kind);
        let user = KeyPair::generate(server.folder.path(), "user");
        server.configure_ssh(2, |ssh| ssh.user_cas = vec![authority.public()]);
        Some(Self {
            server,
            authority,
            user,
        })
    }

    fn folder(&self) -> &Path {
        self.server.folder.path()
    }

    /// A certificate for the user's key.
    fn certify(&self, options: &[&str]) -> PathBuf {
        self.certify_key(&self.authority, &self.user, options)
    }

    fn certify_key(&self, authority: &KeyPair, key: &KeyPair, options: &[&str]) -> PathBuf {
        sign(authority, &key.path().with_extension("pub"), options)
    }

    fn ssh(&self, key: &KeyPair, certificate: &Path, options: &[&str], command: &str) -> Output {
        let certificate = format!("CertificateFile={}", certificate.display());
        let mut ssh = self
            .server
            .client()
            .with_key(key)
            .command(&[&["-o", &certificate], options].concat());
        if !command.is_empty() {
            ssh.arg(command);
        }
        ssh.stdin(Stdio::null()).output().unwrap()
    }

    /// `echo in` with a certificate made with these options.
    fn try_with(&self, options: &[&str]) -> Output {
        self.ssh(&self.user, &self.certify(options), &[], "echo in")
    }
}

/// `ssh-keygen -s`; the file is not where `ssh` looks for one by itself.
pub(crate) fn sign(authority: &KeyPair, public: &Path, options: &[&str]) -> PathBuf {
    run(Command::new("ssh-keygen")
        .arg("-q")
        .arg("-s")
        .arg(authority.path())
        .args(["-I", "id"])
        .args(options)
        .arg(public));
    let made = public.with_file_name(format!("{}-cert.pub", public.file_stem().unwrap().display()));
    let shown = public.with_extension("certificate");
    fs::rename(made, &shown).unwrap();
    shown
}

#[test]
fn a_certificate_for_the_login_or_its_user_opens() {
    let Some(realm) = Realm::new() else { return };
    for names in ["fred", "root", "ann,fred"] {
        let output = realm.try_with(&["-n", names]);
        assert_eq!(output.stdout, b"in\n", "{names}: {output:?}");
    }
    let output = realm.try_with(&["-n", "fred", "-V", "-1m:+1m"]);
    assert_eq!(output.stdout, b"in\n", "{output:?}");
    assert_refused(
        &realm.server.client().with_key(&realm.user).run("true"),
        "the bare key",
    );
}

#[test]
fn what_is_not_for_here_and_now_is_refused() {
    let Some(realm) = Realm::new() else { return };
    let cases: [(&str, &[&str]); 9] = [
        ("for somebody else", &["-n", "ann"]),
        ("for everybody", &[]),
        ("for a host", &["-h", "-n", "fred"]),
        ("expired", &["-n", "fred", "-V", "-2h:-1h"]),
        ("not yet valid", &["-n", "fred", "-V", "+1h:+2h"]),
        (
            "an unknown demand",
            &["-n", "fred", "-O", "critical:new@example.com=1"],
        ),
        (
            "a demand that cannot be checked",
            &["-n", "fred", "-O", "verify-required"],
        ),
        (
            "from elsewhere",
            &["-n", "fred", "-O", "source-address=192.0.2.0/24,::1"],
        ),
        (
            "from a name",
            &["-n", "fred", "-O", "critical:source-address=localhost"],
        ),
    ];
    for (case, options) in cases {
        assert_refused(&realm.try_with(options), case);
    }
    let here = realm.try_with(&["-n", "fred", "-O", "source-address=127.0.0.0/8"]);
    assert_eq!(here.stdout, b"in\n", "{here:?}");
    let stranger = KeyPair::generate(realm.folder(), "stranger");
    let certificate = realm.certify_key(&stranger, &realm.user, &["-n", "fred"]);
    assert_refused(
        &realm.ssh(&realm.user, &certificate, &[], "true"),
        "another authority's",
    );
}

#[test]
fn authorities_and_users_may_have_keys_of_each_kind() {
    let kinds: [&[&str]; 4] = [
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["ecdsa", "-b", "521"],
        &["rsa", "-b", "2048"],
    ];
    for kind in kinds {
        let Some(realm) = Realm::with_authority(kind) else {
            return;
        };
        let output = realm.try_with(&["-n", "fred"]);
        assert_eq!(output.stdout, b"in\n", "signed by {kind:?}: {output:?}");
        let user = KeyPair::of_kind(realm.folder(), "other-user", kind);
        let certificate = realm.certify_key(&realm.authority, &user, &["-n", "fred"]);
        let output = realm.ssh(&user, &certificate, &[], "echo in");
        assert_eq!(output.stdout, b"in\n", "for {kind:?}: {output:?}");
    }
}

#[test]
fn an_authority_does_not_sign_with_sha_1_nor_for_a_short_key() {
    let Some(realm) = Realm::with_authority(&["rsa", "-b", "2048"]) else {
        return;
    };
    assert_refused(
        &realm.try_with(&["-n", "fred", "-t", "ssh-rsa"]),
        "signed with SHA-1",
    );
    let good = realm.try_with(&["-n", "fred", "-t", "rsa-sha2-256"]);
    assert_eq!(good.stdout, b"in\n", "{good:?}");
    let short = KeyPair::of_kind(realm.folder(), "short", &["rsa", "-b", "1024"]);
    let certificate = realm.certify_key(&realm.authority, &short, &["-n", "fred"]);
    assert_refused(&realm.ssh(&short, &certificate, &[], "true"), "for 1024 bits");
}

#[test]
fn a_forced_command_takes_the_place_of_everything() {
    let Some(realm) = Realm::new() else { return };
    let forced = "force-command=echo \"forced <$SSH_ORIGINAL_COMMAND>\"";
    let certificate = realm.certify(&["-n", "fred", "-O", forced]);
    let cases: [(&[&str], &str, &str); 3] = [
        (
            &[],
            "cat /etc/passwd; echo 'a b'",
            "forced <cat /etc/passwd; echo 'a b'>\n",
        ),
        (&["-s"], "sftp", "forced <internal-sftp>\n"),
        (&["-tt"], "id", "forced <id>\r\n"),
    ];
    for (options, command, expected) in cases {
        let output = realm.ssh(&realm.user, &certificate, options, command);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{options:?} {command}"
        );
    }
    let shell = realm.ssh(&realm.user, &certificate, &["-T"], "");
    assert_eq!(shell.stdout, b"forced <>\n", "a shell: {shell:?}");
}

#[test]
fn a_certificate_permits_what_its_extensions_say() {
    let Some(realm) = Realm::new() else { return };
    let through = format!("127.0.0.1:{}", realm.server.port);
    let agent = Agent::start(&realm.server, "agent", Token::ecdsa());
    let agent = format!("IdentityAgent={}", agent.socket.display());
    // What is asked for, and what shows that it was given.
    let cases: [(&str, &[&str], &str, &str); 3] = [
        ("permit-pty", &["-tt"], "tty", "/dev/pts/"),
        (
            "permit-agent-forwarding",
            &["-A", "-o", &agent],
            "test -S \"$SSH_AUTH_SOCK\" && echo reachable",
            "reachable",
        ),
        // It takes no command. What answers at the other end is this very server.
        (
            "permit-port-forwarding",
            &["-W", &through],
            "",
            "SSH-2.0-powerunit",
        ),
    ];
    for (extension, options, command, sign) in cases {
        for given in [false, true] {
            let mut signing = vec!["-n", "fred", "-O", "clear"];
            if given {
                signing.extend(["-O", extension]);
            }
            let certificate = realm.certify(&signing);
            let output = realm.ssh(&realm.user, &certificate, options, command);
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(said.contains(sign), given, "{extension}: {output:?}");
        }
    }
}
