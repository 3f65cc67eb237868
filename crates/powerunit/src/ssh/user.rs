//! System calls made as the logged-in user.
//!
//! The server is root, and a path that a client names must be reached with the user's rights and not with root's. Who
//! asks the kernel for the other end of a UNIX socket (`SO_PEERCRED`, unix(7)) must see the user too: databases and
//! container engines decide by it.
//!
//! Linux keeps credentials per thread (credentials(7)). So a thread takes the user's groups and effective ids, makes
//! the calls, and ends; it is cheaper than a process and gives its result back without passing descriptors. Its real and
//! saved ids stay root's: therefore the user may neither signal it (kill(2)) nor trace it (ptrace(2)).

use std::io;
use std::thread::Builder;

use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tokio::sync::oneshot;

use super::accounts::Account;

/// Enough for a few system calls on short paths.
const STACK: usize = 64 << 10;

/// Does the work as the account, and waits for it without holding up anything else: a path may lead into a file system
/// that does not answer.
///
/// # Errors
///
/// Those of the work, and of becoming the account.
pub(super) async fn run<T: Send + 'static>(
    account: &Account,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    spawn(account, move || {
        // Whoever asked may have gone meanwhile.
        let _ = tell.send(work());
        Ok(())
    })?;
    told.await
        .unwrap_or_else(|_| Err(io::ErrorKind::PermissionDenied.into()))
}

/// Does the work as the account, without anybody waiting for it.
pub(super) fn detach(account: &Account, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let _ = spawn(account, work);
}

fn spawn(account: &Account, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let account = account.clone();
    let thread = Builder::new().stack_size(STACK).spawn(move || {
        become_account(&account)?;
        work()
    });
    thread.map(drop)
}

/// Changes this thread only. Effective ids go last: they are what allows the others.
fn become_account(account: &Account) -> io::Result<()> {
    // Outside a VM, in tests, the server serves whoever started it and nobody else.
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    set_thread_groups(&groups)?;
    set_thread_res_gid(None, Gid::from_raw(account.gid), None)?;
    set_thread_res_uid(None, Uid::from_raw(account.uid), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[tokio::test]
    async fn a_users_file_is_the_users_and_roots_stay_closed() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let account = Account {
            name: "ann".into(),
            uid: 4711,
            gid: 4712,
            groups: vec![4713],
            home: PathBuf::from("/"),
            shell: PathBuf::from("/bin/sh"),
        };
        let (ids, shadow) = run(&account, || {
            let status = std::fs::read_to_string("/proc/thread-self/status")?;
            Ok((status, std::fs::read("/etc/shadow").map(drop)))
        })
        .await
        .unwrap();
        // Real, effective, saved and file-system ids.
        assert!(ids.contains("Uid:\t0\t4711\t0\t4711\n"), "{ids}");
        assert!(ids.contains("Gid:\t0\t4712\t0\t4712\n"), "{ids}");
        assert!(ids.contains("Groups:\t4713 \n"), "{ids}");
        assert!(ids.contains("CapEff:\t0000000000000000\n"), "{ids}");
        assert!(shadow.is_err());
        assert!(rustix::process::geteuid().is_root(), "only that thread changed");
    }
}
