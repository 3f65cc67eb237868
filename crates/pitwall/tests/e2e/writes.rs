//! What a VM writes survives the death of its VMM.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::{Host, text, until};

/// How often the VMM is killed.
const KILLS: usize = 20;

#[test]
fn twenty_kills_while_the_guest_writes_leave_a_clean_file_system() {
    let host = Host::up();
    host.create_debian("one");
    let disk = host.vm_folders().into_iter().next().unwrap().join("upper.ext4");
    for round in 0..KILLS {
        host.ssh_ok(
            "one",
            "setsid bash -c 'i=0; while :; do i=$((i+1)); mkdir -p /root/d$((i%7)); \
             head -c 70000 /dev/urandom > /root/d$((i%7))/f$((i%23)); mv /root/d$((i%7))/f$((i%23)) /root/g$((i%11)); \
             [ $((i%5)) = 0 ] && sync; done' >/dev/null 2>&1 </dev/null & sleep 0.3",
        );
        kill(Pid::from_raw(host.vmm("one")), Signal::SIGKILL).unwrap();
        host.wait_for_status("one", "ERROR");
        // A read-only check of a journal that was not replayed says nothing; a copy is replayed first.
        let copy = disk.with_extension("copy");
        std::fs::copy(&disk, &copy).unwrap();
        let replay = Command::new("e2fsck")
            .args(["-p", "-E", "journal_only"])
            .arg(&copy)
            .output()
            .unwrap();
        assert!(
            replay.status.code().is_some_and(|code| code <= 1),
            "round {round}: {}",
            text(&replay)
        );
        let check = Command::new("e2fsck").arg("-fn").arg(&copy).output().unwrap();
        std::fs::remove_file(&copy).unwrap();
        assert!(check.status.success(), "round {round}: {}", text(&check));
        host.pwctl_ok(&["start", "one"]);
    }
    let messages = host.ssh_ok("one", "dmesg | grep -i 'ext4.*error' || echo none");
    assert_eq!(messages, "none\n");
    until("the VM still writes", Duration::from_secs(30), || {
        host.ssh("one", "echo ok > /root/last && sync")
            .status
            .success()
            .then_some(())
    });
}
