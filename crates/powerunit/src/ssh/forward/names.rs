//! From a host's name to its addresses.
//!
//! A static program has no name service, so we ask what every image has: the name itself, /etc/hosts, and the servers of
//! /etc/resolv.conf (resolv.conf(5)). The files are read at each question, so a change counts at once.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::dns::{self, Answer, Kind};

/// More are ignored, as by the C library.
const MOST_SERVERS: usize = 3;
/// What the C library keeps of a search list.
const MOST_DOMAINS: usize = 6;
const PORT: u16 = 53;

/// What resolv.conf says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resolver {
    servers: Vec<SocketAddr>,
    domains: Vec<String>,
    /// Names with as many dots are asked for as they are first.
    dots: usize,
}

/// All addresses of a host, IPv4 first: a VM always has that.
///
/// # Errors
///
/// `NotFound` if nobody knows the name, `TimedOut` if no server answered.
pub(super) async fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Some(addresses) = without_asking(host, &read("/etc/hosts")) {
        return Ok(addresses);
    }
    let resolver = Resolver::parse(&read("/etc/resolv.conf"));
    let mut failure = io::ErrorKind::NotFound;
    for name in candidates(host, &resolver) {
        for kind in [Kind::V4, Kind::V6] {
            match dns::ask(&resolver.servers, &name, kind).await {
                Ok(Answer::Addresses(addresses)) => return Ok(addresses),
                Ok(Answer::NoSuchKind) => {}
                Ok(Answer::NoSuchName) => break,
                Err(error) => {
                    failure = error.kind();
                    break;
                }
            }
        }
    }
    Err(failure.into())
}

fn read(path: &str) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// Pure: an address, `localhost` (RFC 6761 section 6.3), or a name of the file.
fn without_asking(host: &str, hosts: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_local = host
        .rsplit('.')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("localhost"));
    if is_local {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let mut known: Vec<IpAddr> = hosts.lines().filter_map(|line| named(line, host)).collect();
    known.sort_by_key(IpAddr::is_ipv6);
    (!known.is_empty()).then_some(known)
}

/// The address of a line of hosts(5) that has this name.
fn named(line: &str, host: &str) -> Option<IpAddr> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let address = words.next()?.parse().ok()?;
    words
        .any(|name| name.eq_ignore_ascii_case(host))
        .then_some(address)
}

impl Resolver {
    /// Pure. Without a server, the machine itself is asked, as resolv.conf(5) says.
    fn parse(text: &str) -> Self {
        let mut resolver = Self {
            servers: Vec::new(),
            domains: Vec::new(),
            dots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse().ok());
                    resolver
                        .servers
                        .extend(address.map(|address| SocketAddr::new(address, PORT)));
                }
                // The last of them counts.
                Some("search" | "domain") => {
                    resolver.domains = words.take(MOST_DOMAINS).map(str::to_owned).collect();
                }
                Some("options") => {
                    let dots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    resolver.dots = dots.unwrap_or(resolver.dots);
                }
                Some(_) | None => {}
            }
        }
        resolver.servers.truncate(MOST_SERVERS);
        if resolver.servers.is_empty() {
            resolver
                .servers
                .push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        resolver
    }
}

/// Pure: the names to ask for, in order.
fn candidates(host: &str, resolver: &Resolver) -> Vec<String> {
    if let Some(absolute) = host.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let mut names: Vec<String> = resolver
        .domains
        .iter()
        .map(|domain| format!("{host}.{}", domain.trim_matches('.')))
        .collect();
    let dots = host.bytes().filter(|byte| *byte == b'.').count();
    let place = if dots >= resolver.dots { 0 } else { names.len() };
    names.insert(place, host.to_owned());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str = "127.0.0.1 localhost\n# 192.0.2.9 no\nfe80::1%2 odd\n\
        2001:db8::7 both\n192.0.2.7\tboth alias # comment\n";

    fn local(host: &str) -> Option<String> {
        let addresses = without_asking(host, HOSTS)?;
        Some(
            addresses
                .iter()
                .map(IpAddr::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    #[test]
    fn addresses_and_names_of_the_file_need_no_server() {
        assert_eq!(local("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(local("::1").as_deref(), Some("::1"));
        assert_eq!(local("LocalHost").as_deref(), Some("127.0.0.1 ::1"));
        assert_eq!(local("a.localhost.").as_deref(), Some("127.0.0.1 ::1"));
        assert_eq!(local("BOTH").as_deref(), Some("192.0.2.7 2001:db8::7"));
        assert_eq!(local("alias").as_deref(), Some("192.0.2.7"));
        assert_eq!(local("no"), None);
        assert_eq!(local("notlocalhost"), None);
    }

    #[test]
    fn servers_and_domains_are_read_as_the_c_library_reads_them() {
        let text = "nameserver 192.0.2.1\nnameserver nonsense\nnameserver ::1\nsearch old\n\
            search a.example b.example\noptions edns0 ndots:2\n";
        let resolver = Resolver::parse(text);
        assert_eq!(
            resolver.servers,
            ["192.0.2.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]
        );
        assert_eq!(candidates("x", &resolver), ["x.a.example", "x.b.example", "x"]);
        assert_eq!(
            candidates("x.y", &resolver),
            ["x.y.a.example", "x.y.b.example", "x.y"]
        );
        assert_eq!(
            candidates("x.y.z", &resolver),
            ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]
        );
        assert_eq!(candidates("x.", &resolver), ["x"]);
        let none = Resolver::parse("");
        assert_eq!(
            (none.servers.len(), candidates("x", &none)),
            (1, vec!["x".to_owned()])
        );
    }
}
