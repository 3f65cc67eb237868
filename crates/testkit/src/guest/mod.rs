//! Guests that say what powerunit says: hello, ready, what their service prints, how it is, and the words of streams.
//!
//! A guest lives as long as its machine, which is longer than a connection: what its service printed and the host does
//! not hold yet is said again after each greeting.

mod memory;
mod program;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use driver::sim::Sim;
use model::{ServiceSeen, VmId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wire::guest::{
    Config, Decoder, Encoder, Frame, GuestFrame, GuestHello, HostFrame, PROTOCOL, PowerOffKind, Ready, Usage,
};
use wire::stream::{End, Failure, FailureCode, Lane};

use memory::Memory;
use program::{Begun, Program};

/// More often than a real guest is ever asked to.
const USAGE_EVERY: Duration = Duration::from_millis(100);

/// The guests of a host, by VM. Clones share them.
#[derive(Clone, Default)]
pub struct SimGuests {
    known: Arc<Mutex<HashMap<VmId, Memory>>>,
    /// The newest protocol that new connections speak; `None` is the newest there is.
    protocol: Arc<Mutex<Option<u32>>>,
}

impl SimGuests {
    /// The guests' ends of the simulated machines' control channels.
    pub fn speak(&self, sim: Sim) -> driver::sim::Guest {
        let guests = self.clone();
        Arc::new(move |vm, stream| {
            let conversation = Conversation {
                guests: guests.clone(),
                sim: sim.clone(),
                vm,
                programs: HashMap::new(),
            };
            tokio::spawn(async move {
                // The channel breaks when the machine or the orchestrator ends, which is how each of them ends here.
                let _ = conversation.run(stream).await;
            });
        })
    }

    /// From its next connection on, every guest is one of an older powerunit.
    pub fn speak_at_most(&self, protocol: u32) {
        *self.protocol.lock().unwrap_or_else(PoisonError::into_inner) = Some(protocol);
    }

    /// The VM's service prints.
    pub fn print(&self, vm: VmId, lane: Lane, text: &str) {
        self.with(vm, |memory| memory.print(lane, text.as_bytes()));
    }

    /// The VM's service is like this now.
    pub fn set_service(&self, vm: VmId, service: ServiceSeen) {
        self.with(vm, |memory| memory.set_service(service));
    }

    /// The VM is used like this now; said again and again if the host asks, and at first nobody uses it.
    pub fn set_usage(&self, vm: VmId, usage: Usage) {
        self.with(vm, |memory| memory.usage = usage);
    }

    /// The keys that open the VM, as far as its guest has heard.
    pub fn keys(&self, vm: VmId) -> Vec<String> {
        self.with(vm, |memory| memory.keys.clone())
    }

    /// The keys whose sessions must not exist in the VM, as far as its guest has heard.
    pub fn barred(&self, vm: VmId) -> Vec<String> {
        self.with(vm, |memory| memory.barred.clone())
    }

    /// How much of what the VM's service printed in this boot the host holds, as far as the guest heard.
    pub fn held(&self, vm: VmId) -> u64 {
        self.with(vm, |memory| memory.held())
    }

    /// How much the VM's service printed in this boot.
    pub fn printed(&self, vm: VmId) -> u64 {
        self.with(vm, |memory| memory.printed())
    }

    /// How many programs and copies run in the VM, as far as its guest has heard.
    pub fn running(&self, vm: VmId) -> usize {
        self.with(vm, |memory| memory.running)
    }

    fn with<T>(&self, vm: VmId, act: impl FnOnce(&mut Memory) -> T) -> T {
        act(self.known().entry(vm).or_default())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<VmId, Memory>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn protocol(&self) -> u32 {
        let protocol = *self.protocol.lock().unwrap_or_else(PoisonError::into_inner);
        protocol.unwrap_or(PROTOCOL.1)
    }
}

/// One connection of one guest.
struct Conversation {
    guests: SimGuests,
    sim: Sim,
    vm: VmId,
    programs: HashMap<u32, Program>,
}

impl Conversation {
    async fn run(mut self, mut stream: DuplexStream) -> std::io::Result<()> {
        let mut decoder = Decoder::<HostFrame>::default();
        let mut buffer = vec![0; 4096];
        let news = self.guests.with(self.vm, |memory| memory.bell());
        loop {
            tokio::select! {
                count = stream.read(&mut buffer) => match count? {
                    0 => return Ok(()),
                    count => decoder.push(buffer.get(..count).unwrap_or_default()),
                },
                () = tokio::time::sleep(USAGE_EVERY), if self.tells_usage() => {
                    let usage = self.guests.with(self.vm, |memory| memory.usage);
                    say(&mut stream, &[GuestFrame::Usage(usage)]).await?;
                }
                () = news.notified() => {
                    let news = self.guests.with(self.vm, |memory| memory.news());
                    say(&mut stream, &news).await?;
                }
            }
            while let Some(frame) = decoder.next_frame() {
                let Ok(frame) = frame else { continue };
                let stops = matches!(frame, HostFrame::Stop { .. });
                let answers = self.answers(frame);
                let running = self.programs.len();
                self.guests.with(self.vm, |memory| memory.running = running);
                say(&mut stream, &answers).await?;
                if stops {
                    self.sim.power_off(self.vm);
                    return Ok(());
                }
            }
        }
    }

    fn answers(&mut self, frame: HostFrame) -> Vec<GuestFrame> {
        match frame {
            HostFrame::Hello(_) => self.greet(),
            HostFrame::Config(config) => self.configure(&config),
            HostFrame::Stop { .. } => {
                let kind = PowerOffKind::Off;
                vec![GuestFrame::Stopping, GuestFrame::PoweredOff { kind }]
            }
            HostFrame::Ping { n } => vec![GuestFrame::Pong { n }],
            HostFrame::LogHeld { boot_id, offset } => {
                self.guests.with(self.vm, |memory| memory.hold(&boot_id, offset));
                Vec::new()
            }
            HostFrame::Open { stream, open } => {
                let begun = self
                    .guests
                    .with(self.vm, |memory| program::begin(open, memory.files()));
                match begun {
                    Begun::Runs(program) => self.go_on(stream, program),
                    Begun::Fails(end) => vec![ended(stream, end)],
                }
            }
            HostFrame::Input { stream, input } => match self.programs.remove(&stream) {
                Some(mut program) => {
                    program.hear(input);
                    self.go_on(stream, program)
                }
                None => Vec::new(),
            },
            HostFrame::Time { .. } => Vec::new(),
        }
    }

    /// A greeting begins a connection: streams of the one before have ended, and everything is said again.
    fn greet(&mut self) -> Vec<GuestFrame> {
        self.programs.clear();
        let boot_id = format!("boot-{}", self.sim.pid(self.vm).unwrap_or_default());
        let mut said = vec![GuestFrame::Hello(GuestHello {
            protocol_min: PROTOCOL.0,
            protocol_max: self.guests.protocol(),
            powerunit_version: "simulated".to_owned(),
            boot_id: boot_id.clone(),
        })];
        let again = self.guests.with(self.vm, |memory| memory.greet(&boot_id));
        if self.guests.protocol() > 1 {
            said.extend(again);
        }
        said
    }

    fn tells_usage(&self) -> bool {
        self.guests.protocol() >= 3 && self.guests.with(self.vm, |memory| memory.is_asked_for_usage)
    }

    fn configure(&mut self, config: &Config) -> Vec<GuestFrame> {
        self.guests.with(self.vm, |memory| {
            memory.is_asked_for_usage = config.usage_every.is_some();
            memory.keys.clone_from(&config.ssh.authorized_keys);
            memory.barred.clone_from(&config.ssh.barred);
        });
        let ready = Ready {
            config_revision: config.revision,
            ssh_port: config.ssh.port,
            login: "root".to_owned(),
            host_keys: host_key(config.ssh.host_key.as_pem()),
        };
        if let Some(service) = &config.service {
            self.guests
                .with(self.vm, |memory| memory.begin(&service.arguments));
        }
        let stage = GuestFrame::Stage {
            name: "ssh".to_owned(),
            at: Duration::from_millis(1),
        };
        vec![stage, GuestFrame::Ready(ready)]
    }

    /// What a program says now; it is remembered while it runs.
    fn go_on(&mut self, stream: u32, mut program: Program) -> Vec<GuestFrame> {
        let said = program.say();
        let over = program.is_over();
        if let Some((path, archive)) = program.written() {
            self.guests.with(self.vm, |memory| memory.keep(path, archive));
        }
        if !over {
            self.programs.insert(stream, program);
        }
        let frame = |output| GuestFrame::Output { stream, output };
        said.into_iter().map(frame).collect()
    }
}

fn ended(stream: u32, end: End) -> GuestFrame {
    let output = wire::stream::Output::Ended(end);
    GuestFrame::Output { stream, output }
}

fn failed(code: FailureCode, message: &str) -> End {
    let message = message.to_owned();
    End::Failed(Failure { code, message })
}

async fn say<F: Frame>(stream: &mut DuplexStream, frames: &[F]) -> std::io::Result<()> {
    for frame in frames {
        let bytes = Encoder.encode(frame).map_err(std::io::Error::other)?;
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

fn host_key(pem: &str) -> Vec<String> {
    let key = ssh_key::PrivateKey::from_openssh(pem).ok();
    key.and_then(|key| key.public_key().to_openssh().ok())
        .into_iter()
        .collect()
}
