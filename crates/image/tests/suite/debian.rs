//! Debian's real registry: pushed to by skopeo, pulled from by us.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::ImageRef;

use crate::support::image::{Packing, image, layout};
use crate::support::mount::{run, walk, with_mounted};
use crate::support::tar::Tar;
use crate::support::{Cache, has, is_root, layout_ref};

/// A running `docker-registry` on a free port of loopback; it ends with the value.
struct Server {
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("ending the registry");
        self.process.wait().expect("its end");
    }
}

impl Server {
    fn start(directory: &Path) -> Self {
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            // Another program may take the port before the registry does; then another one is tried.
            let address = free_address();
            let config = directory.join("registry.yml");
            let storage = directory.join("storage");
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
                storage.display()
            );
            fs::write(&config, text).expect("its configuration");
            let mut command = Command::new("docker-registry");
            command
                .arg("serve")
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut server = Self {
                process: command.spawn().expect("docker-registry"),
                address,
            };
            while server.process.try_wait().expect("the registry").is_none() {
                if TcpStream::connect(&server.address).is_ok() {
                    return server;
                }
                assert!(Instant::now() < limit, "the registry does not answer");
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(Instant::now() < limit, "the registry does not start");
        }
    }
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_is_what_is_mounted() {
    if !has("docker-registry") || !has("skopeo") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let base = Tar::default()
        .dir("etc")
        .file("etc/os-release", b"ID=test\n")
        .link("etc/again", "etc/os-release")
        .end();
    let top = Tar::default()
        .file("etc/.wh.again", b"")
        .file("srv/data", &[42; 100_000])
        .end();
    let built = image(&[(base, Packing::Gzip), (top, Packing::Zstd)]);
    let source = directory.path().join("layout");
    layout(&source, &[("v1", &built)]);
    let server = Server::start(directory.path());
    let target = format!("{}/some/app:v1", server.address);
    run(Command::new("skopeo")
        .args(["copy", "--insecure-policy", "--dest-tls-verify=false"])
        .arg(format!("oci:{}:v1", source.display()))
        .arg(format!("docker://{target}")));
    let (from_registry, from_layout) = (Cache::new(), Cache::new());
    let reference: ImageRef = target.parse().expect("a reference");
    let pulled = from_registry.pull(&reference).await.expect("the image");
    let local = from_layout
        .pull(&layout_ref(&source, Some("v1")))
        .await
        .expect("the image");
    assert_eq!((pulled.digest, &pulled.config), (built.digest, &local.config));
    for (one, other) in pulled.disks.iter().zip(&local.disks) {
        assert_eq!(
            fs::read(&one.path).expect("a disk"),
            fs::read(&other.path).expect("a disk")
        );
    }
    let missing: ImageRef = format!("{}/some/app:v2", server.address)
        .parse()
        .expect("a reference");
    assert_eq!(
        from_registry.refusal(&missing).await.code,
        model::ReasonCode::ImageNotFound
    );
    if is_root() && has("losetup") {
        let seen = with_mounted(&pulled, walk);
        let paths: Vec<_> = seen
            .keys()
            .map(|path| String::from_utf8_lossy(path).into_owned())
            .collect();
        assert_eq!(paths, ["", "etc", "etc/os-release", "srv", "srv/data"]);
        assert_eq!(seen[&b"etc/os-release"[..]].links, 1);
    }
}
