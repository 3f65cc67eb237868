//! The command line of a VMM. Pure: the same machine in the same environment gives the same words.
//!
//! The `microvm` machine has no PCI bus: every device is a virtio-mmio transport that the ACPI tables name, 24 of them
//! at most. Two sockets (monitor and control channel) are inherited, listening already, so whoever waits for them can
//! connect at once; the TAP is inherited, too, and the console is the process's own input and output. What is named by
//! its path is what a confined process is shown ([`crate::confine`]).

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

use crate::{Accelerator, Disk, Kernel, MachineSpec, Nic, SpecFault};

/// The virtio-mmio transports of a `microvm` machine with ACPI.
const TRANSPORTS: usize = 24;

/// A network card, the random number generator and the serial bus take one each.
pub(super) const MAX_DISKS: usize = TRANSPORTS - 3;

/// `VIRTIO_BLK_ID_BYTES` (virtio 1.2 section 5.2.6.1).
const SERIAL_BYTES: usize = 20;

/// Kernel arguments of every guest. `loglevel=1` keeps all but panics off the console, which costs boot time by the
/// line; at 0 the kernel would not even tell of its panic. `reboot=t` because this machine has no keyboard controller
/// to reset it by.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 panic=-1 reboot=t quiet loglevel=1 cryptomgr.notests";

/// The console: standard input and output. Keys that would be signals are the guest's.
pub(super) const CONSOLE: &str = "stdio,id=con,signal=off";

/// For the code that software emulation makes of the guest's; by itself QEMU takes up to a gigabyte.
pub(super) const TRANSLATED_MIB: u64 = 256;

/// What a command line depends on besides the machine.
#[derive(Debug, Clone, Copy)]
pub struct Environment {
    /// What executes guest instructions.
    pub accelerator: Accelerator,
    /// The listening socket of the monitor.
    pub monitor: RawFd,
    /// The listening socket of the control channel.
    pub control: RawFd,
    /// The TAP of the network card, if there is one.
    pub tap: Option<RawFd>,
    /// The rate of the host's time-stamp counter in kHz. Under software emulation guests cannot measure it, and do not
    /// boot without it.
    pub tsc_khz: u64,
}

/// Refuses a machine that would not become what its spec says.
pub(super) fn check(spec: &MachineSpec) -> Result<(), SpecFault> {
    if spec.cpus == 0 || spec.memory.mib() == 0 {
        return Err(SpecFault::Nothing);
    }
    if spec.disks.len() > MAX_DISKS {
        return Err(SpecFault::TooManyDisks {
            disks: spec.disks.len(),
            limit: MAX_DISKS,
        });
    }
    if spec.owner == 0 {
        return Err(SpecFault::NoOwner);
    }
    let fits = |serial: &str| {
        (1..=SERIAL_BYTES).contains(&serial.len())
            && serial
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match spec.disks.iter().find(|disk| !fits(&disk.serial)) {
        Some(disk) => Err(SpecFault::Serial(disk.serial.clone())),
        None => Ok(()),
    }
}

/// The arguments of QEMU for this machine, without the program itself.
pub fn command_line(spec: &MachineSpec, environment: &Environment) -> Vec<OsString> {
    let mut words = Words::default();
    machine(&mut words, spec, environment.accelerator);
    channels(&mut words, environment);
    words.pair("-object", "rng-builtin,id=rng0");
    words.pair("-device", "virtio-rng-device,rng=rng0");
    for (number, disk) in spec.disks.iter().enumerate() {
        add_disk(&mut words, number, disk);
    }
    if let (Some(nic), Some(tap)) = (&spec.nic, environment.tap) {
        add_nic(&mut words, nic, tap);
    }
    if let Some(kernel) = &spec.kernel {
        add_kernel(&mut words, kernel, environment);
    }
    words.0
}

#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.extend([option.into(), value.into()]);
    }

    fn path(&mut self, option: &str, before: &str, path: &Path, after: &str) {
        let mut value = OsString::from(before);
        value.push(quoted(path));
        value.push(after);
        self.pair(option, value);
    }
}

/// In a list of QEMU options, a comma within a value is written twice.
fn quoted(path: &Path) -> OsString {
    let mut bytes = path.as_os_str().as_encoded_bytes().split(|&byte| byte == b',');
    let mut value = bytes.next().unwrap_or_default().to_vec();
    for part in bytes {
        value.extend(b",,");
        value.extend(part);
    }
    std::os::unix::ffi::OsStringExt::from_vec(value)
}

fn machine(words: &mut Words, spec: &MachineSpec, accelerator: Accelerator) {
    words.pair("-name", format!("guest={}", spec.name.replace(',', ",,")));
    words.pair(
        "-machine",
        "microvm,acpi=on,pcie=off,pit=off,pic=off,rtc=on,isa-serial=on",
    );
    match accelerator {
        Accelerator::Hardware => {
            words.pair("-accel", "kvm");
            words.pair("-cpu", "host");
        }
        Accelerator::Software => {
            words.pair("-accel", format!("tcg,thread=multi,tb-size={TRANSLATED_MIB}"));
            words.pair("-cpu", "max");
        }
    }
    words.pair("-smp", spec.cpus.to_string());
    words.pair("-m", format!("{}M", spec.memory.mib()));
    for word in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        words.0.push(word.into());
    }
    words.pair("-display", "none");
    words.pair("-action", "shutdown=pause");
    words.pair(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
}

fn channels(words: &mut Words, environment: &Environment) {
    let Environment { monitor, control, .. } = environment;
    words.pair(
        "-chardev",
        format!("socket,id=qmp,fd={monitor},server=on,wait=off"),
    );
    words.pair("-mon", "chardev=qmp,mode=control");
    words.pair("-chardev", CONSOLE);
    words.pair("-serial", "chardev:con");
    words.pair("-device", "virtio-serial-device");
    words.pair(
        "-chardev",
        format!("socket,id=ctl,fd={control},server=on,wait=off"),
    );
    words.pair("-device", "virtserialport,chardev=ctl,name=pw.ctl");
}

fn add_disk(words: &mut Words, number: usize, disk: &Disk) {
    let mode = if disk.read_only { "on" } else { "off,discard=unmap" };
    let after = format!(",format=raw,if=none,read-only={mode}");
    words.path("-drive", &format!("id=d{number},file="), &disk.path, &after);
    words.pair(
        "-device",
        format!("virtio-blk-device,drive=d{number},serial={}", disk.serial),
    );
}

fn add_nic(words: &mut Words, nic: &Nic, tap: RawFd) {
    words.pair("-netdev", format!("tap,id=n0,fd={tap}"));
    words.pair("-device", format!("virtio-net-device,netdev=n0,mac={}", nic.mac));
}

fn add_kernel(words: &mut Words, kernel: &Kernel, environment: &Environment) {
    let mut arguments = KERNEL_ARGUMENTS.to_owned();
    if environment.accelerator == Accelerator::Software {
        // A guest whose ticks come late on a busy host would blame its time-stamp counter, and fall back to ticks.
        arguments.push_str(&format!(" tsc=reliable tsc_early_khz={}", environment.tsc_khz));
    }
    for argument in &kernel.extra_args {
        arguments.push(' ');
        arguments.push_str(argument);
    }
    words.pair("-kernel", kernel.vmlinux.as_os_str());
    words.pair("-initrd", kernel.initramfs.as_os_str());
    words.pair("-append", arguments);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    /// With a name that QEMU's options would take apart.
    fn spec() -> MachineSpec {
        let mut spec = golden::spec();
        spec.disks[0].path = "/var/lib/pitwall/images/a,b.erofs".into();
        spec
    }

    fn rendered(spec: &MachineSpec, accelerator: Accelerator) -> String {
        let environment = Environment {
            accelerator,
            monitor: 10,
            control: 11,
            tap: Some(12),
            tsc_khz: 2_400_000,
        };
        let mut text = String::new();
        for word in command_line(spec, &environment) {
            let word = word.into_string().unwrap();
            text.push_str(if word.starts_with('-') && !text.is_empty() {
                "\n"
            } else {
                " "
            });
            text.push_str(&word);
        }
        text.trim_start().to_owned() + "\n"
    }

    #[test]
    fn the_words_are_those_of_the_golden_files() {
        golden::golden("qemu-software.txt", &rendered(&spec(), Accelerator::Software));
        golden::golden("qemu-hardware.txt", &rendered(&spec(), Accelerator::Hardware));
        let bare = MachineSpec {
            disks: Vec::new(),
            nic: None,
            kernel: None,
            ..spec()
        };
        golden::golden("qemu-bare.txt", &rendered(&bare, Accelerator::Software));
    }

    #[test]
    fn what_would_not_become_the_machine_is_refused() {
        assert_eq!(check(&spec()), Ok(()));
        let mut many = spec();
        many.disks = vec![spec().disks[0].clone(); MAX_DISKS + 1];
        assert_eq!(
            check(&many),
            Err(SpecFault::TooManyDisks { disks: 22, limit: 21 })
        );
        for serial in ["", "pw-layer-123456789012", "a,b"] {
            let mut odd = spec();
            odd.disks[0].serial = serial.into();
            assert_eq!(check(&odd), Err(SpecFault::Serial(serial.into())));
        }
        assert_eq!(check(&MachineSpec { cpus: 0, ..spec() }), Err(SpecFault::Nothing));
        assert_eq!(
            check(&MachineSpec { owner: 0, ..spec() }),
            Err(SpecFault::NoOwner)
        );
    }

    /// The machine as the orchestrator asks for it: an image in one piece, the VM's own disk, and the kernel's modules.
    #[test]
    fn what_every_machine_has_takes_at_most_eight_places() {
        let mut usual = spec();
        usual.disks.push(usual.disks[0].clone());
        let text = rendered(&usual, Accelerator::Software);
        let devices: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("-device virtio-"))
            .collect();
        assert!(devices.len() <= 8, "{devices:#?}");
        // The places that are left are all for disks.
        assert_eq!(TRANSPORTS - devices.len() + usual.disks.len(), MAX_DISKS);
    }
}
