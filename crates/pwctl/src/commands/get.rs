use api::{Service, Vm};
use clap::Args;
use jiff::Timestamp;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::ssh::quoted;
use crate::table::{age, or_dash, pairs, size};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pwctl get web
  pwctl get web -o yaml")]
pub(crate) struct Get {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
}

impl Get {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let vm = connect(global)?.vm_get(&self.vm).await?;
        output.one(&vm, &vm.name, || text(&vm))
    }
}

fn text(vm: &Vm) -> String {
    let mut lines = vec![
        ("name", vm.name.clone()),
        ("id", vm.id.to_string()),
        ("owner", owner(vm)),
        ("status", vm.status.to_string()),
    ];
    if let Some(reason) = &vm.reason {
        lines.push(("reason", format!("{}: {}", reason.code, reason.message)));
        lines.push(("next", reason.hint.clone()));
    }
    if let Some(stage) = &vm.stage {
        lines.push(("stage", stage.what.clone()));
    }
    lines.extend([
        ("image", vm.image.clone()),
        ("digest", or_dash(vm.image_digest.as_ref())),
        ("cpus", vm.cpus.to_string()),
        ("memory", size(vm.memory_bytes)),
        ("disk", size(vm.disk_bytes)),
        ("power", vm.power.clone()),
        ("host", or_dash(vm.host.as_ref())),
        ("address", or_dash(vm.address.as_ref())),
        ("host key", or_dash(vm.host_key.as_ref())),
        ("created", created(vm)),
        ("ssh", or_dash(vm.ssh.as_ref())),
        ("service", service(&vm.service)),
    ]);
    if let Some(command) = &vm.service.command {
        lines.push(("command", words(command)));
    }
    for authority in &vm.user_cas {
        lines.push(("ssh ca", authority.clone()));
    }
    if vm.image_keys {
        lines.push(("image keys", "count".to_owned()));
    }
    if vm.console {
        lines.push(("console", "asked for".to_owned()));
    }
    lines.extend(life(vm));
    pairs(&lines)
}

/// Whose it is, and what one may do with it where that is not all.
fn owner(vm: &Vm) -> String {
    match vm.access.as_deref() {
        None | Some("own") => vm.owner.clone(),
        Some(access) => format!("{}; you may {access} it", vm.owner),
    }
}

/// When it ends by itself.
fn life(vm: &Vm) -> Vec<(&'static str, String)> {
    let idle = vm.idle_after_seconds;
    [
        ("lives until", vm.expires_at.clone()),
        ("removed at", vm.removed_at.clone()),
        (
            "idle after",
            idle.map(|seconds| format!("{seconds} s without use")),
        ),
    ]
    .into_iter()
    .filter_map(|(label, value)| Some((label, value?)))
    .collect()
}

fn created(vm: &Vm) -> String {
    format!(
        "{} ({} ago)",
        vm.created_at,
        age(&vm.created_at, Timestamp::now())
    )
}

/// How the service is, in a line.
fn service(service: &Service) -> String {
    let Some(state) = &service.state else {
        return if service.enabled { "-" } else { "none asked for" }.to_owned();
    };
    let mut text = state.replace('_', " ");
    match (service.exit_code, service.signal) {
        (Some(code), _) => text += &format!(", last exit status {code}"),
        (None, Some(signal)) => text += &format!(", last ended by signal {signal}"),
        (None, None) => {}
    }
    if service.restarts > 0 {
        text += &format!(", started again {} times", service.restarts);
    }
    if let Some(message) = &service.message {
        text += &format!(": {message}");
    }
    text
}

fn words(command: &[String]) -> String {
    command
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_told_in_a_line() {
        let told = |json: serde_json::Value| service(&serde_json::from_value(json).unwrap());
        let none = serde_json::json!({ "enabled": false, "restart": "no", "restarts": 0 });
        assert_eq!(told(none), "none asked for");
        let unknown = serde_json::json!({ "enabled": true, "restart": "no", "restarts": 0 });
        assert_eq!(told(unknown), "-");
        let failing = serde_json::json!({
            "enabled": true, "restart": "always", "state": "backing_off", "exit_code": 7, "restarts": 3
        });
        assert_eq!(
            told(failing),
            "backing off, last exit status 7, started again 3 times"
        );
        let missing = serde_json::json!({
            "enabled": true, "restart": "no", "state": "failed", "restarts": 0, "message": "there is no /x"
        });
        assert_eq!(told(missing), "failed: there is no /x");
    }
}
