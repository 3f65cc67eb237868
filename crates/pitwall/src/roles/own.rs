//! This machine's own control plane, as a program beside it asks it.
//!
//! It is asked where it listens. No name in a certificate fits such an address, so over TLS the very certificate that the
//! settings name is trusted, and no other.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use api::{Client, ClientConfig, ClientError};

use crate::config::Settings;

/// Why it cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnError {
    #[error("cannot read the certificate {}", path.display())]
    Certificate { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A client of it. In the clear a token goes to a loopback address only.
pub(crate) fn own_client(settings: &Settings, token: Option<&str>) -> Result<Client, OwnError> {
    let config = config(settings, token);
    let Some(tls) = &settings.door.tls else {
        return Ok(Client::new(config)?);
    };
    let pem = fs::read(&tls.certificate).map_err(|source| OwnError::Certificate {
        path: tls.certificate.clone(),
        source,
    })?;
    Ok(Client::new_trusting_only(config, &pem)?)
}

/// The same where it is known to run, and so to listen at an address of this machine, which nothing sent to it leaves.
pub(super) fn own_running_client(settings: &Settings, token: &str) -> Result<Client, OwnError> {
    match settings.door.tls {
        Some(_) => own_client(settings, Some(token)),
        None => Ok(Client::new_in_the_clear(config(settings, Some(token)))?),
    }
}

fn config(settings: &Settings, token: Option<&str>) -> ClientConfig {
    ClientConfig {
        url: own_url(settings.listen, settings.door.tls.is_some()),
        token: token.map(str::to_owned),
        user_agent: USER_AGENT.to_owned(),
    }
}

pub(super) const USER_AGENT: &str = concat!("pitwall/", env!("CARGO_PKG_VERSION"));

fn own_url(listen: SocketAddr, tls: bool) -> String {
    let ip = match (listen.ip().is_unspecified(), listen.is_ipv4()) {
        (true, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv6Addr::LOCALHOST.into(),
        (false, _) => listen.ip(),
    };
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_is_reached_where_it_listens() {
        for (listen, tls, url) in [
            ("127.0.0.1:7480", false, "http://127.0.0.1:7480"),
            ("0.0.0.0:7480", true, "https://127.0.0.1:7480"),
            ("[::]:1", false, "http://[::1]:1"),
            ("10.0.0.1:7480", true, "https://10.0.0.1:7480"),
        ] {
            assert_eq!(own_url(listen.parse().unwrap(), tls), url);
        }
    }
}
