//! The shapes of `guest.proto`, and the one place where they become words and back.

use std::time::Duration;

use prost::Message;

use super::frames::{
    Config, Disk, Disks, Frame, FrameError, GuestFrame, GuestHello, HostFrame, HostHello, HostKey,
    ImageDefaults, LogPart, Network, PowerOffKind, Ready, Seed, Service, Ssh, Usage,
};

#[expect(
    unreachable_pub,
    clippy::large_enum_variant,
    reason = "written by prost from guest.proto, which has the words"
)]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/pitwall.guest.v1.rs"));
}

mod service;
mod stream;

impl Frame for HostFrame {
    fn to_payload(&self) -> Vec<u8> {
        use pb::host_frame::Message as M;
        let message = match self.clone() {
            Self::Hello(hello) => M::Hello(pb::HostHello {
                protocol_min: hello.protocol_min,
                protocol_max: hello.protocol_max,
                host_time_unix_ns: hello.host_time_unix_ns,
                seed: hello.seed.map(|seed| seed.0.to_vec()).unwrap_or_default(),
            }),
            Self::Config(config) => M::Config((*config).into()),
            Self::Stop { grace } => M::Stop(pb::Stop {
                grace_ms: u32::try_from(grace.as_millis()).unwrap_or(u32::MAX),
            }),
            Self::Ping { n } => M::Ping(pb::Ping { n }),
            Self::Time { unix_ns } => M::Time(pb::Time { unix_ns }),
            Self::LogHeld { boot_id, offset } => M::LogHeld(pb::LogHeld { boot_id, offset }),
            Self::Open { stream, open } => M::Stream(stream::raw_open(stream, open)),
            Self::Input { stream, input } => M::Stream(stream::raw_input(stream, input)),
        };
        pb::HostFrame {
            message: Some(message),
        }
        .encode_to_vec()
    }

    fn from_payload(payload: &[u8]) -> Result<Option<Self>, FrameError> {
        use pb::host_frame::Message as M;
        let Some(message) = pb::HostFrame::decode(payload)?.message else {
            return Ok(None);
        };
        Ok(Some(match message {
            M::Hello(hello) => Self::Hello(HostHello {
                protocol_min: hello.protocol_min,
                protocol_max: hello.protocol_max,
                host_time_unix_ns: hello.host_time_unix_ns,
                seed: match hello.seed.as_slice() {
                    [] => None,
                    bytes => Some(Seed(bytes.try_into().map_err(|_| FrameError::Seed(bytes.len()))?)),
                },
            }),
            M::Config(config) => Self::Config(Box::new(config.try_into()?)),
            M::Stop(stop) => Self::Stop {
                grace: Duration::from_millis(stop.grace_ms.into()),
            },
            M::Ping(ping) => Self::Ping { n: ping.n },
            M::Time(time) => Self::Time {
                unix_ns: time.unix_ns,
            },
            M::LogHeld(held) => Self::LogHeld {
                boot_id: held.boot_id,
                offset: held.offset,
            },
            M::Stream(stream) => return stream::input(stream),
        }))
    }
}

impl Frame for GuestFrame {
    fn to_payload(&self) -> Vec<u8> {
        use pb::guest_frame::Message as M;
        let message = match self.clone() {
            Self::Hello(hello) => M::Hello(pb::GuestHello {
                protocol_min: hello.protocol_min,
                protocol_max: hello.protocol_max,
                powerunit_version: hello.powerunit_version,
                boot_id: hello.boot_id,
            }),
            Self::Stage { name, at } => M::Stage(pb::Stage {
                name,
                at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            }),
            Self::Ready(ready) => M::Ready(pb::Ready {
                config_revision: ready.config_revision,
                ssh_port: ready.ssh_port.into(),
                login: ready.login,
                host_keys: ready.host_keys,
            }),
            Self::ConfigApplied { revision } => M::ConfigApplied(pb::ConfigApplied { revision }),
            Self::Failed { code, message } => M::Failed(pb::Failed { code, message }),
            Self::Stopping => M::Stopping(pb::Stopping {}),
            Self::PoweredOff { kind } => M::PoweredOff(pb::PoweredOff {
                kind: pb::PowerOffKind::from(kind).into(),
            }),
            Self::Pong { n } => M::Pong(pb::Pong { n }),
            Self::Log(part) => M::Log(pb::Log {
                offset: part.offset,
                unix_ns: part.unix_ns,
                lane: stream::raw_lane(part.lane).into(),
                data: part.bytes,
            }),
            Self::Service(seen) => M::Service(seen.into()),
            Self::Output { stream, output } => M::Stream(stream::raw_output(stream, output)),
            Self::Usage(usage) => M::Usage(pb::Usage {
                sessions: usage.sessions,
                logins: usage.logins,
                busy_ms: u64::try_from(usage.busy.as_millis()).unwrap_or(u64::MAX),
            }),
        };
        pb::GuestFrame {
            message: Some(message),
        }
        .encode_to_vec()
    }

    fn from_payload(payload: &[u8]) -> Result<Option<Self>, FrameError> {
        use pb::guest_frame::Message as M;
        let Some(message) = pb::GuestFrame::decode(payload)?.message else {
            return Ok(None);
        };
        Ok(Some(match message {
            M::Hello(hello) => Self::Hello(GuestHello {
                protocol_min: hello.protocol_min,
                protocol_max: hello.protocol_max,
                powerunit_version: hello.powerunit_version,
                boot_id: hello.boot_id,
            }),
            M::Stage(stage) => Self::Stage {
                name: stage.name,
                at: Duration::from_millis(stage.at_ms),
            },
            M::Ready(ready) => Self::Ready(Ready {
                config_revision: ready.config_revision,
                ssh_port: port(ready.ssh_port)?,
                login: ready.login,
                host_keys: ready.host_keys,
            }),
            M::ConfigApplied(applied) => Self::ConfigApplied {
                revision: applied.revision,
            },
            M::Failed(failed) => Self::Failed {
                code: failed.code,
                message: failed.message,
            },
            M::Stopping(_) => Self::Stopping,
            M::PoweredOff(off) => Self::PoweredOff {
                kind: off.kind().into(),
            },
            M::Pong(pong) => Self::Pong { n: pong.n },
            M::Log(part) => Self::Log(LogPart {
                offset: part.offset,
                unix_ns: part.unix_ns,
                lane: stream::lane(part.lane)?,
                bytes: part.data,
            }),
            M::Service(status) => Self::Service(status.try_into()?),
            M::Stream(stream) => return stream::output(stream),
            M::Usage(usage) => Self::Usage(Usage {
                sessions: usage.sessions,
                logins: usage.logins,
                busy: Duration::from_millis(usage.busy_ms),
            }),
        }))
    }
}

impl From<PowerOffKind> for pb::PowerOffKind {
    fn from(kind: PowerOffKind) -> Self {
        match kind {
            PowerOffKind::Off => Self::Off,
            PowerOffKind::Reboot => Self::Reboot,
        }
    }
}

impl From<pb::PowerOffKind> for PowerOffKind {
    fn from(kind: pb::PowerOffKind) -> Self {
        match kind {
            pb::PowerOffKind::Reboot => Self::Reboot,
            pb::PowerOffKind::Off | pb::PowerOffKind::Unspecified => Self::Off,
        }
    }
}

impl From<Config> for pb::Config {
    fn from(config: Config) -> Self {
        Self {
            revision: config.revision,
            hostname: config.hostname,
            network: config.network.map(|network| pb::Network {
                address: network.address.to_string(),
                prefix: network.prefix.into(),
                gateway: network
                    .gateway
                    .map(|gateway| gateway.to_string())
                    .unwrap_or_default(),
                resolvers: network.resolvers.iter().map(ToString::to_string).collect(),
                mac: network.mac.map(|mac| mac.octets().to_vec()).unwrap_or_default(),
            }),
            ssh: Some(pb::Ssh {
                port: config.ssh.port.into(),
                host_key: config.ssh.host_key.into_pem(),
                authorized_keys: config.ssh.authorized_keys,
                user_cas: config.ssh.user_cas,
                image_keys: config.ssh.image_keys,
                barred: config.ssh.barred,
            }),
            image: Some(pb::ImageDefaults {
                user: config.image.user,
                env: config.image.env,
                working_dir: config.image.working_dir,
                volumes: config.image.volumes,
            }),
            disks: Some(pb::Disks {
                root: config.disks.root.to_string(),
                root_devices: config.disks.root_devices.iter().map(Disk::to_string).collect(),
                upper: config.disks.upper.to_string(),
                modules: config
                    .disks
                    .modules
                    .as_ref()
                    .map(Disk::to_string)
                    .unwrap_or_default(),
            }),
            service: config.service.map(pb::Service::from),
            usage_every_s: config
                .usage_every
                .map(|every| u32::try_from(every.as_secs()).unwrap_or(u32::MAX))
                .unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::Config> for Config {
    type Error = FrameError;

    fn try_from(config: pb::Config) -> Result<Self, FrameError> {
        let ssh = config.ssh.ok_or(FrameError::Missing("ssh"))?;
        let image = config.image.unwrap_or_default();
        let disks = config.disks.ok_or(FrameError::Missing("disks"))?;
        Ok(Self {
            revision: config.revision,
            hostname: config.hostname,
            network: config.network.map(Network::try_from).transpose()?,
            ssh: Ssh {
                port: port(ssh.port)?,
                host_key: HostKey::from_pem(ssh.host_key),
                authorized_keys: ssh.authorized_keys,
                user_cas: ssh.user_cas,
                image_keys: ssh.image_keys,
                barred: ssh.barred,
            },
            image: ImageDefaults {
                user: image.user,
                env: image.env,
                working_dir: image.working_dir,
                volumes: image.volumes,
            },
            disks: Disks {
                root: disks.root.parse()?,
                root_devices: disks
                    .root_devices
                    .iter()
                    .map(|disk| disk.parse())
                    .collect::<Result<_, _>>()?,
                upper: disks.upper.parse()?,
                modules: match disks.modules.as_str() {
                    "" => None,
                    disk => Some(disk.parse()?),
                },
            },
            service: config.service.map(Service::try_from).transpose()?,
            usage_every: match config.usage_every_s {
                0 => None,
                seconds => Some(Duration::from_secs(seconds.into())),
            },
        })
    }
}

impl TryFrom<pb::Network> for Network {
    type Error = FrameError;

    fn try_from(network: pb::Network) -> Result<Self, FrameError> {
        let prefix = u8::try_from(network.prefix).ok().filter(|bits| *bits <= 32);
        let mac = match network.mac.as_slice() {
            [] => None,
            bytes => Some(model::MacAddr::new(
                bytes.try_into().map_err(|_| FrameError::Mac(bytes.len()))?,
            )),
        };
        Ok(Self {
            address: address(&network.address)?,
            prefix: prefix.ok_or(FrameError::Prefix(network.prefix))?,
            gateway: match network.gateway.as_str() {
                "" => None,
                gateway => Some(address(gateway)?),
            },
            resolvers: network
                .resolvers
                .iter()
                .map(|text| address(text))
                .collect::<Result<_, _>>()?,
            mac,
        })
    }
}

fn address<A: std::str::FromStr>(text: &str) -> Result<A, FrameError> {
    text.parse().map_err(|_| FrameError::Address(text.to_owned()))
}

fn port(number: u32) -> Result<u16, FrameError> {
    match number {
        0 => Ok(Ssh::DEFAULT_PORT),
        _ => u16::try_from(number).map_err(|_| FrameError::Port(number)),
    }
}
