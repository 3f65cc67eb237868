//! Kernel settings under `/proc/sys` (Documentation/networking/ip-sysctl.rst).

use std::path::Path;

use crate::hands::HandsError;

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Whether the host forwards IPv4 packets.
pub(super) fn forwarding() -> Result<bool, HandsError> {
    let text = std::fs::read_to_string(FORWARDING).map_err(|source| HandsError::Setting {
        operation: "read",
        path: FORWARDING.into(),
        source,
    })?;
    Ok(text.trim() == "1")
}

/// Switches forwarding. The kernel changes other settings when this one is written, so an equal value is not.
pub(super) fn set_forwarding(on: bool) -> Result<(), HandsError> {
    if forwarding()? == on {
        return Ok(());
    }
    write(Path::new(FORWARDING), if on { "1" } else { "0" })
}

/// Keeps IPv6 away from an interface. A kernel without IPv6 has no such setting, and needs none.
pub(super) fn disable_ipv6(interface: &str) -> Result<(), HandsError> {
    let path = Path::new("/proc/sys/net/ipv6/conf")
        .join(interface)
        .join("disable_ipv6");
    if path.exists() { write(&path, "1") } else { Ok(()) }
}

fn write(path: &Path, value: &str) -> Result<(), HandsError> {
    std::fs::write(path, value).map_err(|source| HandsError::Setting {
        operation: "write",
        path: path.to_owned(),
        source,
    })
}
