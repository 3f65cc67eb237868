//! The peer of `boot`: QEMU with the words that Pitwall gave it, started by hand.
//!
//! ```text
//!   namespace: pwbr0 172.30.0.1 ── TAP ── QEMU ◄─ configuration ── this program ── the same ssh line
//! ```
//!
//! Nothing between it and the guest: no plan, no database, no rules, no folder, no monitor.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::{ByteSize, MacAddr};
use wire::guest::{
    Config, Decoder, Disk, Disks, Encoder, GuestFrame, HostFrame, HostHello, HostKey, ImageDefaults, Network,
    PROTOCOL, Ssh,
};

use crate::boot::{Cost, vm_id, vmm};
use crate::error::BenchError;
use crate::host::{Host, ip, run, until};
use crate::process::{CpuTime, Running, arguments};

const BRIDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
const PREFIX: u8 = 16;
const TAP: &str = "pw-hand";

/// Longer than a boot under software emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// All it takes to start a VM of Pitwall's again without Pitwall.
pub(crate) struct Recipe {
    words: Vec<String>,
    upper: String,
    disk: ByteSize,
    config: Config,
    /// The line that people paste, which pins the same host key.
    ssh: String,
}

impl Recipe {
    /// Of a running VM.
    pub(crate) fn of(host: &Host, name: &str) -> Result<Self, BenchError> {
        let folder = host.state().join("host/vms").join(vm_id(host, name)?);
        let words = arguments(vmm(name)?).unwrap_or_default();
        let upper = folder.join("upper.ext4");
        let length = upper
            .metadata()
            .map_err(BenchError::io("look at the VM's disk"))?
            .len();
        let ssh = host.pwctl(&["ssh-command", name])?;
        let address = ssh
            .trim()
            .rsplit_once('@')
            .and_then(|(_, address)| address.parse().ok());
        let address = address.ok_or_else(|| BenchError::unreadable("the ssh command", ssh.clone()))?;
        Ok(Self {
            upper: upper.display().to_string(),
            disk: ByteSize::from_bytes(length),
            config: config(&folder, host, name, address, &words)?,
            ssh,
            words,
        })
    }
}

fn config(
    folder: &Path,
    host: &Host,
    name: &str,
    address: Ipv4Addr,
    words: &[String],
) -> Result<Config, BenchError> {
    let read =
        |path: PathBuf| fs::read_to_string(&path).map_err(BenchError::io(format!("read {}", path.display())));
    let serials = words
        .iter()
        .filter_map(|word| Some(word.split_once(",serial=")?.1));
    let layers = serials.filter(|serial| serial.starts_with("pw-layer-"));
    let has_modules = words.iter().any(|word| word.ends_with(",serial=pw-modules"));
    Ok(Config {
        revision: 1,
        hostname: name.to_owned(),
        network: Some(Network {
            address,
            prefix: PREFIX,
            gateway: Some(BRIDGE_ADDRESS),
            resolvers: vec![BRIDGE_ADDRESS.into()],
            mac: Some(MacAddr::for_vm(address)),
        }),
        ssh: Ssh {
            port: Ssh::DEFAULT_PORT,
            host_key: HostKey::from_pem(read(folder.join("host_key"))?),
            authorized_keys: vec![read(host.state().join("id_pitwall.pub"))?.trim().to_owned()],
            user_cas: Vec::new(),
            image_keys: false,
            barred: Vec::new(),
        },
        image: ImageDefaults {
            working_dir: "/".to_owned(),
            ..ImageDefaults::default()
        },
        disks: Disks {
            root: Disk::Serial("pw-root".to_owned()),
            root_devices: layers.map(|serial| Disk::Serial(serial.to_owned())).collect(),
            upper: Disk::Serial("pw-upper".to_owned()),
            modules: has_modules.then(|| Disk::Serial("pw-modules".to_owned())),
        },
        service: None,
        usage_every: None,
    })
}

/// A namespace with a bridge, where VMs are started by hand.
pub(crate) struct Stage {
    namespace: String,
    directory: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new().prefix("pwhand").tempdir();
        let stage = Self {
            namespace: format!("pwh-{}", std::process::id()),
            directory: directory.map_err(BenchError::io("make a temporary directory"))?,
        };
        ip(&["netns", "add", &stage.namespace])?;
        let address = format!("{BRIDGE_ADDRESS}/{PREFIX}");
        stage.ip(&["link", "set", "lo", "up"])?;
        stage.ip(&["link", "add", "pwbr0", "type", "bridge"])?;
        stage.ip(&["addr", "add", &address, "dev", "pwbr0"])?;
        stage.ip(&["link", "set", "pwbr0", "up"])?;
        Ok(stage)
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), BenchError> {
        ip(&[&["-n", self.namespace.as_str()], arguments].concat())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.namespace))
            .arg(program);
        command
    }

    /// Starts the VM of a recipe, runs `ssh … true` in it once, and ends it.
    pub(crate) fn start(&self, host: &Host, recipe: &Recipe) -> Result<Cost, BenchError> {
        let upper = self.directory.path().join("upper.ext4");
        orchestrator::make_disk(&host.state().join("host/templates"), &upper, recipe.disk)?;
        self.ip(&["tuntap", "add", TAP, "mode", "tap"])?;
        self.ip(&["link", "set", TAP, "master", "pwbr0", "up"])?;
        let cost = self.run(recipe, &upper);
        self.ip(&["link", "del", TAP])?;
        cost
    }

    fn run(&self, recipe: &Recipe, upper: &Path) -> Result<Cost, BenchError> {
        let control = self.directory.path().join("control");
        let _ = fs::remove_file(&control);
        let mut qemu = self.command("qemu-system-x86_64");
        qemu.args(self.words(recipe, upper, &control));
        let commands = CpuTime::of_commands()?;
        let start = Instant::now();
        let child = qemu.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let qemu = Running(child.map_err(BenchError::io("start QEMU"))?);
        let stream = until("QEMU's control socket", LIMIT, || {
            Ok(UnixStream::connect(&control).ok())
        })?;
        wait_ready(stream, &recipe.config)?;
        let mut ssh = self.command("bash");
        run(ssh.args(["-c", &format!("exec {} true", recipe.ssh.trim())]))?;
        let wall = start.elapsed().as_secs_f64();
        let cpu = CpuTime::of(qemu.0.id())?.own + (CpuTime::of_commands()? - commands);
        Ok(Cost { wall, cpu })
    }

    /// The words of Pitwall's QEMU with this stage's disk, and sockets and TAP opened by QEMU instead of inherited.
    fn words(&self, recipe: &Recipe, upper: &Path, control: &Path) -> Vec<String> {
        let monitor = self.directory.path().join("monitor");
        let _ = fs::remove_file(&monitor);
        let socket =
            |id: &str, path: &Path| format!("socket,id={id},path={},server=on,wait=off", path.display());
        let own = |word: &String| match word {
            word if word.starts_with("socket,id=qmp,") => socket("qmp", &monitor),
            word if word.starts_with("socket,id=ctl,") => socket("ctl", control),
            word if word.starts_with("tap,") => format!("tap,id=n0,ifname={TAP},script=no,downscript=no"),
            word => word.replace(&recipe.upper, &upper.display().to_string()),
        };
        recipe.words.iter().skip(1).map(own).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .output();
    }
}

/// Says what a host says first, and reads until the guest accepts SSH.
fn wait_ready(mut stream: UnixStream, config: &Config) -> Result<(), BenchError> {
    let on_channel = || BenchError::io("use the control channel");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let hello = HostHello {
        protocol_min: PROTOCOL.0,
        protocol_max: PROTOCOL.1,
        host_time_unix_ns: u64::try_from(now.as_nanos()).unwrap_or_default(),
        seed: None,
    };
    for frame in [
        HostFrame::Hello(hello),
        HostFrame::Config(Box::new(config.clone())),
    ] {
        let bytes = Encoder
            .encode(&frame)
            .map_err(|error| BenchError::Guest(error.to_string()))?;
        stream.write_all(&bytes).map_err(on_channel())?;
    }
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .map_err(on_channel())?;
    let mut decoder = Decoder::<GuestFrame>::default();
    let mut buffer = [0; 4096];
    until("the guest accepts SSH", LIMIT, || {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(BenchError::Guest("QEMU closed the control channel".to_owned())),
            Ok(count) => decoder.push(buffer.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(on_channel()(error)),
        }
        while let Some(frame) = decoder.next_frame() {
            if let Ok(GuestFrame::Failed { code, message }) = &frame {
                return Err(BenchError::Guest(format!("{code}: {message}")));
            }
            if matches!(frame, Ok(GuestFrame::Ready(_))) {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
}
