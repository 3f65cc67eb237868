//! Finds the block devices that a configuration names.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wire::guest::Disk;

use super::error::Error;

/// Drivers make their disks while they load, so a disk that is not there after this time will not come.
const LIMIT: Duration = Duration::from_secs(3);

/// The device's path in `/dev`.
pub(super) fn find(disk: &Disk) -> Result<PathBuf, Error> {
    let start = Instant::now();
    loop {
        if let Some(path) = look(disk) {
            return Ok(path);
        }
        if start.elapsed() > LIMIT {
            return Err(Error::NoDisk(disk.clone()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn look(disk: &Disk) -> Option<PathBuf> {
    let path = match disk {
        Disk::Path(path) => PathBuf::from(path),
        Disk::Serial(serial) => {
            let name = by_serial(Path::new("/sys/block"), serial)?;
            Path::new("/dev").join(name)
        }
    };
    path.exists().then_some(path)
}

/// virtio-blk cuts a serial at 20 bytes (VIRTIO 1.2 section 5.2.6, VIRTIO_BLK_T_GET_ID), so only those are compared.
fn by_serial(blocks: &Path, wanted: &str) -> Option<std::ffi::OsString> {
    let cut = |text: &str| text.trim_end().bytes().take(20).collect::<Vec<u8>>();
    let mut entries = fs::read_dir(blocks).ok()?.filter_map(Result::ok);
    let found = entries.find(|entry| {
        fs::read_to_string(entry.path().join("serial")).is_ok_and(|serial| cut(&serial) == cut(wanted))
    });
    found.map(|entry| entry.file_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_compared_as_far_as_virtio_carries_it() {
        let blocks = tempfile::tempdir().unwrap();
        for (name, serial) in [("vda", "pw-root"), ("vdb", "a-very-long-serial-o")] {
            fs::create_dir(blocks.path().join(name)).unwrap();
            fs::write(blocks.path().join(name).join("serial"), serial).unwrap();
        }
        fs::create_dir(blocks.path().join("loop0")).unwrap();
        assert_eq!(by_serial(blocks.path(), "pw-root").unwrap(), "vda");
        assert_eq!(
            by_serial(blocks.path(), "a-very-long-serial-of-a-disk").unwrap(),
            "vdb"
        );
        assert_eq!(by_serial(blocks.path(), "pw-roo"), None);
    }
}
