//! The start of a machine: folder, sockets, process, record, and the first answer of its monitor. Whatever fails, what
//! was made before is taken away again.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::command_line::{self, Environment, command_line};
use super::console;
use super::folder::Folder;
use super::keeper::{Keeper, State};
use super::process::{self, Process};
use super::{Qemu, START_LIMIT};
use crate::{Accelerator, DriverError, MachineSpec};

impl Qemu {
    /// Starts the VMM and waits until it answers.
    pub(super) async fn start(
        &self,
        spec: &MachineSpec,
        slot: &mut Option<Keeper>,
    ) -> Result<(), DriverError> {
        let verdict = self.verdict().await?;
        let tsc_khz = self.tsc.khz().await;
        let folder = self.folder(spec.id);
        let launched = self.launch(spec, &folder, verdict.accelerator, tsc_khz);
        let process = launched.inspect_err(|_| clean_up(&folder))?;
        let keeper = slot.insert(Keeper::take(process, folder.clone()));
        let mut state = keeper.state();
        let answered = state.wait_for(|state| *state != State::Starting);
        let failure = match tokio::time::timeout(START_LIMIT, answered).await {
            Ok(Ok(state)) => match &*state {
                State::Starting | State::Running => return Ok(()),
                // It was so quick that it has come and gone.
                State::Ended(exit) if exit.wish.is_some() => return Ok(()),
                State::Ended(exit) => DriverError::DidNotStart {
                    id: spec.id,
                    exit: exit.clone(),
                    said: console::vmm_tail(&folder),
                },
            },
            Ok(Err(_)) | Err(_) => DriverError::DidNotAnswer {
                id: spec.id,
                limit: START_LIMIT,
            },
        };
        keeper.end(Duration::ZERO).await?;
        *slot = None;
        clean_up(&folder);
        Err(failure)
    }

    fn launch(
        &self,
        spec: &MachineSpec,
        folder: &Folder,
        accelerator: Accelerator,
        tsc_khz: u64,
    ) -> Result<Process, DriverError> {
        let refused = |source| DriverError::Spec { id: spec.id, source };
        command_line::check(spec).map_err(refused)?;
        folder.check().map_err(refused)?;
        folder.create()?;
        let sockets = [listen(folder.monitor())?, listen(folder.control())?];
        let [monitor, control] = process::numbers(&sockets);
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
        let process =
            Process::spawn(command, &folder.vmm_log(), sockets).map_err(|source| DriverError::Execute {
                binary: self.config.binary.clone(),
                source,
            })?;
        let recorded = process.record().and_then(|record| folder.write_record(record));
        if let Err(error) = recorded {
            process.kill()?;
            return Err(error);
        }
        Ok(process)
    }
}

fn listen(path: PathBuf) -> Result<UnixListener, DriverError> {
    UnixListener::bind(&path).map_err(|source| DriverError::Folder {
        operation: "listen on",
        path,
        source,
    })
}

fn clean_up(folder: &Folder) {
    if let Err(error) = folder.remove() {
        tracing::warn!(vm.id = %folder.id, %error, "the folder of a machine that did not start is still there");
    }
}
