//! Bytes to and from a VM, and its log. Control finds the host and opens the way; what is said on it is between the
//! caller and the VM, and changes nothing of what is asked.

use link::{LinkError, LogReader, Stream};
use model::{Power, Problem, ProblemCode};
use store::Vm;
use wire::link::{LogRequest, StreamRequest};

use crate::vm::vm_find;
use crate::{Caller, Control, Error, Operation, VmSelector};

impl Control {
    /// Opens a byte stream to a VM: a program, files, its console. What the host or the guest cannot do is told by the
    /// stream's end.
    ///
    /// # Errors
    /// There is no such VM, it is asked to be off or to go, or its host is away.
    pub async fn vm_stream(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        request: StreamRequest,
    ) -> Result<Stream, Error> {
        let operation = operation(&request);
        let vm = vm_find(&mut self.inner.store.read().await?, caller, selector, operation).await?;
        is_asked_to_run(&vm)?;
        let id = vm.asked.id;
        tracing::info!(vm.id = %id, token.id = %caller.token, what = kind(&request), "a stream is opened");
        let opened = self.inner.link.open(vm.host, id, request).await;
        let opened = opened.map_err(|error| away(&vm, error));
        let outcome = opened.as_ref().map(drop).map_err(|problem| problem.code);
        self.audit_opened(caller, operation, &id, outcome);
        Ok(opened?)
    }

    /// Opens the log of a VM's service, whether the VM runs or not.
    ///
    /// # Errors
    /// There is no such VM, or its host is away.
    pub async fn vm_log(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        request: LogRequest,
    ) -> Result<LogReader, Error> {
        let vm = vm_find(
            &mut self.inner.store.read().await?,
            caller,
            selector,
            Operation::VmLogs,
        )
        .await?;
        let opened = self.inner.link.open_log(vm.host, vm.asked.id, request).await;
        Ok(opened.map_err(|error| away(&vm, error))?)
    }
}

/// What only the host knows, it tells by itself: whether the VM is up yet, or has just ended.
fn is_asked_to_run(vm: &Vm) -> Result<(), Problem> {
    let name = &vm.asked.body.name;
    if vm.asked.remove {
        let detail = format!("VM {name}: it is being removed");
        return Err(Problem::new(ProblemCode::WrongStatus, detail));
    }
    match vm.asked.body.power {
        Power::On => Ok(()),
        Power::Off => Err(
            Problem::new(ProblemCode::WrongStatus, format!("VM {name}: it is stopped"))
                .hint(format!("start it first: pwctl start {name}")),
        ),
    }
}

const fn operation(request: &StreamRequest) -> Operation {
    match request {
        StreamRequest::Guest(wire::stream::Open::Exec(_)) => Operation::VmExecCreate,
        StreamRequest::Guest(wire::stream::Open::ReadFiles { .. }) => Operation::VmFilesRead,
        StreamRequest::Guest(wire::stream::Open::WriteFiles { .. }) => Operation::VmFilesWrite,
        StreamRequest::Console { .. } => Operation::VmConsole,
    }
}

/// Arguments and paths may hold secrets; a log line only says what kind of stream it is.
const fn kind(request: &StreamRequest) -> &'static str {
    match request {
        StreamRequest::Guest(wire::stream::Open::Exec(_)) => "exec",
        StreamRequest::Guest(wire::stream::Open::ReadFiles { .. }) => "read files",
        StreamRequest::Guest(wire::stream::Open::WriteFiles { .. }) => "write files",
        StreamRequest::Console { .. } => "console",
    }
}

fn away(vm: &Vm, error: LinkError) -> Problem {
    let host = &vm.host_name;
    match error {
        LinkError::Away(_) => Problem::new(
            ProblemCode::Unavailable,
            format!("the VM's host {host} is not connected"),
        )
        .hint("look at the host (pwctl host ls) and at its orchestrator, then try again"),
        LinkError::Busy(_) => Problem::new(
            ProblemCode::Unavailable,
            format!("the VM's host {host} does not answer"),
        )
        .hint("try again in a moment; if it stays so, look at the host's orchestrator"),
    }
}
