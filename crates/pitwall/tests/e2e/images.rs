//! Images from a registry, and images with nearly nothing in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::env::{Host, PATIENCE, until};
use crate::registry::{Registry, busybox_root, configured, layered, one_program};

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

/// Fails in its first run. In its second it waits for its stop signal, which is none that would end it in silence.
const SERVICE: &str = r#"echo "runs as $(id -u):$(id -g) in $PWD with $GREETING and $*"
if mkdir /data/ran; then exit 7; fi
trap 'echo stopped in order; exit 0' USR1
echo again
while :; do sleep 1; done
"#;

#[test]
fn an_images_configuration_is_what_its_service_is() {
    let host = Host::up();
    let directory = tempfile::tempdir().unwrap();
    let image = with_service(&directory.path().join("layout"));
    host.pwctl_ok(&[
        "create", "made", "--image", &image, "--memory", "128M", "--disk", "128M",
    ]);
    let vm = until("the service runs again", PATIENCE, || {
        let vm = host.get("made");
        (vm["service"]["restarts"] == 1 && vm["service"]["state"] == "running").then_some(vm)
    });
    assert_eq!(vm["service"]["exit_code"], 7, "{vm}");
    assert_eq!(vm["status"], "RUNNING", "one that fails takes no VM with it");
    assert!(
        host.pwctl_ok(&["get", "made"])
            .contains("last exit status 7, started again 1 times")
    );
    let said = "runs as 1000:50 in /srv/work with hello and an argument";
    until("it waits for its signal", PATIENCE, || {
        (host.pwctl_ok(&["logs", "made"]) == format!("{said}\n{said}\nagain\n")).then_some(())
    });

    // What a layer takes away or puts in the place of another's is so in the VM, and the volume lies on its disk.
    let seen = host.pwctl_ok(&["exec", "made", "--", "/bin/sh", "-c", LOOK]);
    assert_eq!(seen, "from the third\nkept\nhidden\next4\nfrom the image\n");
    host.pwctl_ok(&["stop", "made"]);
    assert!(
        host.pwctl_ok(&["logs", "made"])
            .ends_with("again\nstopped in order\n")
    );
    host.pwctl_ok(&["rm", "made"]);
    host.assert_no_vm_left();
}

const LOOK: &str = "cat /layers/changed /layers/kept; test -e /layers/gone || echo hidden; \
                    while read -r _ place kind _; do [ $place = /data ] && echo $kind; done </proc/mounts; cat /data/file";

/// An image of three layers that says all that an image can say of its service.
fn with_service(directory: &Path) -> String {
    let layers = [
        busybox_root(directory),
        directory.with_extension("second"),
        directory.with_extension("third"),
    ];
    let files = [
        (0, "service", SERVICE),
        (0, "data/file", "from the image\n"),
        (0, "layers/changed", "from the first\n"),
        (0, "layers/gone", "from the first\n"),
        (0, "layers/kept", "kept\n"),
        (1, "layers/.wh.gone", ""),
        (1, "layers/changed", "from the second\n"),
        (2, "layers/changed", "from the third\n"),
    ];
    for (layer, name, content) in files {
        let file = layers[layer].join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    // For whoever the service is.
    fs::set_permissions(layers[0].join("data"), fs::Permissions::from_mode(0o777)).unwrap();
    let config = json!({
        "Entrypoint": ["/bin/sh", "/service"],
        "Cmd": ["an", "argument"],
        "User": "1000:50",
        "WorkingDir": "/srv/work",
        "Env": ["PATH=/bin", "GREETING=hello"],
        "StopSignal": "SIGUSR1",
        "Volumes": { "/data": {} },
    });
    configured(directory, &config, &layers)
}
