//! Calls by `link`: a stream into a guest, a console, a log, each in a task of its own.

use std::sync::Arc;

use driver::{Consoles, Driver, DriverError};
use link::{Call, HostStream};
use model::VmId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::link::StreamRequest;
use wire::stream::{End, Failure, FailureCode, Input, Lane, Output, WINDOW};

use crate::guest::GuestDoor;
use crate::log::{self, LogSource};

/// How a call reaches a VM of this host.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// Its guest.
    pub(crate) door: GuestDoor,
    /// Its log.
    pub(crate) log: LogSource,
}

/// Answers a call to its end. `reach` leads to the VM; `None` where this host has no such VM.
pub(crate) async fn answer(call: Call, reach: Option<Reach>, driver: Arc<dyn Driver>) {
    match (call, reach) {
        (Call::Stream { vm, request, stream }, Some(reach)) => match request {
            StreamRequest::Guest(open) => reach.door.open(open, stream).await,
            StreamRequest::Console { interactive } => {
                let _using = reach.door.activity.begin();
                console(driver.as_ref(), vm, interactive, stream).await;
            }
        },
        (Call::Log { request, log, .. }, Some(reach)) => log::serve(reach.log, request, log).await,
        (Call::Stream { stream, .. }, None) => stream.writer.end(unknown()),
        (Call::Log { log, .. }, None) => log.end(unknown()).await,
    }
}

fn unknown() -> End {
    End::Failed(Failure {
        code: FailureCode::NotFound,
        message: "the host has no such VM".to_owned(),
    })
}

/// Carries a console to and fro until the VM ends, somebody else takes the console, or the client goes.
async fn console(driver: &dyn Driver, vm: VmId, interactive: bool, stream: HostStream) {
    let channel = match driver.console(vm).await {
        Ok(channel) => channel,
        Err(error) => {
            let (code, message) = no_console(&error, driver.capabilities().abilities.console);
            tracing::info!(vm.id = %vm, error = &error as &dyn std::error::Error, "no console");
            return stream.refuse(code, message);
        }
    };
    let HostStream { writer, mut reader } = stream;
    let (mut screen, mut keyboard) = tokio::io::split(channel);
    let mut buffer = vec![0; 4096];
    let mut typed = Vec::new();
    let mut room = WINDOW;
    loop {
        let most = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        tokio::select! {
            input = reader.next() => match input {
                Some(Input::Data(bytes)) if interactive => typed.extend(bytes),
                Some(Input::Data(bytes)) => give_back(&writer, bytes.len()),
                Some(Input::Credit(count)) => room = room.saturating_add(count).min(WINDOW),
                Some(Input::End | Input::Resize(_) | Input::Signal(_)) => {}
                Some(Input::Close) | None => break,
            },
            count = screen.read(buffer.get_mut(..most).unwrap_or_default()), if most > 0 => {
                let Ok(count @ 1..) = count else { break };
                let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                room -= u32::try_from(count).unwrap_or(room);
                // There is room, so it is not refused.
                let _ = writer.put(Output::Data { lane: Lane::Stdout, bytes });
            }
            count = keyboard.write(&typed), if !typed.is_empty() => {
                let Ok(count @ 1..) = count else { break };
                typed.drain(..count);
                give_back(&writer, count);
            }
        }
    }
    writer.end(End::Done);
}

/// What was typed has been used.
fn give_back(writer: &link::HostWriter, count: usize) {
    // Credit takes no room.
    let _ = writer.put(Output::Credit(u32::try_from(count).unwrap_or(u32::MAX)));
}

fn no_console(error: &DriverError, consoles: Consoles) -> (FailureCode, &'static str) {
    if matches!(error, DriverError::NotRunning(_)) {
        return (FailureCode::NotRunning, "the VM does not run");
    }
    if !matches!(error, DriverError::NoConsole(_)) {
        return (
            FailureCode::Failed,
            "the host cannot open the VM's console; its own log tells why",
        );
    }
    let message = match consoles {
        Consoles::OnRequest => "the VM has no console: create it with --console",
        Consoles::Always => "the VM was started by an older Pitwall: it has a console after its next start",
        Consoles::None => "the VM has no console",
    };
    (FailureCode::Unsupported, message)
}
