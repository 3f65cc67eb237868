//! The VMs of a test's host: made, signed in to, and what of them is on the host.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::env::{Host, PATIENCE, debian, field, processes, quote, text, until};

impl Host {
    /// The VM as the API shows it.
    pub(crate) fn get(&self, vm: &str) -> Value {
        serde_json::from_str(&self.pwctl_ok(&["get", vm, "--json"])).unwrap()
    }

    pub(crate) fn status(&self, vm: &str) -> String {
        field(&self.get(vm), "status")
    }

    pub(crate) fn wait_for_status(&self, vm: &str, status: &str) -> Value {
        until(&format!("{vm} is {status}"), PATIENCE, || {
            let seen = self.get(vm);
            (field(&seen, "status") == status).then_some(seen)
        })
    }

    /// A VM of the small Debian image, waited for.
    pub(crate) fn create_debian(&self, name: &str) {
        self.pwctl_ok(&[
            "create",
            name,
            "--image",
            &debian(),
            "--memory",
            "256M",
            "--disk",
            "512M",
        ]);
    }

    /// The line that people paste, with a command behind it.
    pub(crate) fn ssh(&self, vm: &str, command: &str) -> Output {
        let line = self.pwctl_ok(&["ssh-command", vm]);
        self.command("bash")
            .args(["-c", &format!("exec {} {}", line.trim(), quote(command))])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The same, that must succeed; gives its standard output.
    pub(crate) fn ssh_ok(&self, vm: &str, command: &str) -> String {
        let output = self.ssh(vm, command);
        assert!(
            output.status.success(),
            "ssh {vm} {command}: {}\n{}",
            text(&output),
            self.log_tail()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The process id of a VM's VMM.
    pub(crate) fn vmm(&self, vm: &str) -> i32 {
        let id = field(&self.get(vm), "id");
        let found = self
            .vmms()
            .into_iter()
            .find(|pid| command_line(*pid).is_some_and(|line| line.contains(&id)));
        found.unwrap_or_else(|| panic!("{vm} has no VMM"))
    }

    /// The VMMs of this host: processes whose command line names a disk of its, or one of its jails.
    pub(crate) fn vmms(&self) -> Vec<i32> {
        let directory = self.state().display().to_string();
        let jails = fs::read_dir(self.state().join("jails/firecracker"))
            .into_iter()
            .flatten();
        let jails: Vec<_> = jails
            .map(|jail| format!("--id {} ", jail.unwrap().file_name().display()))
            .collect();
        let ours = |line: &str| {
            (line.contains("qemu") && line.contains(&directory))
                || jails.iter().any(|jail| line.contains(jail))
        };
        processes()
            .filter(|pid| command_line(*pid).is_some_and(|line| ours(&line)))
            .collect()
    }

    /// The folders of VMs in the host's memory.
    pub(crate) fn vm_folders(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.state().join("host/vms")) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Asserts that nothing of any VM is left on the host.
    pub(crate) fn assert_no_vm_left(&self) {
        assert_eq!(self.vmms(), Vec::<i32>::new(), "processes");
        assert_eq!(self.links(), ["pwbr0"], "interfaces");
        assert!(!self.ruleset().contains("pw-0-"), "rules: {}", self.ruleset());
        assert_eq!(self.vm_folders(), Vec::<PathBuf>::new(), "folders");
        let runtime = self.run_directory().join("vms");
        let left: Vec<_> = fs::read_dir(&runtime)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "run-time folders");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let ours = self.directory().display().to_string();
        let ours: Vec<_> = mounts
            .lines()
            .filter(|line| line.contains(&ours) && !line.contains("/state "))
            .collect();
        assert_eq!(ours, Vec::<&str>::new(), "mounts");
        let leases = fs::read_to_string(self.state().join("host/leases.json")).unwrap_or_default();
        assert!(!leases.contains("vm_"), "leases: {leases}");
    }
}

fn command_line(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}
