//! The way up: once without a configuration, then with it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use nix::sys::signalfd::SignalFd;
use rustix::time::{ClockId, clock_gettime};
use wire::guest::{Config, GuestFrame};

use super::control::Port;
use super::error::Error;
use super::initctl::Initctl;
use super::root::Layers;
use super::{apifs, identity, kernel_modules, kmsg, lacks, modules, network, root, signals, volumes};

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
    /// Where the commands of sysvinit and systemd ask for the end.
    pub(super) initctl: Option<Initctl>,
}

/// Everything that needs no configuration.
pub(super) fn early() -> Result<Machine, Error> {
    let begun = since_kernel_start();
    rustix::process::umask(rustix::fs::Mode::empty());
    crate::limits::set_for_everyone();
    apifs::mount_early()?;
    let signals = signals::listen()?;
    modules::load()?;
    lacks::tell();
    let mut port = Port::open()?;
    tell(&mut port, "init", begun);
    stage(&mut port, "modules");
    Ok(Machine { port, signals })
}

/// Everything that a configuration says, up to a socket that connections can queue on.
pub(super) fn make(config: &Config, port: &mut Port) -> Result<Made, Error> {
    let layers = root::enter(&config.disks)?;
    apifs::mount_later()?;
    if let Err(error) = volumes::mount(&layers.upper, &config.image.volumes) {
        kmsg::problem(&error);
    }
    stage(port, "root");
    kernel_modules::offer(config.disks.modules.as_ref());
    identity::apply(config, None, &layers.image);
    network::configure(config.network.as_ref())?;
    stage(port, "network");
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let tcp_port = config.ssh.port;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, tcp_port)).map_err(|source| Error::Listen {
        port: tcp_port,
        source,
    })?;
    let initctl = Initctl::open().inspect_err(|error| kmsg::problem(error)).ok();
    Ok(Made {
        layers,
        listener,
        initctl,
    })
}

/// Tells the host how far the boot is.
pub(super) fn stage(port: &mut Port, name: &str) {
    tell(port, name, since_kernel_start());
}

fn tell(port: &mut Port, name: &str, at: Duration) {
    kmsg::note(&format!("{name} at {} ms", at.as_millis()));
    port.send(&GuestFrame::Stage {
        name: name.to_owned(),
        at,
    });
}

fn since_kernel_start() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}
