//! What a guest hears without asking, on a clock that moves when everybody waits.

use std::sync::Arc;
use std::time::Duration;

use driver::sim::Sim;
use driver::{Driver, MachineSpec};
use model::ByteSize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use wire::guest::{
    Config, Decoder, Disk, Disks, Encoder, GuestFrame, GuestHello, HostFrame, HostKey, ImageDefaults,
    PROTOCOL, Ready, Ssh,
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
            barred: Vec::new(),
        },
        image: ImageDefaults::default(),
        disks: Disks {
            root: Disk::Serial("pw-root".into()),
            root_devices: Vec::new(),
            upper: Disk::Serial("pw-upper".into()),
            modules: None,
        },
        service: None,
        usage_every: None,
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

/// What a guest does.
#[derive(Clone, Copy)]
struct Manner {
    protocol_max: u32,
    /// When it is up, after its greeting.
    ready_after: Option<Duration>,
}

/// A guest that greets, and tells when it heard what time it is.
async fn listen(stream: DuplexStream, manner: Manner, heard: mpsc::UnboundedSender<Instant>) {
    let (mut stream, mut to_host) = tokio::io::split(stream);
    let hello = GuestFrame::Hello(GuestHello {
        protocol_min: PROTOCOL.0,
        protocol_max: manner.protocol_max,
        powerunit_version: "test".into(),
        boot_id: "boot".into(),
    });
    to_host.write_all(&Encoder.encode(&hello).unwrap()).await.unwrap();
    tokio::spawn(async move {
        if let Some(after) = manner.ready_after {
            sleep(after).await;
            to_host
                .write_all(&Encoder.encode(&ready()).unwrap())
                .await
                .unwrap();
        }
        // The channel stays open.
        std::future::pending::<()>().await;
    });
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

fn ready() -> GuestFrame {
    GuestFrame::Ready(Ready {
        config_revision: 1,
        ssh_port: Ssh::DEFAULT_PORT,
        login: "root".into(),
        host_keys: Vec::new(),
    })
}

/// A link to such a guest, and when it hears the time.
async fn link(
    protocol_max: u32,
    ready_after: Option<Duration>,
) -> (GuestLink, mpsc::UnboundedReceiver<Instant>) {
    let (heard, times) = mpsc::unbounded_channel();
    let manner = Manner {
        protocol_max,
        ready_after,
    };
    let guest = move |_, stream| drop(tokio::spawn(listen(stream, manner, heard.clone())));
    let sim = Sim::new().with_guest(Arc::new(guest));
    sim.ensure(&spec()).await.unwrap();
    let log = Arc::new(VmLog::new("nothing-is-written".into(), LogLimits::default()));
    let link = GuestLink::open(Arc::new(sim), id("a"), config(), log, GuestDoor::default());
    (link, times)
}

#[tokio::test(start_paused = true)]
async fn a_guest_hears_at_once_and_four_times_in_thirty_seconds_what_time_it_is() {
    let begun = Instant::now();
    let (_link, mut times) = link(PROTOCOL.1, None).await;
    let first = times.recv().await.unwrap();
    assert!(first - begun < Duration::from_secs(1), "{:?}", first - begun);
    for ordinal in 1..=6 {
        let after = times.recv().await.unwrap() - first;
        let due = Duration::from_secs(7) * ordinal;
        assert!(after >= due && after < due + Duration::from_secs(1), "{after:?}");
    }
}

/// People come then, and two messages must say that a clock is ahead.
#[tokio::test(start_paused = true)]
async fn a_guest_that_is_ready_hears_it_once_more() {
    let up = Duration::from_secs(3);
    let (_link, mut times) = link(PROTOCOL.1, Some(up)).await;
    let first = times.recv().await.unwrap();
    let after = times.recv().await.unwrap() - first;
    assert!(after < up + Duration::from_secs(1), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_understand_it_hears_nothing_of_the_time() {
    let (_link, mut times) = link(1, Some(Duration::from_secs(1))).await;
    assert!(timeout(Duration::from_secs(60), times.recv()).await.is_err());
}
