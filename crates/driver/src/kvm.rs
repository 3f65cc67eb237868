//! Whether KVM really runs guests here.
//!
//! Some hosts have a `/dev/kvm` that opens and makes virtual machines, and then interprets guest instructions, a
//! thousand times slower than a processor runs them; an ordinary kernel never boots there. Nothing that can be asked
//! tells of it. So a loop of known length is run in a machine of one page and timed:
//!
//! ```text
//!   real mode, at 0x1000      66 B9 88 13 00 00   mov ecx, 5000
//!                             66 49               dec ecx
//!                             75 FC               jnz -4
//!                             F4                  hlt
//! ```
//!
//! Ten thousand instructions take a processor microseconds, an interpreter several milliseconds. The fastest of a few
//! runs counts, because a busy host only makes a run slower. It is run on a thread of its own that is not waited for
//! for ever.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::libc;

use crate::Accelerator;

/// Far above what a processor takes, entering the guest included, and far below an interpreter.
const FAST_ENOUGH: Duration = Duration::from_micros(1500);

const RUNS: usize = 3;

/// All runs together, at an interpreter's pace; then it is one.
const LIMIT: Duration = Duration::from_millis(150);

const LOOP: [u8; 11] = [0x66, 0xb9, 0x88, 0x13, 0, 0, 0x66, 0x49, 0x75, 0xfc, 0xf4];
const LOOP_ADDRESS: u64 = 0x1000;
const PAGE: usize = 4096;

/// What was found.
#[derive(Debug)]
enum Finding {
    /// Guests run on the processor.
    Runs,
    /// Guest instructions are interpreted: the loop took this long.
    Interprets(Duration),
    /// There is no KVM, or it cannot be used.
    Unusable {
        /// What did not work.
        operation: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// Runs the loop. Blocks for up to a fraction of a second.
fn probe() -> Finding {
    let (report, reports) = mpsc::channel();
    let begin = Instant::now();
    std::thread::spawn(move || {
        for _ in 0..RUNS {
            let timed = timed_loop();
            let done = !matches!(timed, Ok(took) if took > FAST_ENOUGH);
            if report.send(timed).is_err() || done {
                return;
            }
        }
    });
    let mut fastest: Option<Duration> = None;
    while let Ok(timed) = reports.recv_timeout(LIMIT.saturating_sub(begin.elapsed())) {
        match timed {
            Ok(took) if took <= FAST_ENOUGH => return Finding::Runs,
            Ok(took) => fastest = Some(fastest.map_or(took, |fastest| fastest.min(took))),
            Err((operation, source)) => return Finding::Unusable { operation, source },
        }
    }
    Finding::Interprets(fastest.unwrap_or_else(|| begin.elapsed()))
}

/// What executes guest instructions here, and how that was found, in words. Takes a fraction of a second.
pub(crate) async fn ask() -> (Accelerator, String) {
    weigh(tokio::task::spawn_blocking(probe).await.ok())
}

fn weigh(finding: Option<Finding>) -> (Accelerator, String) {
    match finding {
        Some(Finding::Runs) => (
            Accelerator::Hardware,
            "KVM ran a guest at the processor's own speed".to_owned(),
        ),
        Some(Finding::Interprets(took)) => (
            Accelerator::Software,
            format!(
                "/dev/kvm is there, but it interprets guests instead of running them: 10,000 instructions took {:.1} ms, \
                 and a processor takes microseconds",
                took.as_secs_f64() * 1000.0
            ),
        ),
        Some(Finding::Unusable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            (Accelerator::Software, "this host has no /dev/kvm".to_owned())
        }
        Some(Finding::Unusable { operation, source }) => (
            Accelerator::Software,
            format!("cannot {operation} /dev/kvm: {source}"),
        ),
        None => (
            Accelerator::Software,
            "the probe of /dev/kvm did not finish".to_owned(),
        ),
    }
}

type Failure = (&'static str, io::Error);

/// The time from entering the guest to its HLT.
fn timed_loop() -> Result<Duration, Failure> {
    let kvm = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_err(|error| ("open", error))?;
    let machine = descriptor(kvm.as_raw_fd(), KVM_CREATE_VM, "make a machine with")?;
    let memory = Mapping::anonymous()?;
    memory.write(&LOOP);
    give_memory(&machine, &memory)?;
    let processor = descriptor(machine.as_raw_fd(), KVM_CREATE_VCPU, "make a processor with")?;
    let state = Mapping::of_processor(&kvm, &processor)?;
    set_registers(&processor)?;
    let begin = Instant::now();
    control(processor.as_raw_fd(), KVM_RUN, 0, "run a guest with")?;
    let took = begin.elapsed();
    match state.exit_reason() {
        KVM_EXIT_HLT => Ok(took),
        _ => Err(("run a guest with", io::Error::other("the guest left its loop"))),
    }
}

// The numbers of linux/kvm.h (Documentation/virt/kvm/api.rst).
const KVM_CREATE_VM: libc::c_ulong = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE: libc::c_ulong = 0xae04;
const KVM_CREATE_VCPU: libc::c_ulong = 0xae41;
const KVM_SET_USER_MEMORY_REGION: libc::c_ulong = 0x4020_ae46;
const KVM_RUN: libc::c_ulong = 0xae80;
const KVM_SET_REGS: libc::c_ulong = 0x4090_ae82;
const KVM_GET_SREGS: libc::c_ulong = 0x8138_ae83;
const KVM_SET_SREGS: libc::c_ulong = 0x4138_ae84;
const KVM_EXIT_HLT: u32 = 5;
/// Where `exit_reason` lies in `struct kvm_run`.
const EXIT_REASON_OFFSET: usize = 8;

/// `struct kvm_userspace_memory_region`.
#[repr(C)]
struct MemoryRegion {
    slot: u32,
    flags: u32,
    guest_address: u64,
    size: u64,
    host_address: u64,
}

/// `struct kvm_regs`: sixteen general registers, then these two.
#[repr(C)]
struct Registers {
    general: [u64; 16],
    rip: u64,
    rflags: u64,
}

/// `struct kvm_sregs`: of its 312 bytes only the code segment, the first, is of interest. Its base is eight bytes, its
/// selector follows a limit of four.
#[repr(C, align(8))]
struct SpecialRegisters([u8; 312]);

fn give_memory(machine: &OwnedFd, memory: &Mapping) -> Result<(), Failure> {
    let region = MemoryRegion {
        slot: 0,
        flags: 0,
        guest_address: LOOP_ADDRESS,
        size: PAGE as u64,
        host_address: memory.address as u64,
    };
    let pointer = (&raw const region).addr();
    control(
        machine.as_raw_fd(),
        KVM_SET_USER_MEMORY_REGION,
        pointer,
        "give memory to a guest with",
    )
    .map(drop)
}

fn set_registers(processor: &OwnedFd) -> Result<(), Failure> {
    const WHAT: &str = "set registers with";
    let mut special = SpecialRegisters([0; 312]);
    control(
        processor.as_raw_fd(),
        KVM_GET_SREGS,
        (&raw mut special).addr(),
        WHAT,
    )?;
    special.0[..8].fill(0);
    special.0[12..14].fill(0);
    control(
        processor.as_raw_fd(),
        KVM_SET_SREGS,
        (&raw const special).addr(),
        WHAT,
    )?;
    let registers = Registers {
        general: [0; 16],
        rip: LOOP_ADDRESS,
        rflags: 2,
    };
    control(
        processor.as_raw_fd(),
        KVM_SET_REGS,
        (&raw const registers).addr(),
        WHAT,
    )
    .map(drop)
}

/// An ioctl of KVM. `argument` is zero, or the address of the structure that this request names.
#[expect(unsafe_code, reason = "KVM is a set of ioctls")]
fn control(fd: RawFd, request: libc::c_ulong, argument: usize, what: &'static str) -> Result<i32, Failure> {
    // SAFETY: every call in this file passes zero to a request without an argument, or the address of a live structure
    // of exactly the size that the request's number carries (bits 16 to 29); KVM reads or writes no more.
    let answer = unsafe { libc::ioctl(fd, request, argument) };
    if answer < 0 {
        Err((what, io::Error::last_os_error()))
    } else {
        Ok(answer)
    }
}

#[expect(unsafe_code, reason = "KVM returns descriptors as plain numbers")]
fn descriptor(fd: RawFd, request: libc::c_ulong, what: &'static str) -> Result<OwnedFd, Failure> {
    let number = control(fd, request, 0, what)?;
    // SAFETY: these two requests return a fresh descriptor that nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Memory that is unmapped when dropped.
struct Mapping {
    address: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    fn anonymous() -> Result<Self, Failure> {
        Self::map(PAGE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    fn of_processor(kvm: &File, processor: &OwnedFd) -> Result<Self, Failure> {
        let length = control(
            kvm.as_raw_fd(),
            KVM_GET_VCPU_MMAP_SIZE,
            0,
            "look at a processor with",
        )?;
        let length = usize::try_from(length).unwrap_or(PAGE);
        Self::map(length, libc::MAP_SHARED, processor.as_raw_fd())
    }

    #[expect(unsafe_code, reason = "mmap(2) has no safe form")]
    fn map(length: usize, flags: libc::c_int, fd: RawFd) -> Result<Self, Failure> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the place, so nothing that is mapped is touched; the result is checked below.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(("map memory for", io::Error::last_os_error()));
        }
        Ok(Self { address, length })
    }

    /// Writes at its beginning.
    #[expect(unsafe_code, reason = "the mapping is raw memory")]
    fn write(&self, bytes: &[u8]) {
        let length = bytes.len().min(self.length);
        // SAFETY: the mapping is at least `length` bytes, writable, lives as long as `self`, cannot overlap a slice of
        // ours, and no guest runs yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address.cast(), length) };
    }

    /// Reads it as a `struct kvm_run`.
    #[expect(unsafe_code, reason = "the mapping is raw memory")]
    fn exit_reason(&self) -> u32 {
        // SAFETY: KVM maps at least one page, so four aligned bytes at offset 8 are within it; the processor does not
        // run now, so nobody writes them meanwhile.
        unsafe {
            self.address
                .cast::<u8>()
                .add(EXIT_REASON_OFFSET)
                .cast::<u32>()
                .read_volatile()
        }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "munmap(2) has no safe form")]
    fn drop(&mut self) {
        // SAFETY: exactly what `map` has mapped, and no reference into it outlives `self`. A guest whose memory it was
        // has stopped: its KVM_RUN has returned.
        unsafe { libc::munmap(self.address, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quick_and_always_says_something() {
        let begin = Instant::now();
        let finding = probe();
        let took = begin.elapsed();
        println!("{finding:?} after {took:?}");
        assert!(took < Duration::from_millis(400), "{took:?}");
        // A host that says what it is must be believed only as far as it is fast.
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let has_extension = cpuinfo.contains(" vmx") || cpuinfo.contains(" svm");
        assert!(
            has_extension || !matches!(finding, Finding::Runs),
            "{finding:?} without VMX or SVM"
        );
    }
}
