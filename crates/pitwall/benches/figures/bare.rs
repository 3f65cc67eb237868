//! The least a machine can be: the same kernel, accelerator, processor and memory, and an init that prints one line.
//!
//! No disk, no network card, no control channel, no modules. What a start of ours costs beyond this is what makes a
//! machine that people can log into.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::boot::Cost;
use crate::error::BenchError;
use crate::host::{run, target, until};
use crate::process::{CpuTime, Running};

/// Nothing of the kernel's own looks like it.
const FIRST_LINE: &str = "the first line of a bare init";

/// Longer than a boot under software emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// The options of Pitwall's QEMU that make the kernel's machine what it is, `-append` with the clock's rate included.
const SHARED: [&str; 6] = ["-machine", "-accel", "-cpu", "-smp", "-m", "-append"];

/// An initramfs with that init, and a place for what it prints.
pub(crate) struct Bare {
    directory: tempfile::TempDir,
    initramfs: PathBuf,
}

impl Bare {
    /// Builds the init and packs it.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new().prefix("pwbare").tempdir();
        let directory = directory.map_err(BenchError::io("make a temporary directory"))?;
        let tree = directory.path().join("tree");
        let (source, initramfs) = (
            directory.path().join("init.c"),
            directory.path().join("initramfs.cpio"),
        );
        let program = format!(
            "#include <unistd.h>\nint main(void) {{ write(1, \"{FIRST_LINE}\\n\", {}); for (;;) pause(); }}\n",
            FIRST_LINE.len() + 1
        );
        fs::create_dir(&tree)
            .and_then(|()| fs::write(&source, program))
            .map_err(BenchError::io("write the source of an init"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-static", "-Os", "-w", "-s", "-o"]);
        run(compiler.arg(tree.join("init")).arg(&source))?;
        let mut packer = Command::new("bash");
        packer.args(["-c", "echo init | cpio --quiet -o -H newc -F \"$0\""]);
        run(packer.arg(&initramfs).current_dir(&tree))?;
        Ok(Self { directory, initramfs })
    }

    /// Starts the machine of these words of QEMU's bare, up to the first line of its init, and ends it.
    pub(crate) fn start(&self, words: &[String]) -> Result<Cost, BenchError> {
        let console = self.directory.path().join("console");
        let _ = fs::remove_file(&console);
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(shared(words)?);
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        qemu.arg("-kernel").arg(target().join("bundle/vmlinux"));
        qemu.arg("-initrd").arg(&self.initramfs);
        qemu.arg("-serial").arg(file(&console));
        let start = Instant::now();
        let child = qemu.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let qemu = Running(child.map_err(BenchError::io("start QEMU"))?);
        until("the first line of a bare init", LIMIT, || {
            let text = fs::read_to_string(&console).unwrap_or_default();
            Ok(text.contains(FIRST_LINE).then_some(()))
        })?;
        let wall = start.elapsed().as_secs_f64();
        let cpu = CpuTime::of(qemu.0.id())?.own;
        Ok(Cost { wall, cpu })
    }
}

fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn shared(words: &[String]) -> Result<Vec<String>, BenchError> {
    let mut taken = Vec::new();
    for option in SHARED {
        let value = words.iter().skip_while(|word| *word != option).nth(1);
        let value = value.ok_or_else(|| BenchError::unreadable("QEMU's command line", words.join(" ")))?;
        taken.extend([option.to_owned(), value.clone()]);
    }
    Ok(taken)
}
