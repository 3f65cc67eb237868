use std::path::PathBuf;
use std::slice::from_ref;
use std::time::Duration;

use api::{ByteSize, CreateService, CreateVm, RestartPolicy, Vm};
use clap::Args;

use crate::args::{Global, Waiting};
use crate::connect::connect;
use crate::duration::seconds;
use crate::failure::Failure;
use crate::output::Output;
use crate::registry::Registry;
use crate::ssh_config::{self, After};
use crate::table::or_dash;
use crate::wait::{self, Goal};
use crate::{complete, image, keys};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pwctl create web --image debian:12
  pwctl create db --image oci:./image --cpus 2 --memory 1G --disk 10G --key ~/.ssh/id_ed25519.pub
  pwctl create lab --image debian:12 --ttl 8h --idle-after 30m
  pwctl create cache --image redis:7 --restart always -- redis-server --save ''")]
pub(crate) struct Create {
    /// The VM's name: up to 63 of a-z, 0-9 and -
    name: String,
    /// NAME[:TAG], REGISTRY/NAME[:TAG], NAME@sha256:DIGEST, or oci:DIRECTORY[:TAG] on the server's machine
    #[arg(long, value_name = "REF", add = complete::images())]
    image: String,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    waiting: Waiting,
}

/// The machine, whatever it is for.
#[derive(Debug, Args)]
pub(crate) struct Machine {
    /// Who owns it: a team of yours, for admins anybody [default: you]
    #[arg(long, value_name = "WHO")]
    owner: Option<String>,
    /// Virtual processors [default: 1]
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// Memory, such as 512M [default: 512M]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// Writable disk, such as 2G [default: 2G]
    #[arg(long, value_name = "SIZE")]
    disk: Option<ByteSize>,
    /// Public key that may sign in, to this VM only; repeatable [default: the one that make up made]
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Leave the account's keys out
    #[arg(long)]
    no_user_keys: bool,
    /// Make it although no key opens it
    #[arg(long, conflicts_with = "keys")]
    no_ssh_keys: bool,
    #[command(flatten)]
    registry: Registry,
    /// A label to find it by; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

/// `NAME=VALUE`; the server judges both.
fn label(text: &str) -> Result<(String, String), String> {
    let label = text
        .split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    label.ok_or_else(|| "it is written NAME=VALUE".to_owned())
}

impl Machine {
    /// The wish for one of this name and image.
    pub(crate) async fn wish(&self, name: String, image: &str, global: &Global) -> Result<CreateVm, Failure> {
        let keys = match self.no_ssh_keys {
            true => Vec::new(),
            false => keys::public_lines(&self.keys, &global.state)?,
        };
        Ok(CreateVm {
            name,
            owner: self.owner.clone(),
            image: image::absolute(image)?,
            cpus: self.cpus,
            memory_bytes: self.memory.map(ByteSize::bytes),
            disk_bytes: self.disk.map(ByteSize::bytes),
            keys,
            user_keys: (self.no_user_keys || self.no_ssh_keys).then_some(false),
            no_ssh_keys: self.no_ssh_keys,
            registry_auth: self.registry.auth().await?,
            labels: self.labels.iter().cloned().collect(),
            ..CreateVm::default()
        })
    }
}

/// What is chosen more rarely.
#[derive(Debug, Args)]
struct Options {
    /// Certificate authority whose user certificates open the VM; repeatable
    #[arg(long = "ssh-ca", value_name = "FILE")]
    ssh_cas: Vec<PathBuf>,
    /// Let authorized_keys files that came with the image count
    #[arg(long)]
    image_keys: bool,
    /// Give the VM a console where that costs its boot something (Firecracker)
    #[arg(long)]
    console: bool,
    /// When the command ends: no, on-failure or always [default: on-failure]
    #[arg(long, value_name = "WHEN", conflicts_with = "no_service")]
    restart: Option<RestartPolicy>,
    /// Stop it when it has lived so long, such as 8h; remove it after its grace [default: never]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    ttl: Option<u64>,
    /// Keep it so long after its time to live, from when it is off [default: 72h]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    grace: Option<u64>,
    /// Stop it when nobody used it and it did nothing for so long [default: never]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    idle_after: Option<u64>,
    /// Run no command: a machine to log into
    #[arg(long, conflicts_with = "command")]
    no_service: bool,
    /// What the VM runs, in the place of the image's command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Options {
    fn service(&self) -> Option<CreateService> {
        let asked = CreateService {
            enabled: self.no_service.then_some(false),
            command: Some(self.command.clone()).filter(|command| !command.is_empty()),
            restart: self.restart.map(|policy| policy.to_string()),
        };
        Some(asked).filter(|asked| *asked != CreateService::default())
    }
}

impl Create {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let wish = CreateVm {
            user_cas: keys::lines_of(&self.options.ssh_cas)?,
            image_keys: self.options.image_keys,
            console: self.options.console,
            ttl_seconds: self.options.ttl,
            grace_seconds: self.options.grace,
            idle_after_seconds: self.options.idle_after,
            service: self.options.service(),
            ..self.machine.wish(self.name, &self.image, global).await?
        };
        let client = connect(global)?;
        let vm = client.vm_create(&wish).await?;
        if self.waiting.no_wait {
            ssh_config::renew(global, &client, After::Changed(from_ref(&vm)), output).await;
            return output.one(&vm, &vm.name, || asked_for(&vm));
        }
        let limit = Duration::from_secs(self.waiting.timeout);
        let waited = wait::until(&client, &vm, Goal::Running, limit, output).await;
        // Its address and host key are told when it boots, and it is there whatever came of that.
        let seen = waited.as_ref().ok().and_then(Option::as_ref).unwrap_or(&vm);
        ssh_config::renew(global, &client, After::Changed(from_ref(seen)), output).await;
        let vm = waited?.unwrap_or(vm);
        output.one(&vm, &vm.name, || ready(&vm))
    }
}

fn asked_for(vm: &Vm) -> String {
    format!(
        "{} is asked for and {}; wait for it with: pwctl wait {0}\n",
        vm.name, vm.status
    )
}

fn ready(vm: &Vm) -> String {
    let address = or_dash(vm.address.as_ref());
    format!(
        "{} is {} at {address}; sign in with: pwctl ssh {0}\n",
        vm.name, vm.status
    )
}
