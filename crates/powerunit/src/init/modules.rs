//! Loads the kernel modules that travel in the initramfs.
//!
//! `/modules/order` has one line per module, `WHEN FILE`, everything a module needs before it; whoever packs the
//! initramfs computed that, so nothing is looked up here.

use std::fs::{self, File};

use rustix::io::Errno;
use rustix::system::finit_module;

use super::error::Error;

const FOLDER: &str = "/modules";
const ORDER: &str = "/modules/order";

/// Loads all that this machine needs. An initramfs without modules is for a kernel that has everything built in.
pub(super) fn load() -> Result<(), Error> {
    let Ok(order) = fs::read_to_string(ORDER) else {
        return Ok(());
    };
    let has_pci = fs::read_dir("/sys/bus/pci/devices").is_ok_and(|mut devices| devices.next().is_some());
    for name in wanted(&order, has_pci) {
        let path = format!("{FOLDER}/{name}");
        let file = File::open(&path).map_err(Error::file("open", path))?;
        match finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
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

/// Pure: the files to load, in order. A word that this powerunit does not know is a condition that does not hold.
fn wanted(order: &str, has_pci: bool) -> impl Iterator<Item = &str> {
    order.lines().filter_map(move |line| match line.split_once(' ')? {
        ("always", file) => Some(file),
        ("pci", file) if has_pci => Some(file),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_is_not_there_needs_no_driver() {
        let order = "always virtio.ko\npci virtio_pci.ko\nmoon rover.ko\nalways erofs.ko\n";
        assert_eq!(
            wanted(order, false).collect::<Vec<_>>(),
            ["virtio.ko", "erofs.ko"]
        );
        assert_eq!(
            wanted(order, true).collect::<Vec<_>>(),
            ["virtio.ko", "virtio_pci.ko", "erofs.ko"]
        );
    }
}
