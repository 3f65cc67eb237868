//! Restarts, rebuilds and resizes: each is done once.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use driver::Needs;
use driver::sim::Sim;
use model::{ByteSize, Phase, Power, ReasonCode, Retry, VmBody, VmId};
use orchestrator::BootLimits;
use orchestrator::hands::SimHands;
use wire::guest::HostKey;

use crate::host::{Host, until_true, vm};
use crate::layout;

const ALL_AT_ONCE: BootLimits = BootLimits {
    at_once: 64,
    patience: Duration::from_secs(30),
};

/// Further than any way is long.
const NEVER: usize = 1 << 40;

/// A host with a VM that runs, from an image in the folder.
async fn running(images: &Path) -> (Host, VmId) {
    layout::write(images, "/one");
    let needs = Needs {
        root_filesystem: true,
        tap: true,
        ..Needs::default()
    };
    let mut host = Host::start(needs, ALL_AT_ONCE).await;
    let asked = vm(1, &format!("oci:{}", images.display()));
    let id = asked.id;
    host.ask(vec![asked]).await;
    assert_eq!(host.settled(id).await.phase, Phase::Running);
    (host, id)
}

/// The VM writes its disk: where no filesystem that was just made has anything.
fn write_disk(host: &Host, vm: VmId, what: &[u8; 8]) {
    let disk = OpenOptions::new()
        .write(true)
        .open(host.folder(vm).join("upper.ext4"));
    disk.unwrap().write_all_at(what, 60 << 20).unwrap();
}

fn read_disk(host: &Host, vm: VmId) -> [u8; 8] {
    let mut bytes = [0; 8];
    let disk = fs::File::open(host.folder(vm).join("upper.ext4")).unwrap();
    disk.read_exact_at(&mut bytes, 60 << 20).unwrap();
    bytes
}

/// What is done again.
#[derive(Debug, Clone, Copy)]
struct Wish {
    boot: bool,
    rootfs: bool,
    power: Power,
}

const RESTART: Wish = Wish {
    boot: true,
    rootfs: false,
    power: Power::On,
};
const REBUILD: Wish = Wish {
    boot: false,
    rootfs: true,
    ..RESTART
};
const BOTH: Wish = Wish {
    boot: true,
    ..REBUILD
};
const REBUILD_OFF: Wish = Wish {
    power: Power::Off,
    ..REBUILD
};

impl Wish {
    fn apply(self, body: &mut VmBody) {
        body.boot += u64::from(self.boot);
        body.rootfs += u64::from(self.rootfs);
        body.power = self.power;
    }
}

/// Where a killed orchestrator was.
#[derive(Debug, Clone, Copy)]
enum At {
    Driver,
    /// Behind what the driver has done, before anybody was told.
    Done,
    Hands,
}

impl At {
    fn hang(self, host: &Host, n: usize) {
        match self {
            Self::Driver => host.sim.hang_after(n),
            Self::Done => host.sim.hang_behind(n),
            Self::Hands => host.hands.hang_at(n),
        }
    }

    fn taken(self, (sim, hands): &(Sim, Arc<SimHands>)) -> usize {
        match self {
            Self::Driver => sim.steps_taken(),
            Self::Done => sim.steps_done(),
            Self::Hands => hands.performed(),
        }
    }

    fn relieve(self, host: &Host) {
        match self {
            Self::Driver | Self::Done => host.sim.release(),
            Self::Hands => host.hands.hang_at(NEVER),
        }
    }
}

/// Asks for it in two equal plans, kills the orchestrator at the `n`th request of it, and lets the next one hear first
/// what was asked before. Gives whether the way was long enough for that.
async fn killed_at(at: At, n: usize, wish: Wish, host: &mut Host, id: VmId) -> bool {
    let before = host.plan.clone();
    let watch = (host.sim.clone(), host.hands.clone());
    let taken = at.taken(&watch);
    at.hang(host, n);
    host.change(id, |body| wish.apply(body)).await;
    host.say(&host.plan).await;
    // One that waits for its hands may hold up the reports too.
    let met = tokio::select! {
        () = until_true("the point is met", || at.taken(&watch) > taken + n) => true,
        _ = host.settled(id) => false,
    };
    host.kill().await;
    at.relieve(host);
    host.begin().await;
    host.say(&before).await;
    host.say(&host.plan).await;
    met
}

#[tokio::test]
async fn what_is_asked_again_is_done_once_wherever_the_orchestrator_is_killed() {
    let images = tempfile::tempdir().unwrap();
    for (wish, at) in [
        (RESTART, At::Driver),
        (RESTART, At::Done),
        (RESTART, At::Hands),
        (REBUILD, At::Driver),
        (BOTH, At::Done),
        (BOTH, At::Hands),
        (REBUILD_OFF, At::Driver),
    ] {
        let (mut host, id) = running(images.path()).await;
        let kept = |host: &Host| {
            let ssh = host.guests.config(id).unwrap();
            (ssh.ssh.host_key, ssh.network)
        };
        let identity: (HostKey, _) = kept(&host);
        let mut points = 0;
        for n in 0..32 {
            if wish.power == Power::Off {
                host.change(id, |body| {
                    body.power = Power::On;
                    body.boot += 1;
                })
                .await;
                host.settled(id).await;
            }
            let starts = host.sim.starts();
            write_disk(&host, id, b"the past");
            let met = killed_at(at, n, wish, &mut host, id).await;
            let seen = host.settled(id).await;
            let (asked, told) = (host.asked(id).body.unwrap(), format!("{wish:?} {at:?} {n}"));
            let runs = wish.power == Power::On;
            let phase = if runs { Phase::Running } else { Phase::Stopped };
            assert_eq!((seen.phase, &seen.reason), (phase, &None), "{told}");
            assert_eq!((seen.boot, seen.rootfs), (asked.boot, asked.rootfs), "{told}");
            assert_eq!(host.sim.starts(), starts + u32::from(runs), "{told}");
            let there = if wish.rootfs { [0; 8] } else { *b"the past" };
            assert_eq!(read_disk(&host, id), there, "{told}");
            // What comes later and again changes nothing more.
            write_disk(&host, id, b"just now");
            host.say(&host.plan).await;
            host.kill().await;
            host.begin().await;
            host.settled(id).await;
            assert_eq!(read_disk(&host, id), *b"just now", "{told}");
            assert_eq!(host.sim.starts(), starts + u32::from(runs), "{told}");
            assert_eq!(kept(&host), identity, "{told}");
            if !met {
                break;
            }
            points += 1;
        }
        assert!((2..32).contains(&points), "{points} points of {wish:?} {at:?}");
    }
}

#[tokio::test]
async fn a_kill_between_the_wipe_and_its_note_makes_the_disk_anew_before_anything_runs() {
    let images = tempfile::tempdir().unwrap();
    let (mut host, id) = running(images.path()).await;
    host.change(id, |body| REBUILD.apply(body)).await;
    assert_eq!(host.settled(id).await.rootfs, 2);
    host.kill().await;
    // The disk is new, the machine has not started, and the note is not written.
    host.sim.forget_everything();
    let path = host.folder(id).join("vm.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["rootfs"] = 1.into();
    fs::write(&path, record.to_string()).unwrap();
    let starts = host.sim.starts();
    host.begin().await;
    let seen = host.settled(id).await;
    assert_eq!((seen.phase, seen.rootfs), (Phase::Running, 2));
    assert_eq!(host.sim.starts(), starts + 1);
}

#[tokio::test]
async fn a_rebuild_that_fails_tells_why_wipes_nothing_and_waits_for_another_wish() {
    let images = tempfile::tempdir().unwrap();
    let (first, second) = (images.path().join("first"), images.path().join("second"));
    let (mut host, id) = running(&first).await;
    write_disk(&host, id, b"the past");
    let elsewhere = format!("oci:{}", second.display());
    host.change(id, |body| {
        REBUILD.apply(body);
        body.image = elsewhere.parse().unwrap();
    })
    .await;
    for _ in 0..2 {
        host.say(&host.plan).await;
        let seen = host.settled(id).await;
        let reason = seen.reason.unwrap();
        assert_eq!((seen.phase, seen.rootfs), (Phase::Failed, 1));
        assert_eq!(
            (reason.code, reason.retry),
            (ReasonCode::ImageNotFound, Retry::OnNewWish)
        );
        host.kill().await;
        host.begin().await;
    }
    assert_eq!((read_disk(&host, id), host.sim.starts()), (*b"the past", 1));
    // Another boot is another wish, and the image is there now.
    let digest = layout::write(&second, "/two");
    host.change(id, |body| RESTART.apply(body)).await;
    let seen = host.settled(id).await;
    assert_eq!((seen.phase, seen.boot, seen.rootfs), (Phase::Running, 2, 2));
    assert_eq!((seen.image_digest, read_disk(&host, id)), (Some(digest), [0; 8]));
    assert_eq!(host.guests.config(id).unwrap().image.working_dir, "/two");
}

#[tokio::test]
async fn a_reference_is_resolved_anew_for_a_rebuild_and_not_for_a_restart() {
    let images = tempfile::tempdir().unwrap();
    let (mut host, id) = running(images.path()).await;
    let old = host.settled(id).await.image_digest;
    let new = layout::write(images.path(), "/two");
    host.change(id, |body| RESTART.apply(body)).await;
    assert_eq!(host.settled(id).await.image_digest, old);
    host.change(id, |body| REBUILD.apply(body)).await;
    assert_eq!(host.settled(id).await.image_digest, Some(new));
}

#[tokio::test]
async fn another_size_is_taken_at_the_next_boot() {
    let images = tempfile::tempdir().unwrap();
    let (mut host, id) = running(images.path()).await;
    write_disk(&host, id, b"the past");
    host.change(id, |body| {
        body.cpus = 3;
        body.memory = ByteSize::from_mib(512);
        body.disk = ByteSize::from_mib(128);
    })
    .await;
    assert_eq!(host.settled(id).await.phase, Phase::Running);
    let sizes = |host: &Host| {
        let spec = host.sim.spec(id).unwrap();
        let disk = fs::metadata(host.folder(id).join("upper.ext4")).unwrap().len();
        (spec.cpus, spec.memory.bytes() >> 20, disk >> 20)
    };
    assert_eq!((sizes(&host), host.sim.starts()), ((1, 256, 64), 1));
    host.change(id, |body| RESTART.apply(body)).await;
    assert_eq!(host.settled(id).await.boot, 2);
    assert_eq!((sizes(&host), host.sim.starts()), ((3, 512, 128), 2));
    assert_eq!(read_disk(&host, id), *b"the past");
}

#[tokio::test]
async fn a_guest_that_quit_stays_off_until_another_boot_or_disk_is_asked() {
    let images = tempfile::tempdir().unwrap();
    let (mut host, id) = running(images.path()).await;
    host.sim.power_off(id);
    until_true("its machine is gone", || host.sim.leftovers().is_empty()).await;
    host.change(id, |body| body.cpus = 2).await;
    let seen = host.settled(id).await;
    assert_eq!((seen.phase, seen.powered_off), (Phase::Stopped, true));
    host.change(id, |body| REBUILD.apply(body)).await;
    let seen = host.settled(id).await;
    assert_eq!((seen.phase, seen.powered_off), (Phase::Running, false));
}
