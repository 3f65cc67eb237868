//! The SSH server as an ordinary process on loopback, told its configuration as PID 1 tells it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::Duration;

use wire::guest::*;

use crate::support::available;
use crate::support::ssh::{Client, KeyPair};

/// Longer than the server ever needs to say something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of its own for each test.
pub(crate) struct Server {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) key: KeyPair,
    pub(crate) host_key: KeyPair,
    pub(crate) port: u16,
    pub(crate) child: Child,
    parent: UnixStream,
    decoder: Decoder<GuestFrame>,
}

impl Server {
    pub(crate) fn start() -> Option<Self> {
        if !available(&["ssh", "ssh-keygen"], &[]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate(folder.path(), "key");
        let host_key = KeyPair::generate(folder.path(), "host-key");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (parent, theirs) = UnixStream::pair().unwrap();
        parent.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_powerunit"))
            .arg("ssh")
            .stdin(OwnedFd::from(listener))
            .stdout(OwnedFd::from(theirs))
            .spawn()
            .unwrap();
        let mut server = Self {
            folder,
            key,
            host_key,
            port,
            child,
            parent,
            decoder: Decoder::default(),
        };
        let keys = vec![server.key.public()];
        assert!(matches!(
            server.configure(1, keys),
            GuestFrame::Ready(Ready {
                config_revision: 1,
                ..
            })
        ));
        Some(server)
    }

    /// As PID 1 does it.
    pub(crate) fn configure(&mut self, revision: u64, authorized_keys: Vec<String>) -> GuestFrame {
        self.configure_ssh(revision, |ssh| ssh.authorized_keys = authorized_keys)
    }

    /// With its host key and nobody's key, changed.
    pub(crate) fn configure_ssh(&mut self, revision: u64, change: impl FnOnce(&mut Ssh)) -> GuestFrame {
        self.configure_all(revision, |config| change(&mut config.ssh))
    }

    /// The same, with more to change.
    pub(crate) fn configure_all(&mut self, revision: u64, change: impl FnOnce(&mut Config)) -> GuestFrame {
        let ssh = Ssh {
            port: self.port,
            host_key: HostKey::from_pem(self.host_key.private()),
            authorized_keys: Vec::new(),
            user_cas: Vec::new(),
            image_keys: false,
            barred: Vec::new(),
        };
        let disk = Disk::Serial("none".into());
        let mut config = Config {
            revision,
            hostname: "here".into(),
            network: None,
            ssh,
            image: ImageDefaults {
                // Debian's bash reads the tester's own profile where it is the first shell after ssh.
                env: vec!["FROM_IMAGE=yes".into(), "SHLVL=1".into()],
                ..ImageDefaults::default()
            },
            disks: Disks {
                root: disk.clone(),
                root_devices: vec![],
                upper: disk,
                modules: None,
            },
            service: None,
            usage_every: None,
        };
        change(&mut config);
        self.parent
            .write_all(&Encoder.encode(&HostFrame::Config(Box::new(config))).unwrap())
            .unwrap();
        loop {
            let frame = self.hear();
            if !matches!(frame, GuestFrame::Usage(_)) {
                return frame;
            }
        }
    }

    /// The next thing that the server says.
    pub(crate) fn hear(&mut self) -> GuestFrame {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return frame.unwrap();
            }
            let count = self.parent.read(&mut buffer).unwrap();
            assert!(count > 0, "the server ended");
            self.decoder.push(&buffer[..count]);
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.folder.path(), &self.key, &self.host_key.public(), self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
