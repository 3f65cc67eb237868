//! Images from a registry, and images with nearly nothing in them.

use crate::env::Host;
use crate::registry::{Registry, one_program};

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
