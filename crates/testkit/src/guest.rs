//! A guest that says what powerunit says: hello, ready, powered off.

use std::time::Duration;

use driver::sim::Sim;
use model::VmId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wire::guest::{Decoder, Encoder, GuestFrame, GuestHello, HostFrame, PROTOCOL, PowerOffKind, Ready};

/// The simulated machines' ends of their control channels.
pub fn speak(sim: Sim) -> driver::sim::Guest {
    std::sync::Arc::new(move |vm, stream| {
        let sim = sim.clone();
        tokio::spawn(async move {
            // The channel breaks when the machine or the orchestrator ends, which is how each of them ends here.
            let _ = converse(&sim, vm, stream).await;
        });
    })
}

async fn converse(sim: &Sim, vm: VmId, mut stream: DuplexStream) -> std::io::Result<()> {
    let mut decoder = Decoder::<HostFrame>::default();
    let mut buffer = vec![0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        decoder.push(buffer.get(..count).unwrap_or_default());
        while let Some(frame) = decoder.next_frame() {
            let Ok(frame) = frame else { continue };
            for answer in answers(&frame) {
                let bytes = Encoder.encode(&answer).map_err(std::io::Error::other)?;
                stream.write_all(&bytes).await?;
            }
            if matches!(frame, HostFrame::Stop { .. }) {
                sim.power_off(vm);
                return Ok(());
            }
        }
    }
}

fn answers(frame: &HostFrame) -> Vec<GuestFrame> {
    match frame {
        HostFrame::Hello(_) => vec![GuestFrame::Hello(GuestHello {
            protocol_min: PROTOCOL.0,
            protocol_max: PROTOCOL.1,
            powerunit_version: "simulated".to_owned(),
            boot_id: "simulated".to_owned(),
        })],
        HostFrame::Config(config) => {
            let ready = Ready {
                config_revision: config.revision,
                ssh_port: config.ssh.port,
                login: "root".to_owned(),
                host_keys: host_key(config.ssh.host_key.as_pem()),
            };
            let stage = GuestFrame::Stage {
                name: "ssh".to_owned(),
                at: Duration::from_millis(1),
            };
            vec![stage, GuestFrame::Ready(ready)]
        }
        HostFrame::Stop { .. } => {
            vec![
                GuestFrame::Stopping,
                GuestFrame::PoweredOff {
                    kind: PowerOffKind::Off,
                },
            ]
        }
        HostFrame::Ping { n } => vec![GuestFrame::Pong { n: *n }],
        HostFrame::Time { .. }
        | HostFrame::LogHeld { .. }
        | HostFrame::Open { .. }
        | HostFrame::Input { .. } => Vec::new(),
    }
}

fn host_key(pem: &str) -> Vec<String> {
    let key = ssh_key::PrivateKey::from_openssh(pem).ok();
    key.and_then(|key| key.public_key().to_openssh().ok())
        .into_iter()
        .collect()
}
