//! The loopback, and the one interface of the configuration.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use model::MacAddr;
use rustix::io::Errno;
use wire::guest::Network;

use super::error::Error;
use super::netlink::Netlink;

/// The driver makes its interface while it loads.
const APPEARS_WITHIN: Duration = Duration::from_secs(3);

/// Brings both up. Done again with the same values it changes nothing.
pub(super) fn configure(network: Option<&Network>) -> Result<(), Error> {
    let failed = |operation| move |source: Errno| Error::Network { operation, source };
    let netlink = Netlink::open().map_err(failed("open an rtnetlink socket"))?;
    if let Some(lo) = index(Path::new("/sys/class/net/lo")) {
        netlink.link_up(lo).map_err(failed("bring up the loopback"))?;
    }
    let Some(network) = network else { return Ok(()) };
    let index = wait_for(network.mac)?;
    netlink
        .address(index, network.address, network.prefix)
        .map_err(failed("set the address"))?;
    netlink.link_up(index).map_err(failed("bring up the interface"))?;
    if let Some(gateway) = network.gateway {
        netlink
            .default_route(index, gateway)
            .map_err(failed("set the default route"))?;
    }
    Ok(())
}

fn wait_for(mac: Option<MacAddr>) -> Result<u32, Error> {
    let start = Instant::now();
    loop {
        if let Some(index) = find(Path::new("/sys/class/net"), mac) {
            return Ok(index);
        }
        if start.elapsed() > APPEARS_WITHIN {
            return Err(Error::NoInterface(
                mac.map(|mac| format!(" {mac}")).unwrap_or_default(),
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn find(interfaces: &Path, mac: Option<MacAddr>) -> Option<u32> {
    let mut entries = fs::read_dir(interfaces).ok()?.filter_map(Result::ok);
    let found = entries.find(|entry| match mac {
        Some(mac) => fs::read_to_string(entry.path().join("address"))
            .is_ok_and(|text| text.trim().eq_ignore_ascii_case(&mac.to_string())),
        None => entry.file_name() != "lo",
    });
    index(&found?.path())
}

fn index(interface: &Path) -> Option<u32> {
    fs::read_to_string(interface.join("ifindex"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_found_by_its_address_or_as_the_only_one() {
        let net = tempfile::tempdir().unwrap();
        for (name, mac, index) in [("lo", "00:00:00:00:00:00", 1), ("eth0", "06:70:ac:1e:00:03", 2)] {
            fs::create_dir(net.path().join(name)).unwrap();
            fs::write(net.path().join(name).join("address"), format!("{mac}\n")).unwrap();
            fs::write(net.path().join(name).join("ifindex"), format!("{index}\n")).unwrap();
        }
        assert_eq!(
            find(net.path(), Some(MacAddr::new([6, 0x70, 0xac, 0x1e, 0, 3]))),
            Some(2)
        );
        assert_eq!(find(net.path(), None), Some(2));
        assert_eq!(find(net.path(), Some(MacAddr::new([6, 0, 0, 0, 0, 9]))), None);
    }
}
