//! Why a guest cannot become what its configuration asks.

use std::path::PathBuf;

use rustix::io::Errno;

pub(super) use crate::chain::chain;

/// A step that failed. [`Error::code`] is what the host sees of the kind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// mount(2) said no.
    #[error("cannot mount {what} on {target}")]
    Mount {
        /// Filesystem and device.
        what: String,
        /// Where.
        target: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// A system call on the way from the initramfs to the image failed.
    #[error("cannot {operation}")]
    Root {
        /// What was tried.
        operation: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// A file of the system could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The kernel did not take a module.
    #[error("cannot load the kernel module {name}")]
    Module {
        /// Its file name.
        name: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// There is no way to the host.
    #[error("neither a virtio-serial port named {0} nor a virtio socket device appeared")]
    NoControlPort(&'static str),
    /// A disk of the configuration is not there.
    #[error("no disk {0}; the VMM must attach it")]
    NoDisk(wire::guest::Disk),
    /// The configuration names an interface that is not there.
    #[error("no network interface{0}; the VMM must attach it")]
    NoInterface(String),
    /// rtnetlink said no.
    #[error("cannot {operation}")]
    Network {
        /// What was tried.
        operation: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// The SSH port cannot be listened on.
    #[error("cannot listen on TCP port {port}")]
    Listen {
        /// The port of the configuration.
        port: u16,
        /// Why not.
        source: std::io::Error,
    },
    /// The SSH server could not be started.
    #[error("cannot start the SSH server")]
    Spawn(#[source] std::io::Error),
    /// A descriptor that PID 1 lives on could not be made.
    #[error("cannot make a {0}")]
    Descriptor(&'static str, #[source] std::io::Error),
}

impl Error {
    /// A stable word for the host's reaction and the VM's reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Mount { .. } | Self::Root { .. } => "mount_failed",
            Self::File { .. } => "file_failed",
            Self::Module { .. } => "module_failed",
            Self::NoControlPort(_) => "control_port_missing",
            Self::NoDisk(_) => "disk_missing",
            Self::NoInterface(_) => "interface_missing",
            Self::Network { .. } => "network_failed",
            Self::Listen { .. } | Self::Spawn(_) => "ssh_failed",
            Self::Descriptor(..) => "init_failed",
        }
    }

    pub(super) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }
}
