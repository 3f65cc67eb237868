//! Where the API listens, and what stands at its edge.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use server::{Limits, Network, Rate, Rates, TlsFiles};

use super::Faults;
use super::file::File;

/// The settings of the API's listener, checked.
#[derive(Debug, Clone)]
pub(crate) struct DoorSettings {
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) limits: Limits,
    pub(crate) rates: Rates,
}

/// The rates, close to their text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRates {
    user_per_second: u32,
    user_burst: u32,
    address_per_second: u32,
    address_burst: u32,
}

/// Checks what belongs to a listener at this address; `None` where something cannot be read.
pub(super) fn check(file: &File, listen: Option<SocketAddr>, faults: &mut Faults) -> Option<DoorSettings> {
    let tls = tls(file, faults);
    if let Some(listen) = listen {
        faults.need(
            listen.ip().is_loopback() || tls.is_some() || file.insecure_listen,
            "listen",
            "is no loopback address, so tokens would cross the network in the clear: set tls_cert and tls_key, or \
             insecure_listen = true where something in front of it speaks TLS",
        );
    }
    let metrics_listen = match file.metrics_listen.as_str() {
        "" => None,
        text => faults.take("metrics_listen", text.parse::<SocketAddr>()),
    };
    let proxies = file.trusted_proxies.iter().map(|text| text.parse::<Network>());
    let proxies = faults.take("trusted_proxies", proxies.collect::<Result<Vec<_>, _>>());
    for (key, connections) in [
        ("connections", file.connections),
        ("connections_per_address", file.connections_per_address),
    ] {
        faults.need(connections > 0, key, "must be at least 1");
    }
    for (key, per_second, burst) in [
        (
            "rates.user_burst",
            file.rates.user_per_second,
            file.rates.user_burst,
        ),
        (
            "rates.address_burst",
            file.rates.address_per_second,
            file.rates.address_burst,
        ),
    ] {
        faults.need(per_second == 0 || burst > 0, key, "must be at least 1");
    }
    Some(DoorSettings {
        tls,
        metrics_listen,
        trusted_proxies: proxies?,
        limits: Limits {
            connections: file.connections,
            connections_per_address: file.connections_per_address,
            ..Limits::default()
        },
        rates: rates(&file.rates),
    })
}

fn tls(file: &File, faults: &mut Faults) -> Option<TlsFiles> {
    let given = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
    match (given(&file.tls_cert), given(&file.tls_key)) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (certificate, _) => {
            let missing = if certificate.is_some() {
                "tls_key"
            } else {
                "tls_cert"
            };
            faults.need(
                false,
                missing,
                "is missing: a certificate and its key go together",
            );
            None
        }
    }
}

const fn rates(file: &FileRates) -> Rates {
    Rates {
        caller: Rate {
            per_second: file.user_per_second,
            burst: file.user_burst,
        },
        address: Rate {
            per_second: file.address_per_second,
            burst: file.address_burst,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        let mut file = File::defaults().unwrap();
        file.overlay_text(text).unwrap();
        let mut faults = Faults::default();
        check(&file, file.listen.parse().ok(), &mut faults);
        faults.0.join("\n")
    }

    #[test]
    fn tokens_cross_a_network_in_the_clear_only_where_that_was_said() {
        for good in [
            "listen = '127.0.0.1:1'",
            "listen = '[::1]:1'",
            "listen = '0.0.0.0:1'\ninsecure_listen = true",
            "listen = '192.0.2.1:1'\ntls_cert = '/c'\ntls_key = '/k'",
        ] {
            assert_eq!(faults(good), "", "{good}");
        }
        for bad in [
            "listen = '0.0.0.0:1'",
            "listen = '[::]:1'",
            "listen = '192.0.2.1:1'",
        ] {
            let said = faults(bad);
            assert!(
                said.starts_with("listen: ") && said.contains("insecure_listen"),
                "{said}"
            );
        }
    }

    #[test]
    fn each_mistake_is_told_by_its_key() {
        for (text, key) in [
            ("tls_cert = '/c'", "tls_key: "),
            ("tls_key = '/k'", "tls_cert: "),
            ("metrics_listen = 'here'", "metrics_listen: "),
            ("trusted_proxies = ['10.0.0.0/8', 'proxy']", "trusted_proxies: "),
            ("connections = 0", "connections: "),
            ("connections_per_address = 0", "connections_per_address: "),
            ("[rates]\nuser_burst = 0", "rates.user_burst: "),
        ] {
            assert!(faults(text).starts_with(key), "{text}: {}", faults(text));
        }
    }

    #[test]
    fn rates_and_metrics_can_be_turned_off() {
        let mut file = File::defaults().unwrap();
        let off = "metrics_listen = ''\n[rates]\nuser_per_second = 0\naddress_per_second = 0";
        file.overlay_text(off).unwrap();
        let settings = check(&file, None, &mut Faults::default()).unwrap();
        assert_eq!(settings.metrics_listen, None);
        assert_eq!(
            (
                settings.rates.caller.per_second,
                settings.rates.address.per_second
            ),
            (0, 0)
        );
    }
}
