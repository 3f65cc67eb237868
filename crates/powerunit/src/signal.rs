//! Signals by the names that images and clients give them, and by number.

use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The first and last real-time signal of the kernel's that glibc leaves to programs (signal(7)); images that name one
/// mean these.
const REALTIME: (i32, i32) = (34, 64);

/// Pure: the number of `15`, `SIGTERM`, `TERM`, `SIGRTMIN+3` or `SIGRTMAX-1`; 0 is none.
pub(crate) fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse() {
        return (1..=REALTIME.1).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(above) = short.strip_prefix("RTMIN") {
        return realtime(REALTIME.0, above, '+');
    }
    if let Some(below) = short.strip_prefix("RTMAX") {
        return realtime(REALTIME.1, below, '-');
    }
    let named: Option<Signal> = format!("SIG{short}").parse().ok();
    named.map(|signal| signal as i32)
}

/// `+3` or `-3` from a real-time signal, or nothing.
fn realtime(base: i32, offset: &str, sign: char) -> Option<i32> {
    let number = match offset {
        "" => base,
        offset if offset.starts_with(sign) => base.checked_add(offset.parse().ok()?)?,
        _ => return None,
    };
    (REALTIME.0..=REALTIME.1).contains(&number).then_some(number)
}

/// Signals every process of a group. One that is gone, or a number that is no signal, changes nothing.
pub(crate) fn send_to_group(leader: Pid, number: i32) {
    #[expect(unsafe_code, reason = "nix and rustix know no real-time signals by number")]
    // SAFETY: killpg(3) takes two numbers and touches no memory of ours.
    let _ = unsafe { libc::killpg(leader.as_raw(), number) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_signal() {
        for (name, expected) in [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("SIGRTMAX-1", Some(63)),
            ("SIGRTMIN+31", None),
            ("SIGRTMIN-1", None),
            ("0", None),
            ("65", None),
            ("-9", None),
            ("", None),
            ("SIGNONSENSE", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }
}
