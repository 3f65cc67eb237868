//! TAP devices (Documentation/networking/tuntap.rst). Some kernels refuse to make one over netlink, so it is made
//! by the ioctl that every kernel has, and netlink does the rest.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

use super::links;
use crate::hands::{HandsError, LinkKind};

/// Makes the TAP unless it is there, and whatever else is missing of it. It comes up last, when the bridge already
/// holds it isolated.
pub(super) async fn ensure(name: &str, bridge: &str, alias: &str, owner: u32) -> Result<(), HandsError> {
    let existing = links::list().await?.into_iter().find(|link| link.name == name);
    let made = match existing {
        Some(link)
            if link.kind == LinkKind::Tun && link.alias.as_deref().is_none_or(|found| found == alias) =>
        {
            false
        }
        Some(_) => return Err(HandsError::NotOurs(name.to_owned())),
        None => {
            create(name, owner)?;
            true
        }
    };
    let joined = links::join_bridge(name, bridge, alias).await;
    if joined.is_err() && made {
        links::remove(name).await?;
    }
    joined
}

fn create(name: &str, owner: u32) -> Result<(), HandsError> {
    let failed = |operation| {
        move |source| HandsError::Tap {
            operation,
            name: name.to_owned(),
            source,
        }
    };
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open("/dev/net/tun")
        .map_err(failed("open /dev/net/tun for"))?;
    bind(&device, name).map_err(failed("make"))?;
    // Before anybody else can open it.
    set(&device, Property::Owner(owner)).map_err(failed("give away"))?;
    set(&device, Property::Persistent).map_err(failed("keep"))
}

/// What can be said of a TAP by a number.
enum Property {
    Owner(u32),
    Persistent,
}

#[expect(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]
fn bind(device: &File, name: &str) -> io::Result<()> {
    // SAFETY: all fields of `ifreq` are integers or arrays and unions of them, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    request.ifr_ifru.ifru_flags = i16::try_from(flags).unwrap_or((flags & 0xffff) as i16);
    // SAFETY: the descriptor is open for the whole call, and TUNSETIFF reads and writes one `ifreq`, which
    // `request` is and which lives on after the call.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[expect(unsafe_code, reason = "TUNSETOWNER and TUNSETPERSIST have no safe wrapper")]
fn set(device: &File, property: Property) -> io::Result<()> {
    let (request, value) = match property {
        Property::Owner(user) => (libc::TUNSETOWNER, libc::c_ulong::from(user)),
        Property::Persistent => (libc::TUNSETPERSIST, 1),
    };
    // SAFETY: the descriptor is open for the whole call, and both requests take their argument by value.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), request, value) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
