//! Loads the kernel modules that travel in the initramfs.
//!
//! `/modules/order` has one line per module, `WHEN FILE`, everything a module needs before it; whoever packs the
//! initramfs computed that, so nothing is looked up here but whether the condition holds. It is asked line by line,
//! because a bus shows its devices only once its own driver is there.

use std::fs::{self, File};
use std::path::Path;

use rustix::io::Errno;
use rustix::system::finit_module;

use super::error::Error;

const FOLDER: &str = "/modules";
const ORDER: &str = "/modules/order";

/// Loads all that this machine needs. An initramfs without modules, or a kernel that takes none, has everything built
/// in.
pub(super) fn load() -> Result<(), Error> {
    let Ok(order) = fs::read_to_string(ORDER) else {
        return Ok(());
    };
    for (when, name) in order.lines().filter_map(|line| line.split_once(' ')) {
        if !holds(when, Path::new("/sys/bus")) {
            continue;
        }
        let path = format!("{FOLDER}/{name}");
        let file = File::open(&path).map_err(Error::file("open", path))?;
        match finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            // A kernel without modules has built in what it needs; what else it lacks is said elsewhere.
            Err(Errno::NOSYS) => return Ok(()),
            Err(source) => {
                return Err(Error::Module {
                    name: name.to_owned(),
                    source,
                });
            }
        }
    }
    Ok(())
}

/// Whether the machine has what a module is for. A word that this powerunit does not know is a condition that does
/// not hold.
fn holds(when: &str, buses: &Path) -> bool {
    match when.split_once(':') {
        None => when == "always" || (when == "pci" && any_device(&buses.join("pci"), |_| true)),
        Some(("virtio", number)) => any_device(&buses.join("virtio"), |device| {
            fs::read_to_string(device.join("device")).is_ok_and(|found| is_number(found.trim(), number))
        }),
        Some(_) => false,
    }
}

fn any_device(bus: &Path, fits: impl Fn(&Path) -> bool) -> bool {
    let devices = fs::read_dir(bus.join("devices")).into_iter().flatten();
    devices.filter_map(Result::ok).any(|device| fits(&device.path()))
}

/// The kernel writes it `0x0013`, the order `19`.
fn is_number(found: &str, wanted: &str) -> bool {
    found
        .strip_prefix("0x")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .is_some_and(|found| wanted.parse() == Ok(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_needs_no_driver() {
        let buses = tempfile::tempdir().unwrap();
        for word in ["pci", "virtio:19", "moon", "virtio:", "usb:19"] {
            assert!(!holds(word, buses.path()), "{word}");
        }
        assert!(holds("always", buses.path()));
        let device = buses.path().join("virtio/devices/virtio0");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("device"), "0x0013\n").unwrap();
        fs::create_dir_all(buses.path().join("pci/devices/0000:00:00.0")).unwrap();
        for (word, expected) in [("pci", true), ("virtio:19", true), ("virtio:5", false)] {
            assert_eq!(holds(word, buses.path()), expected, "{word}");
        }
    }
}
