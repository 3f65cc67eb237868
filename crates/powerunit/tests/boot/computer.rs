//! A real computer: power, modules, volumes, clock, and a disk that grows, in an image that brings none of the commands.
//! They are called by their paths: busybox's shell knows commands of the same names by itself.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use wire::guest::{GuestFrame, HostFrame, PowerOffKind};

use crate::can_boot;
use crate::image::{Image, upper_disk};
use crate::support::run;
use crate::vm::{Vm, now};

/// How far off a clock may be: what is promised, and what a command over SSH takes on a busy machine is measured beside it.
pub(crate) const CLOCK: Duration = Duration::from_millis(100);

#[test]
fn a_machine_is_a_real_computer_and_its_disk_grows() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::without_commands(folder.path());
    let upper = upper_disk(folder.path());
    let mut vm = start(folder.path(), &image, &upper);
    randomness_comes_from_the_host(&vm);
    kernel_modules_load(&vm);
    netfilter_drops_what_it_is_told_to(&vm);
    volumes_are_directories_of_the_disk(&vm);
    groups_have_controllers(&vm);
    the_clock_is_put_right(&mut vm);
    own_files_stay_when_the_configuration_changes(&mut vm);
    assert_eq!(size_of_root(&vm) / 200, 1, "MiB of 256");
    let _ = vm.client().command_as("root", &[]).arg("/bin/poweroff").status();
    assert_eq!(vm.wait_off(), PowerOffKind::Off);
    is_clean(&upper);

    fs::File::options()
        .write(true)
        .open(&upper)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let mut again = start(folder.path(), &image, &upper);
    assert!(
        size_of_root(&again) > 900,
        "MiB of 1024: {}",
        size_of_root(&again)
    );
    let kept = root(
        &again,
        "cat /data/of-image /data/of-vm; ls /var/lib/docker; cat /etc/resolv.conf",
    );
    assert_eq!(
        kept,
        "from the image\nfrom the vm\nlower\nmerged\nupper\nwork\nnameserver 203.0.113.9"
    );
    root(&again, "test ! -e /data/unwanted");
    // A signal of systemd's, and what sysvinit's and systemd's commands write where there is no bus.
    root(&again, "kill -0 1; test -p /run/initctl && test -h /dev/initctl");
    let request = r"printf '\151\031\011\003\001\000\000\000\066\000\000\000' > /tmp/request; \
        truncate -s 384 /tmp/request; cat /tmp/request > /run/initctl";
    let _ = again.client().command_as("root", &[]).arg(request).status();
    assert_eq!(again.wait_off(), PowerOffKind::Reboot);
    is_clean(&upper);
}

#[test]
fn a_plain_reset_says_nothing_and_leaves_what_was_synced() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::without_commands(folder.path());
    let upper = upper_disk(folder.path());
    let mut vm = start(folder.path(), &image, &upper);
    let script = "echo kept > /root/file; /bin/reboot -f";
    let _ = vm.client().command_as("root", &[]).arg(script).status();
    assert!(
        !vm.wait_end()
            .iter()
            .any(|frame| matches!(frame, GuestFrame::PoweredOff { .. }))
    );
    let mut again = start(folder.path(), &image, &upper);
    assert_eq!(root(&again, "cat /root/file"), "kept");
    let _ = again
        .client()
        .command_as("root", &[])
        .arg("kill -s 38 1")
        .status();
    assert_eq!(again.wait_off(), PowerOffKind::Off);
    is_clean(&upper);
}

fn start(folder: &Path, image: &Image, upper: &Path) -> Vm {
    let mut vm = Vm::prepare(folder, image, upper);
    vm.config.image.volumes = vec!["/data".into(), "/not/there".into()];
    vm.greet();
    vm.wait_ready();
    vm
}

fn root(vm: &Vm, script: &str) -> String {
    vm.client().text_as("root", script)
}

/// The kernel takes it from the host's device, and was ready to give it before anybody could ask.
fn randomness_comes_from_the_host(vm: &Vm) {
    let current = root(vm, "cat /sys/class/misc/hw_random/rng_current");
    assert!(current.starts_with("virtio_rng."), "{current}");
    assert_eq!(root(vm, "head -c 32 /dev/hwrng | wc -c"), "32");
    let log = root(vm, "dmesg");
    let at = |what: &str| log.find(what).unwrap_or_else(|| panic!("no {what} in\n{log}"));
    assert!(at("random: crng init done") < at("powerunit: ssh at "), "{log}");
}

/// By name, by the kernel's own wish, and by a device that is opened; with no program of the image's.
fn kernel_modules_load(vm: &Vm) {
    let loaded = |name: &str| root(vm, &format!("grep -c '^{name} ' /proc/modules || true")) == "1";
    assert!(!loaded("wireguard") && !loaded("tun") && !loaded("dummy"));
    assert_eq!(
        root(vm, "/bin/modprobe -v dummy numdummies=2 | grep -c dummy.ko"),
        "1"
    );
    assert_eq!(root(vm, "ls -d /sys/class/net/dummy* | wc -l"), "2");
    root(vm, "ip link add wg0 type wireguard && ip link show wg0");
    assert!(loaded("wireguard") && loaded("udp_tunnel"));
    root(vm, ": < /dev/net/tun");
    assert!(loaded("tun"));
    root(vm, "/bin/modprobe -r dummy");
    assert!(!loaded("dummy"));
    let unknown = vm
        .client()
        .command_as("root", &[])
        .arg("/bin/modprobe no-such-module")
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    // As an ordinary user it is not even reachable.
    assert!(!vm.client().run("/bin/modprobe dummy").status.success());
}

/// Debian's nft, and every module that its rules need taken by the kernel's own wish.
fn netfilter_drops_what_it_is_told_to(vm: &Vm) {
    root(
        vm,
        "! grep -q ^nf_tables /proc/modules; ping -c 1 -W 20 127.0.0.1",
    );
    let rules = "table ip mine {
        chain in { type filter hook input priority 0; icmp type echo-request counter drop; }
        chain out { type nat hook postrouting priority 100; oifname eth9 masquerade; }
    }";
    root(vm, &format!("nft -f - <<'end'\n{rules}\nend"));
    root(vm, "! ping -c 2 -W 1 127.0.0.1");
    let chain = root(vm, "nft list chain ip mine in");
    assert!(chain.contains("counter packets 2 bytes"), "{chain}");
    root(
        vm,
        "grep -q ^nft_masq /proc/modules && nft list table ip mine | grep -q masquerade",
    );
    root(vm, "nft delete table ip mine; ping -c 1 -W 20 127.0.0.1");
}

fn volumes_are_directories_of_the_disk(vm: &Vm) {
    let mounts = root(vm, "grep ext4 /proc/mounts | cut -d' ' -f2 | sort");
    let expected = [
        "/data",
        "/not/there",
        "/var/lib/containerd",
        "/var/lib/containers",
        "/var/lib/docker",
    ];
    assert_eq!(mounts.lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        root(vm, "stat -c %a /data; cat /data/of-image"),
        "711\nfrom the image"
    );
    root(vm, "echo from the vm > /data/of-vm; rm /data/unwanted");
    let stacked = "cd /var/lib/docker && mkdir lower upper work merged && echo below > lower/file && \
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged && \
        echo above > merged/file && cat lower/file upper/file";
    assert_eq!(root(vm, stacked), "below\nabove");
}

fn groups_have_controllers(vm: &Vm) {
    let script = "cd /sys/fs/cgroup && mkdir mine && echo 64M > mine/memory.max && cat mine/memory.max && \
        echo 20 > mine/pids.max && echo $$ > mine/cgroup.procs && cat mine/pids.max";
    assert_eq!(root(vm, script), "67108864\n20");
}

fn the_clock_is_put_right(vm: &mut Vm) {
    for (what, hours) in [("behind", -3_i64), ("ahead", 3)] {
        root(vm, &format!("date -s @$(($(date +%s) + {hours} * 3600))"));
        assert!(off(vm) > Duration::from_secs(3600), "the clock was not moved");
        // One that is ahead is believed when two messages say so.
        for _ in 0..2 {
            vm.tell_time();
        }
        let off = off(vm);
        assert!(off < CLOCK, "{what}: still {off:?} off");
    }
}

/// How far the guest's clock is from the host's, less what asking took.
pub(crate) fn off(vm: &Vm) -> Duration {
    let before = now();
    let answer = root(vm, "adjtimex | grep tv_ | tr -s ' ' | cut -d' ' -f3");
    let after = now();
    let (seconds, micros) = answer.split_once('\n').unwrap();
    let guest =
        Duration::from_secs(seconds.parse().unwrap()) + Duration::from_micros(micros.parse().unwrap());
    before.saturating_sub(guest).max(guest.saturating_sub(after))
}

fn own_files_stay_when_the_configuration_changes(vm: &mut Vm) {
    assert_eq!(root(vm, "cat /etc/resolv.conf"), "nameserver 192.0.2.53");
    let renew = |vm: &mut Vm, resolver: &str, name: &str| {
        vm.config.revision += 1;
        vm.config.hostname = name.into();
        vm.config.network.as_mut().unwrap().resolvers = vec![resolver.parse().unwrap()];
        let config = vm.config.clone();
        let revision = config.revision;
        vm.send(&HostFrame::Config(Box::new(config)));
        vm.wait(|frame| *frame == GuestFrame::ConfigApplied { revision });
    };
    root(vm, "echo 10.0.0.9 db >> /etc/hosts");
    renew(vm, "192.0.2.54", "faster-car");
    assert_eq!(
        root(vm, "cat /etc/resolv.conf /etc/hostname"),
        "nameserver 192.0.2.54\nfaster-car"
    );
    assert_eq!(
        root(vm, "grep -c -e 'db$' -e 'faster-car # pitwall$' /etc/hosts"),
        "2"
    );
    root(
        vm,
        "echo nameserver 203.0.113.9 > /etc/resolv.conf; hostname my-own",
    );
    renew(vm, "192.0.2.55", "faster-car");
    assert_eq!(
        root(vm, "cat /etc/resolv.conf; hostname"),
        "nameserver 203.0.113.9\nmy-own"
    );
}

/// MiB.
fn size_of_root(vm: &Vm) -> u64 {
    root(vm, "df -m / | tail -1 | tr -s ' ' | cut -d' ' -f2")
        .parse()
        .unwrap()
}

fn is_clean(upper: &Path) {
    run(Command::new("e2fsck").arg("-fn").arg(upper));
    let header = Command::new("dumpe2fs").arg("-h").arg(upper).output().unwrap();
    let header = String::from_utf8_lossy(&header.stdout).into_owned();
    let state = header
        .lines()
        .find(|line| line.starts_with("Filesystem state"))
        .unwrap();
    assert!(state.ends_with(" clean"), "{state}");
    assert!(!header.contains("needs_recovery"), "{header}");
}
