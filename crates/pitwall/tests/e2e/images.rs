//! Images from a registry, and images with nearly nothing in them.

use crate::env::Host;
use crate::registry::{Registry, layered, one_program};

#[test]
fn an_image_from_a_real_registry_becomes_a_vm() {
    let host = Host::up();
    let _registry = Registry::with_debian(&host);
    let reference = format!("{}/debian:latest", Registry::ADDRESS);
    host.pwctl_ok(&[
        "create", "pulled", "--image", &reference, "--memory", "256M", "--disk", "512M",
    ]);
    assert!(
        host.ssh_ok("pulled", "cat /etc/os-release")
            .contains("Debian GNU/Linux 12")
    );
    let images = host.pwctl_ok(&["image", "ls", "--json"]);
    assert!(images.contains(&reference), "{images}");
}

#[test]
fn an_image_with_one_static_program_and_nothing_else_works() {
    let host = Host::up();
    let directory = tempfile::tempdir().unwrap();
    let image = one_program(&directory.path().join("layout"));
    host.pwctl_ok(&[
        "create", "alone", "--image", &image, "--memory", "256M", "--disk", "128M",
    ]);
    let output = host.ssh("alone", "/program");
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(3), b"all alone\n".as_slice())
    );
    let shell = host.ssh("alone", "");
    assert_eq!(shell.status.code(), Some(127));
    assert!(
        String::from_utf8_lossy(&shell.stderr).contains("shell"),
        "{}",
        crate::env::text(&shell)
    );
}

#[test]
fn layers_are_disks_while_there_are_places_and_one_disk_beyond() {
    let host = Host::up();
    // The image, the VM's own disk and that of the kernel's modules; a split image's first disk has its names only.
    for (layers, disks) in [(4, 1 + 4 + 2), (30, 1 + 2)] {
        let directory = tempfile::tempdir().unwrap();
        let image = layered(&directory.path().join("layout"), layers);
        let name = format!("layers-{layers}");
        host.pwctl_ok(&[
            "create", &name, "--image", &image, "--memory", "256M", "--disk", "128M",
        ]);
        let found = host.ssh_ok(&name, "for disk in /sys/block/vd*; do echo $disk; done");
        assert_eq!(found.lines().count(), disks, "{layers} layers: {found}");
        let found = host.ssh_ok(
            &name,
            "for transport in /sys/bus/virtio/devices/*; do echo $transport; done",
        );
        let fixed = found.lines().count() - disks + 3;
        assert!(fixed <= 8, "{layers} layers: {found}");
        let numbers = host.ssh_ok(&name, "cat /layers/*");
        assert_eq!(numbers.lines().count(), layers as usize - 1, "{numbers}");
        host.pwctl_ok(&["rm", &name]);
    }
}
