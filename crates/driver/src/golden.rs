//! Golden files, and the machine in them.

use std::path::Path;

use model::{ByteSize, MacAddr, VmId};

use crate::{Disk, Kernel, MachineSpec, Nic};

pub(crate) fn spec() -> MachineSpec {
    let disk = |path: &str, serial: &str, read_only| Disk {
        path: path.into(),
        serial: serial.into(),
        read_only,
    };
    MachineSpec {
        id: VmId::from_random([7; 16]),
        name: "fred".into(),
        cpus: 2,
        memory: ByteSize::from_mib(256),
        disks: vec![
            disk("/var/lib/pitwall/images/a.erofs", "pw-root", true),
            disk("/var/lib/pitwall/host/vms/fred/upper.ext4", "pw-upper", false),
        ],
        nic: Some(Nic {
            tap: "pw-0-3".into(),
            mac: MacAddr::new([6, 0x70, 172, 30, 0, 3]),
        }),
        kernel: Some(Kernel {
            vmlinux: "/usr/local/lib/pitwall/vmlinux".into(),
            initramfs: "/usr/local/lib/pitwall/initramfs.cpio".into(),
            extra_args: vec!["pw.test=1".into()],
        }),
        console: false,
        owner: 1_879_048_195,
    }
}

/// Compares a text with a golden file.
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        text,
        "{name}; UPDATE_GOLDEN=1 rewrites it"
    );
}
