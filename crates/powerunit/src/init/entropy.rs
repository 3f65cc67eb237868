//! Randomness from the host for the guest's kernel (random(4)).

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use nix::libc;
use wire::guest::Seed;

use super::error::Error;
use super::kmsg;

/// `struct rand_pool_info` with the bytes of one seed behind it.
#[repr(C)]
struct Pool {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    seed: [u8; 32],
}

/// `RNDADDENTROPY` and `RNDRESEEDCRNG` of linux/random.h.
const ADD: libc::Ioctl = nix::request_code_write!(b'R', 0x03, size_of::<[libc::c_int; 2]>());
const RESEED: libc::Ioctl = nix::request_code_none!(b'R', 0x07);

/// Gives the kernel a seed and lets it count at once: a guest that was restored from a snapshot shares its randomness
/// with every other one until then.
pub(super) fn feed(seed: &Seed) {
    if let Err(source) = add(seed) {
        kmsg::problem(&Error::file("seed", "/dev/urandom")(source));
    }
}

#[expect(unsafe_code, reason = "the requests of random(4) have no safe wrapper")]
fn add(seed: &Seed) -> std::io::Result<()> {
    let device = OpenOptions::new().write(true).open("/dev/urandom")?;
    let pool = Pool {
        entropy_bits: 256,
        bytes: 32,
        seed: seed.0,
    };
    // SAFETY: RNDADDENTROPY reads a `rand_pool_info` and as many bytes behind it as its second field says; `pool` is
    // laid out so and lives on after the call. RNDRESEEDCRNG takes nothing.
    let answers = unsafe {
        [
            libc::ioctl(device.as_raw_fd(), ADD, &raw const pool),
            libc::ioctl(device.as_raw_fd(), RESEED),
        ]
    };
    if answers == [0, 0] {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
