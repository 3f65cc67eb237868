//! The start of a machine: folder, sockets, process, record.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use super::command_line::{self, Environment, command_line};
use super::{CONTROL, MONITOR, QemuVmm};
use crate::folder::Folder;
use crate::launch::{self, Launch};
use crate::process::{self, Process};
use crate::{Accelerator, DriverError, MachineSpec};

impl QemuVmm {
    pub(super) fn execute(
        &self,
        spec: &MachineSpec,
        folder: &Folder,
        accelerator: Accelerator,
        tsc_khz: u64,
    ) -> Result<Process, DriverError> {
        let refused = |source| DriverError::Spec { id: spec.id, source };
        command_line::check(spec).map_err(refused)?;
        folder.check_socket(MONITOR).map_err(refused)?;
        folder.create()?;
        let sockets = [listen(folder.file(MONITOR))?, listen(folder.file(CONTROL))?];
        let [monitor, control] = launch::numbers(&sockets);
        let console = folder.console();
        let environment = Environment {
            accelerator,
            console: &console,
            monitor,
            control,
            tsc_khz,
        };
        let mut command = Command::new(&self.config.binary);
        command.args(command_line(spec, &environment));
        let launch = Launch {
            keep: sockets.map(Into::into).into(),
            ..Launch::new(command, folder.vmm_log())
        };
        launch.record_in(folder)
    }
}

/// The console that a process was told to write, if it is a VMM of this driver.
pub(super) fn console_of(pid: u32) -> Option<PathBuf> {
    process::arguments(pid).iter().find_map(|argument| {
        let path = argument
            .strip_prefix(b"file,id=con,path=")?
            .strip_suffix(b",append=on")?;
        Some(std::str::from_utf8(path).ok()?.replace(",,", ",").into())
    })
}

fn listen(path: PathBuf) -> Result<UnixListener, DriverError> {
    UnixListener::bind(&path).map_err(|source| DriverError::Folder {
        operation: "listen on",
        path,
        source,
    })
}
