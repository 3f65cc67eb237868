//! What callers say: typed already, so that only meaning is checked here.

use std::fmt;
use std::str::FromStr;

use model::{
    ByteSize, Feature, HostId, HostName, ImageRef, NameError, PrincipalId, PrincipalName, Problem,
    ProblemCode, PublicKey, RegistryCredentials, VmBody, VmId, VmName, VmOptions,
};

use crate::needs::needs_renew;
use crate::{Labels, LifeWish, labels, secret};

/// What a VM gets where nothing else is said.
pub const DEFAULT_CPUS: u32 = 1;
/// What a VM gets where nothing else is said.
pub const DEFAULT_MEMORY: ByteSize = ByteSize::from_mib(512);
/// What a VM gets where nothing else is said.
pub const DEFAULT_DISK: ByteSize = ByteSize::from_mib(2048);

const MAX_CPUS: u32 = 64;
const MIN_MEMORY: ByteSize = ByteSize::from_mib(64);
const MIN_DISK: ByteSize = ByteSize::from_mib(64);
/// Far beyond any machine; keeps sums of many VMs within 63 bits.
const MAX_SIZE: ByteSize = ByteSize::from_mib(1 << 26);
const MAX_KEYS: usize = 64;
const MAX_USER_CAS: usize = 16;
/// How many words a command has at most, a VM's service or a program asked for.
pub const MAX_COMMAND_WORDS: usize = 1024;
/// Far beyond what people write, and still small in a plan and on the guest's control channel.
const MAX_COMMAND_BYTES: usize = 64 * 1024;

/// A VM to be created.
#[derive(Debug, Clone)]
pub struct CreateVm {
    /// Its name.
    pub name: VmName,
    /// Its image.
    pub image: ImageRef,
    /// Virtual processors; `None` is [`DEFAULT_CPUS`].
    pub cpus: Option<u32>,
    /// Memory; `None` is [`DEFAULT_MEMORY`].
    pub memory: Option<ByteSize>,
    /// Writable disk; `None` is [`DEFAULT_DISK`].
    pub disk: Option<ByteSize>,
    /// Who owns it; `None` is who asks.
    pub owner: Option<PrincipalSelector>,
    /// Who may sign in, besides its people.
    pub keys: Vec<PublicKey>,
    /// Whether the keys of its owner's account open it.
    pub account_keys: bool,
    /// Whether it may be made although no key opens it.
    pub no_ssh_keys: bool,
    /// What its image is pulled with; `None` is as anybody may.
    pub registry_auth: Option<RegistryCredentials>,
    /// What else may be chosen.
    pub options: VmOptions,
    /// Its labels.
    pub labels: Labels,
    /// How long it lives.
    pub life: LifeWish,
}

impl CreateVm {
    /// The wish that this request makes, asked to run for the first time.
    pub(crate) fn into_body(self) -> Result<VmBody, Problem> {
        let cpus = self.cpus.unwrap_or(DEFAULT_CPUS);
        let memory = self.memory.unwrap_or(DEFAULT_MEMORY);
        let disk = self.disk.unwrap_or(DEFAULT_DISK);
        check_size(cpus, memory, disk)?;
        check_keys(&self.keys)?;
        check_options(&self.options)?;
        labels::check(&self.labels)?;
        if let Some(credentials) = &self.registry_auth {
            secret::check(credentials, &self.image)?;
        }
        let idle_after = self.life.checked()?.idle_after;
        let mut body = VmBody {
            name: self.name,
            image: self.image,
            cpus,
            memory,
            disk,
            power: model::Power::On,
            boot: 1,
            rootfs: 1,
            authorized_keys: self.keys,
            needs: [Feature::OCI_IMAGE].into(),
            options: self.options,
            barred: [].into(),
            idle_after,
            registry_secret: None,
        };
        needs_renew(&mut body);
        Ok(body)
    }
}

/// Refuses a size that no VM has.
pub(crate) fn check_size(cpus: u32, memory: ByteSize, disk: ByteSize) -> Result<(), Problem> {
    if !(1..=MAX_CPUS).contains(&cpus) {
        return Err(invalid(
            "/cpus",
            format!("a VM has 1 to {MAX_CPUS} processors, not {cpus}"),
        ));
    }
    in_range("/memory_bytes", "memory", memory, MIN_MEMORY)?;
    in_range("/disk_bytes", "disk", disk, MIN_DISK)
}

fn in_range(pointer: &str, what: &str, size: ByteSize, least: ByteSize) -> Result<(), Problem> {
    if size < least {
        return Err(invalid(pointer, format!("{size} of {what} is too little"))
            .hint(format!("give at least {least}")));
    }
    if size > MAX_SIZE {
        return Err(invalid(pointer, format!("{size} of {what} is too much"))
            .hint(format!("give at most {MAX_SIZE}")));
    }
    Ok(())
}

pub(crate) fn check_keys(keys: &[PublicKey]) -> Result<(), Problem> {
    if keys.len() > MAX_KEYS {
        return Err(invalid(
            "/keys",
            format!("{} keys are too many; a VM takes up to {MAX_KEYS}", keys.len()),
        ));
    }
    Ok(())
}

pub(crate) fn check_options(options: &VmOptions) -> Result<(), Problem> {
    if options.user_cas.len() > MAX_USER_CAS {
        return Err(invalid(
            "/user_cas",
            format!(
                "{} authorities are too many; a VM takes up to {MAX_USER_CAS}",
                options.user_cas.len()
            ),
        ));
    }
    options.service.command.as_deref().map_or(Ok(()), check_command)
}

fn check_command(command: &[String]) -> Result<(), Problem> {
    let pointer = "/service/command";
    if command.is_empty() {
        return Err(invalid(pointer, "a command has at least one word")
            .hint("leave it out for the image's own, or set enabled to false for none"));
    }
    if command.len() > MAX_COMMAND_WORDS {
        return Err(invalid(
            pointer,
            format!("a command has at most {MAX_COMMAND_WORDS} words"),
        ));
    }
    if command.iter().any(|word| word.contains('\0')) {
        return Err(invalid(pointer, "a word of a command holds no NUL character"));
    }
    if command.iter().map(|word| word.len() + 1).sum::<usize>() > MAX_COMMAND_BYTES {
        return Err(invalid(
            pointer,
            format!("a command has at most {MAX_COMMAND_BYTES} bytes"),
        ));
    }
    Ok(())
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::InvalidValue, detail).at(pointer)
}

/// Which VM is meant. A name means the VM that has it; one that is being removed has it only while no other took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmSelector {
    /// By id.
    Id(VmId),
    /// By name: the caller's own, or the one that the caller may use.
    Name(VmName),
    /// By name and owner: `NAME.OWNER`.
    Owned(VmName, PrincipalName),
}

impl fmt::Display for VmSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Owned(name, owner) => write!(f, "{name}.{owner}"),
        }
    }
}

impl FromStr for VmSelector {
    type Err = Problem;

    /// An id is never a valid name, and a name holds no dot, so the text decides.
    fn from_str(text: &str) -> Result<Self, Problem> {
        if let Ok(id) = text.parse::<VmId>() {
            return Ok(Self::Id(id));
        }
        let parsed = match text.split_once('.') {
            Some((name, owner)) => name
                .parse()
                .and_then(|name| Ok(Self::Owned(name, owner.parse()?))),
            None => text.parse().map(Self::Name),
        };
        parsed.map_err(|_: NameError| no_selector("VM", text))
    }
}

impl From<VmId> for VmSelector {
    fn from(id: VmId) -> Self {
        Self::Id(id)
    }
}

impl From<VmName> for VmSelector {
    fn from(name: VmName) -> Self {
        Self::Name(name)
    }
}

fn no_selector(what: &str, text: &str) -> Problem {
    Problem::new(
        ProblemCode::NotFound,
        format!("there is no {what} {text:?}: that is neither an id nor a name"),
    )
}

/// Which host is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostSelector {
    /// By id.
    Id(HostId),
    /// By name; refused where two hosts share it.
    Name(HostName),
}

/// Which user or team is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalSelector {
    /// By id.
    Id(PrincipalId),
    /// By name.
    Name(PrincipalName),
}

macro_rules! selectors {
    ($($name:ident, $id:ty, $label:ty, $what:literal;)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Id(id) => id.fmt(f),
                    Self::Name(name) => name.fmt(f),
                }
            }
        }

        impl FromStr for $name {
            type Err = Problem;

            /// An id is never a valid name, so the text decides.
            fn from_str(text: &str) -> Result<Self, Problem> {
                if let Ok(id) = text.parse::<$id>() {
                    return Ok(Self::Id(id));
                }
                text.parse::<$label>().map(Self::Name).map_err(|_| no_selector($what, text))
            }
        }

        impl From<$id> for $name {
            fn from(id: $id) -> Self {
                Self::Id(id)
            }
        }

        impl From<$label> for $name {
            fn from(name: $label) -> Self {
                Self::Name(name)
            }
        }
    )*};
}

selectors! {
    HostSelector, HostId, HostName, "host";
    PrincipalSelector, PrincipalId, PrincipalName, "user or team";
}
