//! Whose a VMM is, as its process tells.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::command_line::CONSOLE;
use crate::process;

/// What the kernel puts behind the path of an open file that has been removed (proc_pid_fd(5)).
const REMOVED: &[u8] = b" (deleted)";

/// The console that a process writes, if it is a VMM of this driver.
pub(super) fn console(pid: u32) -> Option<PathBuf> {
    let arguments = process::arguments(pid);
    if arguments.iter().any(|argument| argument == CONSOLE.as_bytes()) {
        let output = fs::read_link(format!("/proc/{pid}/fd/1")).ok()?;
        let path = output.as_os_str().as_bytes();
        let path = path.strip_suffix(REMOVED).unwrap_or(path);
        return Some(std::str::from_utf8(path).ok()?.into());
    }
    arguments.iter().find_map(|argument| named(argument))
}

/// Of one that was started before consoles could be typed on, and told the file's name.
fn named(argument: &[u8]) -> Option<PathBuf> {
    let path = argument
        .strip_prefix(b"file,id=con,path=")?
        .strip_suffix(b",append=on")?;
    Some(std::str::from_utf8(path).ok()?.replace(",,", ",").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_started_by_an_older_pitwall_is_known() {
        let known = named(b"file,id=con,path=/run/a,,b/vm_x/console.log,append=on");
        assert_eq!(known, Some("/run/a,b/vm_x/console.log".into()));
        assert_eq!(named(CONSOLE.as_bytes()), None);
        assert_eq!(console(std::process::id()), None);
    }
}
