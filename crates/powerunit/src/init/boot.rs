//! The way up: once without a configuration, then with it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use nix::sys::signalfd::SignalFd;
use rustix::time::{ClockId, clock_gettime};
use wire::guest::{Config, GuestFrame};

use super::control::Port;
use super::error::Error;
use super::root::Layers;
use super::{apifs, identity, kmsg, lacks, modules, network, root, signals};

/// A machine that can hear the host and nothing else.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) port: Port,
    pub(super) signals: SignalFd,
}

/// A machine that has become what its configuration says; the SSH server is still missing.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) layers: Layers,
    pub(super) listener: TcpListener,
}

/// Everything that needs no configuration.
pub(super) fn early() -> Result<Machine, Error> {
    rustix::process::umask(rustix::fs::Mode::empty());
    crate::limits::set_for_everyone();
    apifs::mount_early()?;
    let signals = signals::listen()?;
    modules::load()?;
    lacks::tell();
    let mut port = Port::open()?;
    stage(&mut port, "modules");
    Ok(Machine { port, signals })
}

/// Everything that a configuration says, up to a socket that connections can queue on.
pub(super) fn make(config: &Config, port: &mut Port) -> Result<Made, Error> {
    let layers = root::enter(&config.disks)?;
    apifs::mount_later()?;
    stage(port, "root");
    identity::apply(config);
    network::configure(config.network.as_ref())?;
    stage(port, "network");
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let tcp_port = config.ssh.port;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, tcp_port)).map_err(|source| Error::Listen {
        port: tcp_port,
        source,
    })?;
    Ok(Made { layers, listener })
}

/// Tells the host how far the boot is.
pub(super) fn stage(port: &mut Port, name: &str) {
    let at = since_kernel_start();
    kmsg::note(&format!("{name} at {} ms", at.as_millis()));
    port.send(&GuestFrame::Stage {
        name: name.to_owned(),
        at,
    });
}

fn since_kernel_start() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}
