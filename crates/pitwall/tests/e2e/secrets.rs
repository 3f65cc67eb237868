//! Secrets go through every path that takes one, with the log as talkative as it gets; then all that was written,
//! answered and shown to other processes is searched for them.
//!
//! Three places may hold one, and only these: `admin.token`, the rows of registries' passwords in the database, and the
//! disk of a VM that a file was copied to. Nobody but root may read any of them.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::door::{Answer, Request};
use crate::env::{Host, built, field, processes, text};
use crate::person::{Person, key_pair};
use crate::registry::Registry;

const PASSWORD: &str = "canary-registry-password";
/// `crypt(3)` of it.
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuFqj9r0gzLJx5.wQXjqr5awOiZGCazOq";
/// `fred` and it, as RFC 7617 writes them.
const BASIC: &str = "ZnJlZDpjYW5hcnktcmVnaXN0cnktcGFzc3dvcmQ=";
/// Another that a VM was made with. It is kept, too, until that VM is gone.
const GUESS: &str = "canary-guessed-password";
const FILE: &str = "canary-file-content";

/// A host, the secrets that it was told, and what it answered.
struct Told {
    host: Host,
    secrets: RefCell<Vec<String>>,
    answers: RefCell<Vec<String>>,
}

impl Told {
    fn begin() -> Self {
        let mut host = Host::new();
        let config = host.state().join("config.toml");
        fs::write(&config, "[log]\nformat = \"json\"\n").unwrap();
        let config = config.display().to_string();
        host.start(&["up", "--config", &config, "--log", "trace"]);
        host.wait_until_up();
        Self {
            host,
            secrets: RefCell::default(),
            answers: RefCell::default(),
        }
    }

    /// This is to be found nowhere from now on.
    fn secret(&self, secret: &str) -> String {
        assert!(secret.len() > 12, "{secret:?} may stand anywhere by chance");
        self.secrets.borrow_mut().push(secret.to_owned());
        secret.to_owned()
    }

    /// Sends a request whose answer is to hold no secret.
    fn send(&self, request: &Request) -> Answer {
        let answer = self.host.send(request);
        self.answers.borrow_mut().push(answer.whole.clone());
        answer
    }

    fn as_admin(&self, method: &'static str, path: &str, body: &Value) -> Request {
        Request::new(method, path)
            .token(&self.host.admin_token())
            .json(body)
    }

    fn is_refused(&self, path: &str, body: &Value) {
        let answer = self.send(&self.as_admin("POST", path, body));
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.whole);
    }

    /// Asks twice under one key for what shows a secret; gives the secret, which only the first answer shows.
    fn shown_once(&self, request: Request) -> String {
        let key = format!("once-{}", self.secrets.borrow().len());
        let request = request.header("Idempotency-Key", &key);
        let first = self.host.send(&request);
        assert!((200..300).contains(&first.status), "{}", first.whole);
        let secret = self.secret(&field(&first.json(), "secret"));
        let again = self.send(&request);
        assert_eq!(again.json()["secret"], Value::Null, "{}", again.whole);
        secret
    }

    /// Asserts that no secret stands in the arguments of any process but the caller's own.
    fn assert_not_in_arguments(&self, own: u32) {
        let others = processes().filter(|pid| u32::try_from(*pid) != Ok(own));
        for pid in others {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            for secret in self.secrets.borrow().iter() {
                assert!(!line.contains(secret.as_str()), "{secret} is an argument: {line}");
            }
        }
    }
}

#[test]
fn no_secret_is_where_it_must_not_be() {
    let told = Told::begin();
    let _registry = Registry::private(&told.host, ["fred", PASSWORD, HASH]);
    credentials(&told);
    tokens_and_codes(&told);
    people(&told);
    rotation(&told);
    keys(&told);
    programs(&told);
    files(&told);
    console(&told);
    told.host.pwctl_ok(&["stop", "one"]);
    pages(&told);
    for path in [
        "/v1/audit?limit=500",
        "/v1/vms",
        "/v1/vms/one",
        "/v1/images",
        "/v1/users",
        "/v1/me",
    ] {
        let answer = told.send(&told.as_admin("GET", path, &Value::Null));
        assert_eq!(answer.status, 200, "{path}: {}", answer.whole);
    }
    told.assert_not_in_arguments(0);
    assert_not_written(&told);
    assert_not_answered(&told);
}

/// A VM whose image only one user may pull, and wishes with credentials that are wrong in every way.
fn credentials(told: &Told) {
    let wish = |name: &str, auth: Value| {
        json!({
            "name": name, "image": format!("{}/debian:latest", Registry::ADDRESS), "registry_auth": auth,
            "memory_bytes": 256 << 20, "disk_bytes": 256 << 20, "no_ssh_keys": true,
            "service": { "command": ["sh", "-c", ANSWERS], "restart": "no" },
        })
    };
    let guess = told.secret(GUESS);
    let guess = wish("guess", json!({ "username": "fred", "password": guess }));
    assert_eq!(told.send(&told.as_admin("POST", "/v1/vms", &guess)).status, 201);
    told.host.wait_for_status("guess", "ERROR");
    told.send(&told.as_admin("GET", "/v1/vms/guess", &Value::Null));

    let [control, colon, typed] =
        ["control", "username", "typed"].map(|how| told.secret(&format!("canary-{how}-password")));
    for auth in [
        json!({ "username": "fred", "password": format!("{control}\u{7}") }),
        json!({ "username": format!("fred:{colon}"), "password": "x" }),
        json!(format!("fred:{typed}")),
        json!([{ "username": "fred", "password": typed }]),
        json!({ "username": "fred", "password": [typed] }),
        json!({ "username": "fred", "passwd": typed }),
    ] {
        told.is_refused("/v1/vms", &wish("refused", auth));
    }
    told.secret(BASIC);
    let right = wish(
        "one",
        json!({ "username": "fred", "password": told.secret(PASSWORD) }),
    );
    let request = told
        .as_admin("POST", "/v1/vms", &right)
        .header("Idempotency-Key", "create-one");
    for _ in 0..2 {
        assert_eq!(told.send(&request).status, 201);
    }
    told.host.wait_for_status("one", "RUNNING");
}

/// Tokens and one-time codes, good, bad, mistyped and spent.
fn tokens_and_codes(told: &Told) {
    let admin = told.secret(&told.host.admin_token());
    let code = told.shown_once(told.as_admin("POST", "/v1/users", &json!({ "name": "ann" })));
    let renewed = told.shown_once(told.as_admin("POST", "/v1/users/ann/code", &json!({})));
    let login = |code: &str| Request::new("POST", "/v1/login").json(&json!({ "code": code, "name": "e2e" }));
    let bad = told.secret("CANARY-CODE-CANARY");
    for code in [code.as_str(), bad.as_str(), &format!("{bad}\u{e9}")] {
        assert!((400..500).contains(&told.send(&login(code)).status));
    }
    told.is_refused("/v1/login", &json!({ "code": [bad], "name": "e2e" }));
    told.is_refused("/v1/login", &json!({ "code": "x", "name": { "code": bad } }));
    told.is_refused("/v1/login", &json!(bad));
    let token = told.secret(&field(&told.host.send(&login(&renewed)).json(), "secret"));
    told.send(&login(&renewed));
    let made = Request::new("POST", "/v1/users/me/tokens").token(&token);
    let made = told.shown_once(made.json(&json!({ "name": "e2e" })));

    let mistyped = told.secret(&format!(
        "{}{}",
        &admin[..admin.len() - 1],
        if admin.ends_with('0') { '1' } else { '0' }
    ));
    let unknown = told.secret("pwt_canaryCanaryCanaryCanaryCanary");
    let me = || Request::new("GET", "/v1/me");
    let basic = told.secret("Y2FuYXJ5OmNhbmFyeS1iYXNpYw==");
    let bare = told.secret("canary-bare-header");
    for refused in [
        me().token(&mistyped),
        me().token(&unknown),
        me().token(&format!("{unknown} {admin}")),
        me().header("Authorization", &format!("Basic {basic}")),
        me().header("Authorization", &bare),
        me().header("Authorization", &format!("Bearer\u{e9} {bare}")),
        me().header("Authorization", &format!("Bearer {bare}\u{e9}")),
    ] {
        assert_eq!(told.send(&refused).status, 401);
    }
    assert_eq!(told.send(&me().token(&made)).status, 200);
    let logout = Request::new("DELETE", "/v1/me/token").token(&token);
    assert!((200..300).contains(&told.send(&logout).status));
    assert_eq!(told.send(&me().token(&token)).status, 401);
}

/// What pwctl is told and tells, and where it keeps it.
fn people(told: &Told) {
    let eve = Person::new(&told.host, "eve");
    told.secret(eve.code());
    let contexts = fs::read_to_string(eve.contexts()).unwrap();
    let token = contexts.split('"').find(|word| word.starts_with("pwt_"));
    let token = told.secret(token.unwrap());
    assert!(!contexts.contains(eve.code()), "{contexts}");
    let mode = fs::metadata(eve.contexts()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");

    let made = eve.pwctl(&["token", "create", "program"]);
    let secret = told.secret(String::from_utf8(made.stdout).unwrap().trim());
    assert!(secret.starts_with("pwt_"), "its text and nothing else");
    let mut said = vec![String::from_utf8(made.stderr).unwrap()];
    // A private key that has no public one beside it, then the public one.
    let alone = eve.contexts().with_file_name("alone");
    fs::copy(eve.key(), &alone).unwrap();
    let private = fs::read_to_string(&alone).unwrap();
    for line in private.lines().skip(3).filter(|line| !line.starts_with('-')) {
        told.secret(line);
    }
    let public = eve.key().with_extension("pub");
    let [alone, public] = [alone, public].map(|path| path.display().to_string());
    for words in [
        &["key", "add", alone.as_str()][..],
        &["key", "add", public.as_str()],
        &["key", "ls", "--json"],
        &["token", "ls", "--json"],
        &["me", "--json"],
        &["config", "list", "--json"],
        &["doctor"],
        &["config-ssh", "--dry-run"],
        &["logout"],
        &["me"],
    ] {
        said.push(text(&eve.pwctl(words)));
    }
    told.answers.borrow_mut().extend(said);
    assert!(!fs::read_to_string(eve.contexts()).unwrap().contains(&token));
}

/// A new token of the admin's; the old one is a secret for as long as anybody may keep it.
fn rotation(told: &Told) {
    let rotate = told.host.pitwall(&["admin-token", "rotate"]).output().unwrap();
    assert!(rotate.status.success(), "{}", text(&rotate));
    told.answers.borrow_mut().push(text(&rotate));
    told.secret(&told.host.admin_token());
}

/// Pages and streams that everybody who watches the system reads.
fn pages(told: &Told) {
    let mut metrics = told.host.command("curl");
    metrics.args(["-sf", "http://127.0.0.1:7481/metrics"]);
    let metrics = metrics.output().unwrap();
    assert!(metrics.status.success(), "{}", text(&metrics));
    let mut events = told.host.command("timeout");
    events.args(["5", &built("pwctl"), "events", "one", "--json"]);
    let events = events.output().unwrap();
    assert!(!events.stdout.is_empty(), "{}", text(&events));
    let doctor = told.host.pitwall(&["doctor"]).output().unwrap();
    told.answers
        .borrow_mut()
        .extend([text(&metrics), text(&events), text(&doctor)]);
}

/// A private key in the place of a public one.
fn keys(told: &Told) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("id");
    key_pair(&file);
    let private = fs::read_to_string(&file).unwrap();
    // The first lines are the same in every such file, and the public key; the secret is in what follows.
    let secret: Vec<_> = private
        .lines()
        .skip(3)
        .filter(|line| !line.starts_with('-'))
        .collect();
    for line in &secret {
        told.secret(line);
    }
    let in_one_line = secret[0];
    for key in [
        private.as_str(),
        in_one_line,
        &format!("ssh-ed25519 {in_one_line}"),
    ] {
        told.is_refused("/v1/users/me/keys", &json!({ "key": key }));
        told.is_refused("/v1/users/me/keys", &json!({ "key": [key] }));
        told.is_refused("/v1/users/me/keys", &json!(key));
        for field in ["keys", "user_cas"] {
            let wish = |value: Value| json!({ "name": "refused", "image": "debian", field: value });
            told.is_refused("/v1/vms", &wish(json!([key])));
            told.is_refused("/v1/vms", &wish(json!(key)));
        }
    }
}

/// Arguments, environment and input of a program.
fn programs(told: &Told) {
    let [argument, variable, input] =
        ["argument", "variable", "input"].map(|what| told.secret(&format!("canary-exec-{what}")));
    let script = "read -r line; echo ready; cat > /dev/null; exit ${#line}";
    let mut command = told.host.pwctl_command(&[
        "exec", "-i", "-e", "CANARY", "one", "--", "sh", "-c", script, &argument,
    ]);
    command
        .env("CANARY", &variable)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{input}").unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    told.assert_not_in_arguments(child.id());
    drop(stdin);
    stdout.read_to_string(&mut line).unwrap();
    told.answers.borrow_mut().push(line);
    assert_eq!(child.wait().unwrap().code(), i32::try_from(input.len()).ok());

    for refused in [
        json!({ "command": argument }),
        json!({ "command": [[argument]] }),
        json!({ "command": [format!("{argument}\0")] }),
        json!({ "command": ["true"], "env": { format!("CANARY={variable}"): "" } }),
        json!({ "command": ["true"], "env": [format!("CANARY={variable}")] }),
        json!({ "command": ["true"], "env": variable }),
        json!({ "command": ["true"], "env": { "CANARY": { "is": variable } } }),
        json!(argument),
    ] {
        told.is_refused("/v1/vms/one/exec", &refused);
    }
}

/// A file goes in and comes out.
fn files(told: &Told) {
    let directory = tempfile::tempdir().unwrap();
    let [file, back] = ["canary", "back"].map(|name| directory.path().join(name));
    fs::write(&file, told.secret(FILE)).unwrap();
    told.host
        .pwctl_ok(&["cp", &file.display().to_string(), "one:/root"]);
    told.host
        .pwctl_ok(&["cp", "one:/root/canary", &back.display().to_string()]);
    assert_eq!(fs::read_to_string(back).unwrap(), FILE);
    let not_an_archive = told.as_admin("PUT", "/v1/vms/one/files?path=/root", &json!(FILE));
    told.send(&not_an_archive.header("Content-Type", "application/x-tar"));
}

/// What the VM's service does: it reads a line from the console, as a program that asks for a password does.
const ANSWERS: &str =
    "exec </dev/ttyS0 >/dev/ttyS0; stty -echo; while read -r line; do echo \"length ${#line}\"; done";

fn console(told: &Told) {
    let typed = told.secret("canary-console-input");
    let mut command = told.host.pwctl_command(&["console", "one"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{typed}").unwrap();
    let heard = format!("length {}", typed.len());
    let mut shown = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !shown.contains(&heard) {
        assert_ne!(
            stdout.read_line(&mut shown).unwrap(),
            0,
            "the console ended: {shown}"
        );
    }
    told.answers.borrow_mut().push(shown);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn assert_not_answered(told: &Told) {
    let secrets = told.secrets.borrow();
    let leaks = |answer: &&String| secrets.iter().any(|secret| answer.contains(secret.as_str()));
    let answers = told.answers.borrow();
    let leaks: Vec<_> = answers.iter().filter(leaks).collect();
    assert!(leaks.is_empty(), "secrets were told: {leaks:#?}");
}

/// Searches the log, and every file of state and run directories.
fn assert_not_written(told: &Told) {
    let host = &told.host;
    let log = fs::read_to_string(host.log()).unwrap();
    let is_talkative = |level: &str| log.contains(&format!("\"level\":\"{level}\""));
    assert!(
        is_talkative("TRACE") && is_talkative("DEBUG"),
        "the log says little"
    );
    let secrets = told.secrets.borrow();
    let leaks = |line: &&str| secrets.iter().any(|secret| line.contains(secret.as_str()));
    let leaks: Vec<_> = log.lines().filter(leaks).collect();
    assert!(leaks.is_empty(), "secrets are in the log: {leaks:#?}");
    let mut kept = Vec::new();
    for directory in [host.state().to_owned(), host.run_directory()] {
        for (path, secret) in found_below(&directory, &secrets) {
            assert!(
                may_hold(&path, &secret, &host.admin_token()),
                "{secret} is in {path}"
            );
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o007, 0, "{path} holds {secret}, and its mode is {mode:o}");
            kept.push(secret);
        }
    }
    // So the search finds what is there.
    for secret in [PASSWORD, FILE, &host.admin_token()] {
        assert!(kept.iter().any(|kept| kept == secret), "{secret} is nowhere");
    }
}

fn may_hold(path: &str, secret: &str, admin: &str) -> bool {
    let name = Path::new(path)
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    match name.as_str() {
        "admin.token" => secret == admin,
        "upper.ext4" => secret == FILE,
        name => name.starts_with("pitwall.db") && [PASSWORD, GUESS].contains(&secret),
    }
}

/// Files with the secrets that they hold. Disks are large and mostly empty, which `grep` passes over.
fn found_below(directory: &Path, secrets: &[String]) -> Vec<(String, String)> {
    let mut grep = Command::new("grep");
    grep.args(["-r", "-a", "-o", "-z", "-Z", "-F", "-f", "-"])
        .arg(directory);
    let mut grep = grep.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = grep.stdin.take().unwrap();
    stdin.write_all(secrets.join("\n").as_bytes()).unwrap();
    drop(stdin);
    let output = grep.wait_with_output().unwrap();
    // One is that it found nothing; two is that something could not be read, such as a socket.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<_> = text.split_terminator('\0').map(str::to_owned).collect();
    words
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect()
}
