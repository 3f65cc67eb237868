//! `config-ssh` and `ssh-proxy`, judged by the real clients: ssh, scp, rsync and Ansible, against a real sshd.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::cloud::{Cloud, WayIn};

const SSHD: &str = "/usr/sbin/sshd";
const PATH: &str = "/usr/bin:/bin";

/// An SSH server on loopback, in the place of a VM's, with a host key of its own.
struct Sshd {
    child: Child,
    port: u16,
    host_key: String,
}

impl Sshd {
    fn start(folder: &Path, authorized: &Path, name: &str) -> Self {
        let host_key = folder.join(name);
        keygen(&host_key);
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut sshd = Command::new(SSHD);
        sshd.args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"])
            .arg(&host_key);
        for option in [
            "ListenAddress=127.0.0.1",
            "StrictModes=no",
            "PidFile=none",
            "UsePAM=no",
            "PermitRootLogin=yes",
            "Subsystem=sftp internal-sftp",
            &format!("AuthorizedKeysFile={}", authorized.display()),
        ] {
            sshd.args(["-o", option]);
        }
        let child = sshd.stderr(Stdio::null()).spawn().unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let line = fs::read_to_string(host_key.with_extension("pub")).unwrap();
        let host_key = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Self {
            child,
            port,
            host_key,
        }
    }

    fn way_in(&self) -> WayIn {
        WayIn {
            address: [127, 0, 0, 1],
            port: self.port,
            login: "root".to_owned(),
            host_key: self.host_key.clone(),
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn keygen(path: &Path) {
    let mut keygen = Command::new("/usr/bin/ssh-keygen");
    let made = keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

/// Whether the real clients can be tried here, as root with what they need.
fn is_possible() -> bool {
    let missing: Vec<_> = [
        SSHD,
        "/usr/bin/ssh",
        "/usr/bin/rsync",
        "/usr/bin/scp",
        "/run/sshd",
    ]
    .into_iter()
    .filter(|path| !Path::new(path).exists())
    .collect();
    let is_root = nix::unistd::geteuid().is_root();
    if missing.is_empty() && is_root {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "missing: {missing:?}, root: {is_root}"
    );
    println!("skipped: it needs root and {missing:?}");
    false
}

/// A cloud whose VMs are this machine's sshd, and a person with an `.ssh` of their own.
struct World {
    cloud: Cloud,
    home: PathBuf,
}

const OF_PERSON: &str = "# mine\nHost jump\n    User me\n\nHost *\n    ConnectTimeout 10\n";

impl World {
    async fn open() -> Self {
        let cloud = Cloud::open().await;
        let home = cloud.folder.path().to_owned();
        fs::create_dir(home.join(".ssh")).unwrap();
        fs::write(home.join(".ssh/config"), OF_PERSON).unwrap();
        for file in ["id_pitwall", "id_pitwall.pub"] {
            fs::remove_file(home.join(file)).unwrap();
        }
        keygen(&home.join("id_pitwall"));
        Self { cloud, home }
    }

    fn sshd(&self, name: &str) -> Sshd {
        let sshd = Sshd::start(&self.home, &self.home.join("id_pitwall.pub"), name);
        self.cloud.way_in_is(sshd.way_in());
        sshd
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.home.join(".ssh").join(name)).unwrap_or_default()
    }

    async fn pwctl(&self, words: &[&str]) -> String {
        let ended = self.cloud.pwctl(words).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{words:?}");
        ended.out
    }

    /// A client that reads the person's `.ssh/config`.
    async fn client(&self, program: &str, words: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(program);
        command
            .args(words)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &self.home);
        command
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::null())
            .current_dir(&self.home);
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, command.output())
            .await
            .unwrap()
            .unwrap()
    }

    async fn said(&self, program: &str, words: &[&str]) -> String {
        let output = self.client(program, words).await;
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{program} {words:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn config(&self) -> String {
        self.home.join(".ssh/config").display().to_string()
    }

    async fn ssh(&self, command: &str) -> String {
        self.said("/usr/bin/ssh", &["-F", &self.config(), "web", command])
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_and_its_kin_reach_a_vm_by_its_name() {
    if !is_possible() {
        return;
    }
    let world = World::open().await;
    let first = world.sshd("host-a");
    world.pwctl(&["create", "web", "--image", "debian"]).await;
    let shown = world.pwctl(&["config-ssh", "--dry-run"]).await;
    assert!(
        shown.contains("+Host web web.admin\n") && shown.contains("+Include \""),
        "{shown}"
    );
    assert_eq!(world.file("config"), OF_PERSON, "a dry run changes nothing");
    assert_eq!(world.file("pitwall.config"), "");

    world.pwctl(&["config-ssh"]).await;
    let included = world.file("config");
    assert!(
        included.starts_with("Include \"") && included.ends_with(&format!("\n{OF_PERSON}")),
        "{included}"
    );
    assert_eq!(world.file("config.before-pitwall"), OF_PERSON);
    assert_eq!(world.pwctl(&["config-ssh"]).await, "nothing to change\n");
    assert_eq!(world.ssh("echo here").await, "here\n");
    let failed = world
        .client("/usr/bin/ssh", &["-F", &world.config(), "web", "exit 37"])
        .await;
    assert_eq!(failed.status.code(), Some(37));

    let (home, config) = (world.home.display().to_string(), world.config());
    fs::write(world.home.join("sent"), vec![b'x'; 3_000_000]).unwrap();
    world
        .said(
            "/usr/bin/scp",
            &["-q", "-F", &config, "sent", &format!("web:{home}/copied")],
        )
        .await;
    let words = ["-e", &format!("ssh -F {config}"), "web:copied", "synced"].map(str::to_owned);
    let words = words.map(|word| word.replace("web:copied", &format!("web:{home}/copied")));
    world
        .said("/usr/bin/rsync", &words.each_ref().map(String::as_str))
        .await;
    assert_eq!(fs::read(world.home.join("synced")).unwrap().len(), 3_000_000);
    ansible(&world).await;

    // A recreated name has another key, and nobody is warned.
    world.pwctl(&["rm", "web"]).await;
    assert!(!world.file("pitwall.config").contains("Host web"));
    let second = world.sshd("host-b");
    drop(first);
    world.pwctl(&["create", "web", "--image", "debian"]).await;
    assert_eq!(world.ssh("echo again").await, "again\n");

    // Recreated from elsewhere, so that nothing here was renewed.
    let third = world.sshd("host-c");
    drop(second);
    for words in [&["rm", "web"][..], &["create", "web", "--image", "debian"]] {
        let mut elsewhere = world.cloud.command(words);
        assert!(
            elsewhere
                .env("HOME", "/nonexistent")
                .status()
                .await
                .unwrap()
                .success()
        );
    }
    assert!(!world.file("pitwall.known_hosts").contains(&third.host_key));
    assert_eq!(world.ssh("echo anew").await, "anew\n");
    assert!(world.file("pitwall.known_hosts").contains(&third.host_key));

    // What is no longer there, or not up, is said.
    world.pwctl(&["stop", "web"]).await;
    let off = world
        .client("/usr/bin/ssh", &["-F", &config, "web", "true"])
        .await;
    let told = String::from_utf8_lossy(&off.stderr).into_owned();
    assert_eq!(off.status.code(), Some(255));
    assert!(
        told.contains("VM web is STOPPED") && told.contains("pwctl start web"),
        "{told}"
    );

    world.pwctl(&["config-ssh", "--remove"]).await;
    assert_eq!(world.file("config"), OF_PERSON);
    assert!(!world.home.join(".ssh/pitwall.config").exists());
    assert!(!world.home.join(".ssh/pitwall.known_hosts").exists());
}

/// A module of Ansible's through the same file, from the environment that scripts/ssh-clients makes.
async fn ansible(world: &World) {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/ansible");
    if !venv.exists() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", venv.display());
        return println!("skipped: no Ansible; scripts/ssh-clients installs it");
    }
    let mut command = tokio::process::Command::new(&venv);
    command.args([
        "-i",
        "web,",
        "web",
        "-m",
        "ansible.builtin.command",
        "-a",
        "echo by ansible",
    ]);
    command.args(["-e", "ansible_python_interpreter=/usr/bin/python3"]);
    command.args([
        "--ssh-common-args",
        &format!("-F {} -o ControlMaster=no", world.config()),
    ]);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", &world.home)
        .env("LC_ALL", "C.UTF-8");
    command
        .env("SHELL", "/bin/sh")
        .env("ANSIBLE_REMOTE_TEMP", world.home.join("remote"));
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("by ansible"),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_the_persons_own_stays_theirs() {
    let cloud = Cloud::open().await;
    let ssh = cloud.folder.path().join(".ssh");
    fs::create_dir(&ssh).unwrap();
    fs::write(ssh.join("config"), "Host web\n    HostName web.example\n").unwrap();
    for name in ["web", "db"] {
        assert_eq!(
            cloud.pwctl(&["create", name, "--image", "debian"]).await.code,
            Some(0)
        );
    }
    assert_eq!(cloud.pwctl(&["config-ssh"]).await.code, Some(0));
    let ours = fs::read_to_string(ssh.join("pitwall.config")).unwrap();
    assert!(
        ours.contains("\nHost db db.admin\n") && ours.contains("\nHost web.admin\n"),
        "{ours}"
    );
    // Where it is not set up nothing is made.
    assert_eq!(cloud.pwctl(&["config-ssh", "--remove"]).await.code, Some(0));
    assert_eq!(cloud.pwctl(&["rm", "web"]).await.code, Some(0));
    assert!(!ssh.join("pitwall.config").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_several_peoples_means_ones_own() {
    let cloud = Cloud::open().await;
    let ssh = cloud.folder.path().join(".ssh");
    fs::create_dir(&ssh).unwrap();
    assert_eq!(cloud.pwctl(&["user", "create", "ann"]).await.code, Some(0));
    for (name, owner) in [("web", "ann"), ("db", "ann"), ("web", "admin")] {
        let words = ["create", name, "--image", "debian", "--owner", owner];
        let created = cloud.pwctl(&words).await;
        assert_eq!(created.code, Some(0), "{created:?}");
    }
    assert_eq!(cloud.pwctl(&["config-ssh"]).await.code, Some(0));
    let ours = fs::read_to_string(ssh.join("pitwall.config")).unwrap();
    let hosts: Vec<_> = ours.lines().filter(|line| line.starts_with("Host ")).collect();
    assert_eq!(
        hosts,
        ["Host web.ann", "Host db db.ann", "Host web web.admin"],
        "{ours}"
    );
    let listed = cloud.pwctl(&["ls"]).await.out;
    assert!(
        listed.starts_with("NAME  STATUS   ADDRESS     CPUS  MEMORY  OWNER  IMAGE"),
        "{listed}"
    );
    let shown = cloud.pwctl(&["get", "web.ann"]).await.out;
    assert!(shown.contains("\nowner:    ann\n"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_carries_bytes_both_ways_and_ends_each_by_itself() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let cloud = Cloud::open().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way_in = WayIn {
        address: [127, 0, 0, 1],
        port: listener.local_addr().unwrap().port(),
        login: "fred".to_owned(),
        host_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh"
            .to_owned(),
    };
    cloud.way_in_is(way_in);
    assert_eq!(
        cloud.pwctl(&["create", "web", "--image", "debian"]).await.code,
        Some(0)
    );
    let vm = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        // To its end: that of standard input, which is not that of the connection.
        stream.read_to_end(&mut heard).await.unwrap();
        stream.write_all(&vec![b'y'; 1_000_000]).await.unwrap();
        heard.len()
    });
    let ended = crate::streams::typed(&cloud, &["ssh-proxy", "web"], &vec![b'x'; 500_000]).await;
    assert_eq!(
        (ended.code, ended.out.len(), ended.err.as_str()),
        (Some(0), 1_000_000, "")
    );
    assert_eq!(vm.await.unwrap(), 500_000);
    let refused = cloud.pwctl(&["ssh-proxy", "web"]).await;
    assert_eq!(refused.code, Some(8), "{refused:?}");
    assert!(
        refused.err.contains("does not answer at 127.0.0.1:"),
        "{refused:?}"
    );
}
