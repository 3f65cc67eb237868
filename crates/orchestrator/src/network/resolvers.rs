//! The name servers that VMs are told of: those that the host itself asks, never one on its loopback, where no VM
//! can reach it (resolv.conf(5), systemd-resolved.service(8)).

use std::net::Ipv4Addr;

/// In the order of preference. Where the first names a stub on the loopback, the second has the real ones.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// More are ignored by the C library (`MAXNS`).
const MOST: usize = 3;

/// The name servers that VMs are told of: those that were configured, else those of the host. Empty where there are
/// none.
pub fn find(configured: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    choose(FILES.iter().filter_map(|file| std::fs::read_to_string(file).ok()))
}

/// What is said when there are none.
pub(super) fn warning() -> String {
    "this host knows no name server that a VM could reach (only a loopback address, or none): VMs will resolve no \
     names; give one with --resolver ADDRESS"
        .to_owned()
}

/// The usable servers of the first file that has one.
fn choose(files: impl Iterator<Item = String>) -> Vec<Ipv4Addr> {
    files
        .map(|text| usable(&text))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn usable(text: &str) -> Vec<Ipv4Addr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse::<Ipv4Addr>().ok())?
    });
    servers
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str]) -> Vec<String> {
        choose(files.iter().map(|&text| text.to_owned()))
            .iter()
            .map(Ipv4Addr::to_string)
            .collect()
    }

    #[test]
    fn a_stub_gives_way_to_the_real_ones() {
        let stub = "# stub\nnameserver 127.0.0.53\noptions edns0\n";
        assert_eq!(
            chosen(&[stub, "nameserver 192.0.2.53\nnameserver 2001:db8::1\n"]),
            ["192.0.2.53"]
        );
        assert_eq!(chosen(&[stub]), [""; 0]);
        assert_eq!(chosen(&[]), [""; 0]);
    }

    #[test]
    fn the_first_file_that_has_one_is_taken_and_its_loopback_left_out() {
        let mixed = "search x\nnameserver 127.0.0.1\n nameserver\t192.0.2.1 \nnameserver 0.0.0.0\nnameserver nonsense\n";
        assert_eq!(chosen(&[mixed, "nameserver 192.0.2.9"]), ["192.0.2.1"]);
        assert_eq!(chosen(&["nameserver 1.1.1.1\n".repeat(9).as_str()]).len(), 3);
    }
}
