//! The frozen picture of the guest protocol: a guest booted long ago must still understand these bytes.
//!
//! Each frame of version 1 stands in `fixtures/guest-v1.txt` as `name hex`, what later versions added in their own files. A line is never changed; a new frame is
//! a new line. `BLESS=1 cargo test -p wire` writes missing lines and never touches an old one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use model::{ProgramEnd, RestartPolicy, ServiceSeen, ServiceState};
use proptest::prelude::*;
use wire::guest::*;
use wire::stream::{End, Exec, Failure, FailureCode, Input, Lane, Open, Output, Terminal, TerminalSize};

fn config() -> Config {
    Config {
        revision: 3,
        hostname: "fast-car".into(),
        network: Some(Network {
            address: Ipv4Addr::new(172, 30, 0, 3),
            prefix: 16,
            gateway: Some(Ipv4Addr::new(172, 30, 0, 1)),
            resolvers: vec![Ipv4Addr::new(192, 0, 2, 53).into(), Ipv6Addr::LOCALHOST.into()],
            mac: Some(model::MacAddr::for_vm(Ipv4Addr::new(172, 30, 0, 3))),
        }),
        ssh: Ssh {
            port: 2222,
            host_key: HostKey::from_pem("-----BEGIN OPENSSH PRIVATE KEY-----\n".into()),
            authorized_keys: vec!["ssh-ed25519 AAAA somebody".into()],
            user_cas: Vec::new(),
            image_keys: false,
            barred: Vec::new(),
        },
        image: ImageDefaults {
            user: "app:www".into(),
            env: vec!["PATH=/usr/bin:/bin".into()],
            working_dir: "/srv".into(),
            volumes: Vec::new(),
        },
        disks: Disks {
            root: Disk::Serial("pw-root".into()),
            root_devices: vec![Disk::Serial("pw-layer-0".into()), Disk::Path("/dev/vdc".into())],
            upper: Disk::Serial("pw-upper".into()),
            modules: None,
        },
        service: None,
        usage_every: None,
    }
}

fn host_frames() -> Vec<(&'static str, HostFrame)> {
    let hello = HostHello {
        protocol_min: 1,
        protocol_max: 1,
        host_time_unix_ns: 1_795_313_000_000_000_000,
        seed: None,
    };
    vec![
        ("host.hello", HostFrame::Hello(hello)),
        ("host.config", HostFrame::Config(Box::new(config()))),
        (
            "host.stop",
            HostFrame::Stop {
                grace: Duration::from_millis(10_000),
            },
        ),
        ("host.ping", HostFrame::Ping { n: 77 }),
    ]
}

fn host_frames_of_version_2() -> Vec<(&'static str, HostFrame)> {
    let hello = HostHello {
        protocol_min: 1,
        protocol_max: 2,
        host_time_unix_ns: 1_795_313_000_000_000_000,
        seed: Some(Seed([7; 32])),
    };
    let mut config = config();
    config.ssh.user_cas = vec!["ssh-ed25519 AAAA authority".into()];
    config.ssh.image_keys = true;
    config.image.volumes = vec!["/var/lib/data".into()];
    config.disks.modules = Some(Disk::Serial("pw-modules".into()));
    config.service = Some(Service {
        arguments: vec!["serve".into(), "--all".into()],
        restart: RestartPolicy::Always,
        stop_signal: "SIGINT".into(),
    });
    let exec = Exec {
        arguments: vec!["ls".into(), "-l".into()],
        env: vec!["A=b".into()],
        working_dir: "/srv".into(),
        user: "app".into(),
        terminal: Some(Terminal {
            size: SIZE,
            kind: "xterm".into(),
        }),
    };
    let input = |input| HostFrame::Input { stream: 5, input };
    let open = |open| HostFrame::Open { stream: 5, open };
    vec![
        ("host.hello.2", HostFrame::Hello(hello)),
        ("host.config.2", HostFrame::Config(Box::new(config))),
        (
            "host.time",
            HostFrame::Time {
                unix_ns: 1_795_313_000_000_000_000,
            },
        ),
        (
            "host.log_held",
            HostFrame::LogHeld {
                boot_id: "3f0b2c1d-0000-4000-8000-1234567890ab".into(),
                offset: 4096,
            },
        ),
        ("host.open.exec", open(Open::Exec(exec))),
        (
            "host.open.read_files",
            open(Open::ReadFiles { path: "/etc".into() }),
        ),
        (
            "host.open.write_files",
            open(Open::WriteFiles { path: "/srv".into() }),
        ),
        ("host.input.data", input(Input::Data(b"bytes".to_vec()))),
        ("host.input.end", input(Input::End)),
        ("host.input.resize", input(Input::Resize(SIZE))),
        ("host.input.signal", input(Input::Signal(2))),
        ("host.input.credit", input(Input::Credit(65536))),
        ("host.input.close", input(Input::Close)),
    ]
}

const SIZE: TerminalSize = TerminalSize {
    columns: 80,
    rows: 24,
};

fn guest_frames_of_version_2() -> Vec<(&'static str, GuestFrame)> {
    let service = |state, exit, message: Option<&str>| {
        GuestFrame::Service(ServiceSeen {
            state,
            exit,
            restarts: 3,
            message: message.map(str::to_owned),
        })
    };
    let output = |output| GuestFrame::Output { stream: 5, output };
    let failure = Failure {
        code: FailureCode::NotFound,
        message: "no such file".into(),
    };
    vec![
        (
            "guest.log",
            GuestFrame::Log(LogPart {
                offset: 4096,
                unix_ns: 1_795_313_000_000_000_000,
                lane: Lane::Stderr,
                bytes: b"printed\n".to_vec(),
            }),
        ),
        (
            "guest.service.running",
            service(ServiceState::Running, None, None),
        ),
        (
            "guest.service.backing_off",
            service(ServiceState::BackingOff, Some(ProgramEnd::Exited(1)), None),
        ),
        (
            "guest.service.ended",
            service(ServiceState::Ended, Some(ProgramEnd::Killed(9)), None),
        ),
        (
            "guest.service.failed",
            service(ServiceState::Failed, None, Some("no such file")),
        ),
        (
            "guest.output.data",
            output(Output::Data {
                lane: Lane::Stdout,
                bytes: b"bytes".to_vec(),
            }),
        ),
        ("guest.output.credit", output(Output::Credit(65536))),
        (
            "guest.output.exited",
            output(Output::Ended(End::Program(ProgramEnd::Exited(0)))),
        ),
        (
            "guest.output.killed",
            output(Output::Ended(End::Program(ProgramEnd::Killed(15)))),
        ),
        ("guest.output.done", output(Output::Ended(End::Done))),
        ("guest.output.failed", output(Output::Ended(End::Failed(failure)))),
    ]
}

fn guest_frames() -> Vec<(&'static str, GuestFrame)> {
    let hello = GuestHello {
        protocol_min: 1,
        protocol_max: 1,
        powerunit_version: "0.1.0".into(),
        boot_id: "3f0b2c1d-0000-4000-8000-1234567890ab".into(),
    };
    let ready = Ready {
        config_revision: 3,
        ssh_port: 2222,
        login: "app".into(),
        host_keys: vec!["ssh-ed25519 AAAA".into()],
    };
    vec![
        ("guest.hello", GuestFrame::Hello(hello)),
        (
            "guest.stage",
            GuestFrame::Stage {
                name: "root".into(),
                at: Duration::from_millis(1234),
            },
        ),
        ("guest.ready", GuestFrame::Ready(ready)),
        ("guest.config_applied", GuestFrame::ConfigApplied { revision: 3 }),
        (
            "guest.failed",
            GuestFrame::Failed {
                code: "disk_missing".into(),
                message: "no disk pw-root".into(),
            },
        ),
        ("guest.stopping", GuestFrame::Stopping),
        (
            "guest.powered_off.off",
            GuestFrame::PoweredOff {
                kind: PowerOffKind::Off,
            },
        ),
        (
            "guest.powered_off.reboot",
            GuestFrame::PoweredOff {
                kind: PowerOffKind::Reboot,
            },
        ),
        ("guest.pong", GuestFrame::Pong { n: 77 }),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn check<F: Frame + PartialEq + std::fmt::Debug>(
    frames: Vec<(&'static str, F)>,
    frozen: &mut BTreeMap<String, String>,
    bless: bool,
) {
    for (name, frame) in frames {
        let bytes = Encoder.encode(&frame).unwrap();
        if bless {
            frozen.entry(name.to_owned()).or_insert_with(|| hex(&bytes));
        }
        let expected = frozen
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no line; run with BLESS=1"));
        assert_eq!(
            &hex(&bytes),
            expected,
            "{name} is written differently than it was"
        );
        let mut decoder = Decoder::<F>::default();
        decoder.push(&unhex(expected));
        assert_eq!(
            decoder.next_frame().unwrap().unwrap(),
            frame,
            "{name} is read differently than it was"
        );
    }
}

/// Compares the frames with a file of frozen ones; with BLESS, frames that have no line yet get theirs.
fn compare(file: &str, host: Vec<(&'static str, HostFrame)>, guest: Vec<(&'static str, GuestFrame)>) {
    let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let bless = std::env::var_os("BLESS").is_some();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut frozen: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(k, v)| (k.into(), v.into()))
        .collect();
    check(host, &mut frozen, bless);
    check(guest, &mut frozen, bless);
    if bless {
        let lines: Vec<String> = frozen
            .iter()
            .map(|(name, hex)| format!("{name} {hex}\n"))
            .collect();
        std::fs::write(path, lines.concat()).unwrap();
    }
}

#[test]
fn version_1_is_what_it_was() {
    compare("guest-v1.txt", host_frames(), guest_frames());
}

#[test]
fn version_2_is_what_it_was() {
    compare(
        "guest-v2.txt",
        host_frames_of_version_2(),
        guest_frames_of_version_2(),
    );
}

fn host_frames_of_version_3() -> Vec<(&'static str, HostFrame)> {
    let hello = HostHello {
        protocol_min: 1,
        protocol_max: 3,
        host_time_unix_ns: 1_795_313_000_000_000_000,
        seed: Some(Seed([7; 32])),
    };
    let mut config = config();
    config.ssh.barred = vec!["SHA256:ruDnU8aEKkqSZ2Nq5Lk3jBTkxoQkEfGAYBhrA4Iv2zg".into()];
    config.usage_every = Some(Duration::from_secs(10));
    vec![
        ("host.hello.3", HostFrame::Hello(hello)),
        ("host.config.3", HostFrame::Config(Box::new(config))),
    ]
}

fn guest_frames_of_version_3() -> Vec<(&'static str, GuestFrame)> {
    let usage = Usage {
        sessions: 2,
        logins: 300,
        busy: Duration::from_millis(123_456),
    };
    vec![("guest.usage", GuestFrame::Usage(usage))]
}

#[test]
fn version_3_is_what_it_was() {
    compare(
        "guest-v3.txt",
        host_frames_of_version_3(),
        guest_frames_of_version_3(),
    );
}

#[test]
fn values_out_of_range_are_named() {
    let cases: [(&[u8], &str); 3] = [
        (&[0x12, 0x02, 0x08, 0x01], "has no \"ssh\" part"),
        (
            &[0x12, 0x08, 0x22, 0x04, 0x08, 0x80, 0x80, 0x04, 0x32, 0x00],
            "65536 is not a TCP port",
        ),
        (&[0xff], "cannot decode"),
    ];
    for (payload, says) in cases {
        let error = HostFrame::from_payload(payload).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

fn any_disk() -> impl Strategy<Value = Disk> {
    prop_oneof![
        "[a-z0-9-]{1,20}".prop_map(Disk::Serial),
        "[a-z]{1,8}".prop_map(|name| Disk::Path(format!("/dev/{name}"))),
    ]
}

fn any_network() -> impl Strategy<Value = Network> {
    (
        any::<[u8; 4]>(),
        0u8..=32,
        any::<Option<[u8; 4]>>(),
        any::<Vec<IpAddr>>(),
        any::<Option<[u8; 6]>>(),
    )
        .prop_map(|(address, prefix, gateway, resolvers, mac)| Network {
            address: address.into(),
            prefix,
            gateway: gateway.map(Ipv4Addr::from),
            resolvers,
            mac: mac.map(model::MacAddr::new),
        })
}

fn any_host_frame() -> impl Strategy<Value = HostFrame> {
    let disks = (any_disk(), prop::collection::vec(any_disk(), 0..4), any_disk());
    let config = (
        any::<u64>(),
        any::<String>(),
        prop::option::of(any_network()),
        1u16..,
        any::<Vec<String>>(),
        disks,
    );
    prop_oneof![
        (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(
            |(protocol_min, protocol_max, host_time_unix_ns)| {
                HostFrame::Hello(HostHello {
                    protocol_min,
                    protocol_max,
                    host_time_unix_ns,
                    seed: None,
                })
            }
        ),
        config.prop_map(
            |(revision, text, network, port, list, (root, root_devices, upper))| {
                HostFrame::Config(Box::new(Config {
                    revision,
                    hostname: text.clone(),
                    network,
                    ssh: Ssh {
                        port,
                        host_key: HostKey::from_pem(text.clone()),
                        authorized_keys: list.clone(),
                        user_cas: Vec::new(),
                        image_keys: false,
                        barred: Vec::new(),
                    },
                    image: ImageDefaults {
                        user: text.clone(),
                        env: list,
                        working_dir: text,
                        volumes: Vec::new(),
                    },
                    disks: Disks {
                        root,
                        root_devices,
                        upper,
                        modules: None,
                    },
                    service: None,
                    usage_every: None,
                }))
            }
        ),
        any::<u32>().prop_map(|ms| HostFrame::Stop {
            grace: Duration::from_millis(ms.into())
        }),
        any::<u64>().prop_map(|n| HostFrame::Ping { n }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in prop::collection::vec(any_host_frame(), 1..8), cut in 1usize..64) {
        let mut decoder = Decoder::<HostFrame>::default();
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| Encoder.encode(frame).unwrap()).collect();
        let mut read = Vec::new();
        for piece in bytes.chunks(cut) {
            decoder.push(piece);
            read.extend(std::iter::from_fn(|| decoder.next_frame()).map(Result::unwrap));
        }
        prop_assert_eq!(read, frames);
        prop_assert_eq!(decoder.skipped(), 0);
    }

    #[test]
    fn any_bytes_are_survived(noise in prop::collection::vec(any::<u8>(), 0..200), frame in any_host_frame()) {
        let mut decoder = Decoder::<HostFrame>::default();
        decoder.push(&noise);
        while decoder.next_frame().is_some() {}
        decoder.reset();
        decoder.push(&Encoder.encode(&frame).unwrap());
        prop_assert_eq!(decoder.next_frame().unwrap().unwrap(), frame);
    }
}
