//! What a guest hears without asking, on a clock that moves when everybody waits.

use std::sync::Arc;
use std::time::Duration;

use driver::sim::Sim;
use driver::{Driver, MachineSpec};
use model::ByteSize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use wire::guest::{
    Config, Decoder, Disk, Disks, Encoder, GuestFrame, GuestHello, HostFrame, HostKey, ImageDefaults,
    PROTOCOL, Ssh,
};

use super::{GuestDoor, GuestLink};
use crate::log::{LogLimits, VmLog};
use crate::testing::id;

fn config() -> Config {
    Config {
        revision: 1,
        hostname: "a".into(),
        network: None,
        ssh: Ssh {
            port: Ssh::DEFAULT_PORT,
            host_key: HostKey::from_pem(String::new()),
            authorized_keys: Vec::new(),
            user_cas: Vec::new(),
            image_keys: false,
        },
        image: ImageDefaults::default(),
        disks: Disks {
            root: Disk::Serial("pw-root".into()),
            root_devices: Vec::new(),
            upper: Disk::Serial("pw-upper".into()),
            modules: None,
        },
        service: None,
    }
}

fn spec() -> MachineSpec {
    MachineSpec {
        id: id("a"),
        name: "a".into(),
        cpus: 1,
        memory: ByteSize::from_mib(64),
        disks: Vec::new(),
        nic: None,
        kernel: None,
        console: false,
        owner: 0,
    }
}

/// A guest that greets, and tells when it heard what time it is.
async fn listen(mut stream: DuplexStream, protocol_max: u32, heard: mpsc::UnboundedSender<Instant>) {
    let hello = GuestFrame::Hello(GuestHello {
        protocol_min: PROTOCOL.0,
        protocol_max,
        powerunit_version: "test".into(),
        boot_id: "boot".into(),
    });
    stream.write_all(&Encoder.encode(&hello).unwrap()).await.unwrap();
    let mut decoder = Decoder::<HostFrame>::default();
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        decoder.push(&buffer[..count]);
        while let Some(frame) = decoder.next_frame() {
            if matches!(frame.unwrap(), HostFrame::Time { .. }) {
                heard.send(Instant::now()).unwrap();
            }
        }
    }
}

/// A link to a guest of this protocol, and when it hears the time.
async fn link(protocol_max: u32) -> (GuestLink, mpsc::UnboundedReceiver<Instant>) {
    let (heard, times) = mpsc::unbounded_channel();
    let guest = move |_, stream| drop(tokio::spawn(listen(stream, protocol_max, heard.clone())));
    let sim = Sim::new().with_guest(Arc::new(guest));
    sim.ensure(&spec()).await.unwrap();
    let log = Arc::new(VmLog::new("nothing-is-written".into(), LogLimits::default()));
    let link = GuestLink::open(Arc::new(sim), id("a"), config(), log, GuestDoor::default());
    (link, times)
}

#[tokio::test(start_paused = true)]
async fn a_guest_hears_at_once_and_every_ten_seconds_what_time_it_is() {
    let begun = Instant::now();
    let (_link, mut times) = link(PROTOCOL.1).await;
    let first = times.recv().await.unwrap();
    assert!(first - begun < Duration::from_secs(1), "{:?}", first - begun);
    for ordinal in 1..=6 {
        let after = times.recv().await.unwrap() - first;
        let due = Duration::from_secs(10) * ordinal;
        assert!(after >= due && after < due + Duration::from_secs(1), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_understand_it_hears_nothing_of_the_time() {
    let (_link, mut times) = link(1).await;
    assert!(timeout(Duration::from_secs(60), times.recv()).await.is_err());
}
