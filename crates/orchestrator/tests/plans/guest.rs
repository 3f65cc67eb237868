//! Guests that greet, take every configuration, and power off when they are told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use driver::sim::Sim;
use model::VmId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use wire::guest::{
    Config, Decoder, Encoder, GuestFrame, GuestHello, HostFrame, PROTOCOL, PowerOffKind, Ready, Usage,
};

/// More often than any real one, so that tests are short.
const USAGE_EVERY: Duration = Duration::from_millis(50);

/// All guests of a host. Clones share them.
#[derive(Clone)]
pub(crate) struct Guests {
    /// The newest protocol they speak.
    pub(crate) protocol: Arc<watch::Sender<u32>>,
    /// While this is false, they say nothing.
    pub(crate) speak: Arc<watch::Sender<bool>>,
    /// How they all are used; said again and again to whoever asks for it.
    pub(crate) usage: Arc<watch::Sender<Usage>>,
    configs: Arc<Mutex<HashMap<VmId, Config>>>,
}

impl Default for Guests {
    fn default() -> Self {
        Self {
            protocol: Arc::new(watch::Sender::new(PROTOCOL.1)),
            speak: Arc::new(watch::Sender::new(true)),
            usage: Arc::default(),
            configs: Arc::default(),
        }
    }
}

impl Guests {
    /// The guests' ends of the simulated machines' control channels.
    pub(crate) fn ends(&self, sim: Sim) -> driver::sim::Guest {
        let guests = self.clone();
        Arc::new(move |vm, stream| {
            tokio::spawn(guests.clone().converse(sim.clone(), vm, stream));
        })
    }

    /// The newest configuration that the guest of this VM has.
    pub(crate) fn config(&self, vm: VmId) -> Option<Config> {
        self.configs.lock().unwrap().get(&vm).cloned()
    }

    async fn converse(self, sim: Sim, vm: VmId, mut stream: DuplexStream) {
        let mut decoder = Decoder::<HostFrame>::default();
        let mut buffer = vec![0; 4096];
        let mut speak = self.speak.subscribe();
        if speak.wait_for(|&speaks| speaks).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                // The channel breaks when the machine or the orchestrator ends, which is how each of them ends here.
                count = stream.read(&mut buffer) => {
                    let Ok(count @ 1..) = count else { return };
                    decoder.push(&buffer[..count]);
                }
                () = tokio::time::sleep(USAGE_EVERY), if self.tells_usage(vm) => {
                    let usage = GuestFrame::Usage(*self.usage.borrow());
                    if stream.write_all(&Encoder.encode(&usage).unwrap()).await.is_err() {
                        return;
                    }
                }
            }
            while let Some(frame) = decoder.next_frame() {
                let frame = frame.unwrap();
                let stops = matches!(frame, HostFrame::Stop { .. });
                for answer in self.answers(vm, &sim, frame) {
                    if stream.write_all(&Encoder.encode(&answer).unwrap()).await.is_err() {
                        return;
                    }
                }
                if stops {
                    sim.power_off(vm);
                    return;
                }
            }
        }
    }

    fn tells_usage(&self, vm: VmId) -> bool {
        let asked = self.config(vm).is_some_and(|config| config.usage_every.is_some());
        asked && *self.protocol.borrow() >= 3
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest is nothing to these guests"
    )]
    fn answers(&self, vm: VmId, sim: &Sim, frame: HostFrame) -> Vec<GuestFrame> {
        match frame {
            HostFrame::Hello(_) => vec![GuestFrame::Hello(GuestHello {
                protocol_min: PROTOCOL.0,
                protocol_max: *self.protocol.borrow(),
                powerunit_version: "simulated".to_owned(),
                boot_id: format!("boot-{}", sim.pid(vm).unwrap_or_default()),
            })],
            HostFrame::Config(config) => {
                let ready = Ready {
                    config_revision: config.revision,
                    ssh_port: config.ssh.port,
                    login: "root".to_owned(),
                    host_keys: vec![host_key(config.ssh.host_key.as_pem())],
                };
                self.configs.lock().unwrap().insert(vm, *config);
                vec![GuestFrame::Ready(ready)]
            }
            HostFrame::Stop { .. } => {
                let kind = PowerOffKind::Off;
                vec![GuestFrame::Stopping, GuestFrame::PoweredOff { kind }]
            }
            _ => Vec::new(),
        }
    }
}

fn host_key(pem: &str) -> String {
    let key = ssh_key::PrivateKey::from_openssh(pem).unwrap();
    key.public_key().to_openssh().unwrap()
}
