//! A guest under QEMU, without root: user-mode network, and the control port on a UNIX socket.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use wire::guest::*;

use crate::image::Image;
use crate::support::ssh::{Client, KeyPair};
use crate::support::wait_for;

/// Software emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

pub(crate) fn bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bundle")
}

/// The host's wall clock, since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// A running guest; it ends with this value.
pub(crate) struct Vm {
    pub(crate) config: Config,
    pub(crate) key: KeyPair,
    pub(crate) host_key: KeyPair,
    folder: tempfile::TempDir,
    port: u16,
    qemu: Child,
    control: UnixStream,
    decoder: Decoder<GuestFrame>,
}

impl Vm {
    /// Starts QEMU and sends the configuration.
    pub(crate) fn start(folder: &Path, image: &Image, upper: &Path) -> Self {
        let mut vm = Self::prepare(folder, image, upper);
        vm.greet();
        vm
    }

    /// Starts QEMU; the guest waits for its configuration.
    pub(crate) fn prepare(folder: &Path, image: &Image, upper: &Path) -> Self {
        Self::prepare_on(Machine::Microvm, folder, image, upper)
    }

    pub(crate) fn prepare_on(machine: Machine, folder: &Path, image: &Image, upper: &Path) -> Self {
        let folder = tempfile::tempdir_in(folder).unwrap();
        let key = KeyPair::generate(folder.path(), "key");
        let host_key = KeyPair::generate(folder.path(), "host-key");
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let qemu = qemu(folder.path(), machine, [&image.root, upper], port);
        let control = connect(folder.path());
        let config = config(image, &key, &host_key);
        Self {
            config,
            key,
            host_key,
            folder,
            port,
            qemu,
            control,
            decoder: Decoder::default(),
        }
    }

    /// Says what a host says first.
    pub(crate) fn greet(&mut self) {
        self.send(&HostFrame::Hello(HostHello {
            protocol_min: PROTOCOL.0,
            protocol_max: PROTOCOL.1,
            host_time_unix_ns: u64::try_from(now().as_nanos()).unwrap(),
            seed: Some(Seed([7; 32])),
        }));
        self.send(&HostFrame::Config(Box::new(self.config.clone())));
    }

    /// Says what time it is.
    pub(crate) fn say_time(&mut self) {
        self.send(&HostFrame::Time {
            unix_ns: u64::try_from(now().as_nanos()).unwrap(),
        });
    }

    /// The same, and waits until that was heard: by so much at most it was late.
    pub(crate) fn tell_time(&mut self) -> Duration {
        let start = Instant::now();
        self.say_time();
        self.send(&HostFrame::Ping { n: 7 });
        self.wait(|frame| matches!(frame, GuestFrame::Pong { n: 7 }));
        start.elapsed()
    }

    /// As a host that was restarted in the middle of a word.
    pub(crate) fn reconnect(&mut self) {
        self.control
            .write_all(&Encoder.encode(&HostFrame::Ping { n: 1 }).unwrap()[..7])
            .unwrap();
        self.leave();
        self.come_back();
    }

    /// As a host that has gone.
    pub(crate) fn leave(&mut self) {
        self.control = UnixStream::pair().unwrap().0;
        self.decoder = Decoder::default();
    }

    /// As the next host.
    pub(crate) fn come_back(&mut self) {
        self.control = connect(self.folder.path());
        self.greet();
    }

    pub(crate) fn send(&mut self, frame: &HostFrame) {
        self.control.write_all(&Encoder.encode(frame).unwrap()).unwrap();
    }

    /// The next frame that fits; the others are passed over.
    pub(crate) fn wait(&mut self, fits: impl Fn(&GuestFrame) -> bool) -> GuestFrame {
        let start = Instant::now();
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            while let Some(frame) = self.decoder.next_frame() {
                let frame = frame.unwrap();
                if fits(&frame) {
                    return frame;
                }
                seen.push(frame);
            }
            assert!(
                start.elapsed() < LIMIT,
                "no such frame; seen {seen:#?}, console:\n{}",
                self.console()
            );
            match self.control.read(&mut buffer) {
                Ok(0) => panic!("QEMU ended; seen {seen:#?}, console:\n{}", self.console()),
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn wait_ready(&mut self) -> Ready {
        let frame = self.wait(|frame| matches!(frame, GuestFrame::Ready(_) | GuestFrame::Failed { .. }));
        let GuestFrame::Ready(ready) = frame else {
            panic!("{frame:?}, console:\n{}", self.console())
        };
        ready
    }

    /// Waits for the machine's own end.
    pub(crate) fn wait_off(&mut self) -> PowerOffKind {
        let frame = self.wait(|frame| matches!(frame, GuestFrame::PoweredOff { .. }));
        wait_for("QEMU to end", Duration::from_secs(10), || {
            self.qemu.try_wait().unwrap()
        });
        let GuestFrame::PoweredOff { kind } = frame else {
            panic!("{frame:?}")
        };
        kind
    }

    /// Waits until QEMU has ended, whatever the machine says; gives what it said.
    pub(crate) fn wait_end(&mut self) -> Vec<GuestFrame> {
        let mut buffer = [0; 4096];
        wait_for("QEMU to end", LIMIT, || match self.control.read(&mut buffer) {
            Ok(0) => Some(()),
            Ok(count) => {
                self.decoder.push(&buffer[..count]);
                None
            }
            Err(_) => None,
        });
        self.qemu.wait().unwrap();
        std::iter::from_fn(|| self.decoder.next_frame())
            .map(Result::unwrap)
            .collect()
    }

    /// Ends it as a host does.
    pub(crate) fn stop(&mut self, grace: Duration) {
        self.send(&HostFrame::Stop { grace });
        self.wait(|frame| matches!(frame, GuestFrame::Stopping));
        assert_eq!(self.wait_off(), PowerOffKind::Off);
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.folder.path(), &self.key, &self.host_key.public(), self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn console(&self) -> String {
        fs::read_to_string(self.folder.path().join("console")).unwrap_or_default()
    }

    /// User and system time of QEMU so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.qemu.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
        f64::from(ticks) / 100.0
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn config(image: &Image, key: &KeyPair, host_key: &KeyPair) -> Config {
    Config {
        revision: 1,
        hostname: "fast-car".into(),
        network: Some(Network {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            resolvers: vec![Ipv4Addr::new(192, 0, 2, 53).into()],
            mac: Some(model::MacAddr::new([6, 0x70, 10, 0, 2, 15])),
        }),
        ssh: Ssh {
            port: Ssh::DEFAULT_PORT,
            host_key: HostKey::from_pem(host_key.private()),
            authorized_keys: vec![key.public()],
            user_cas: Vec::new(),
            image_keys: false,
            barred: Vec::new(),
        },
        image: ImageDefaults {
            user: image.user.into(),
            env: vec!["FROM_IMAGE=yes".into()],
            working_dir: "/".into(),
            volumes: Vec::new(),
        },
        disks: Disks {
            root: Disk::Serial("pw-root".into()),
            root_devices: vec![],
            upper: Disk::Serial("pw-upper".into()),
            modules: Some(Disk::Serial("pw-modules".into())),
        },
        service: None,
        usage_every: None,
    }
}

fn connect(folder: &Path) -> UnixStream {
    let stream = wait_for("QEMU's control socket", Duration::from_secs(20), || {
        UnixStream::connect(folder.join("control.sock")).ok()
    });
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream
}

/// The machines that the qemu driver starts: microvm, and q35 where the host's time-stamp counter is unreliable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    Microvm,
    Q35,
}

impl Machine {
    fn arguments(self) -> (&'static str, String, &'static str) {
        match self {
            Self::Microvm => (
                "microvm,acpi=on,pcie=off,pit=off,pic=off,rtc=on,isa-serial=on",
                format!("tsc=reliable tsc_early_khz={}", tsc_khz()),
                "device",
            ),
            Self::Q35 => ("q35", String::new(), "pci"),
        }
    }
}

fn qemu(folder: &Path, machine: Machine, disks: [&Path; 2], port: u16) -> Child {
    let bundle = bundle();
    let (machine, clock, bus) = machine.arguments();
    let [root, upper] = disks.map(Path::display);
    let [kernel, initrd, modules] =
        ["vmlinux", "initramfs.cpio", "modules.erofs"].map(|name| bundle.join(name));
    let (console, control) = (folder.join("console"), folder.join("control.sock"));
    let text = format!(
        "-M {machine} -accel tcg,thread=multi -cpu max -smp 1 -m 256M -nodefaults -no-user-config -display none
        -no-reboot -kernel {kernel} -initrd {initrd} -serial file:{console}
        -drive id=d0,file={root},format=raw,if=none,read-only=on -device virtio-blk-{bus},drive=d0,serial=pw-root
        -drive id=d1,file={upper},format=raw,if=none -device virtio-blk-{bus},drive=d1,serial=pw-upper
        -drive id=d2,file={modules},format=raw,if=none,read-only=on -device virtio-blk-{bus},drive=d2,serial=pw-modules
        -netdev user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:2222
        -device virtio-net-{bus},netdev=n0,mac=06:70:0a:00:02:0f
        -chardev socket,id=c0,path={control},server=on,wait=off
        -device virtio-serial-{bus} -device virtserialport,chardev=c0,name=pw.ctl
        -object rng-builtin,id=rng0 -device virtio-rng-{bus},rng=rng0",
        kernel = kernel.display(),
        initrd = initrd.display(),
        modules = modules.display(),
        console = console.display(),
        control = control.display(),
    );
    let append = format!("console=ttyS0 panic=-1 reboot=t quiet loglevel=0 cryptomgr.notests {clock}");
    let mut command = Command::new("qemu-system-x86_64");
    command.args(text.split_whitespace()).args(["-append", &append]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Without it the kernel looks for a timer that the microvm does not have.
fn tsc_khz() -> u64 {
    #[expect(unsafe_code, reason = "the counter has no other reader")]
    // SAFETY: RDTSC reads a register and nothing else; every x86-64 processor has it.
    let count = || unsafe { core::arch::x86_64::_rdtsc() };
    // Both clocks at one moment: on a busy machine another program may run between two readings.
    let moment = || loop {
        let (start, count) = (Instant::now(), count());
        if start.elapsed() < Duration::from_micros(10) {
            return (start, count);
        }
    };
    let (start, first) = moment();
    std::thread::sleep(Duration::from_millis(60));
    let (end, last) = moment();
    (last - first) * 1_000_000 / u64::try_from((end - start).as_nanos()).unwrap()
}
