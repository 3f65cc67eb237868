//! Status changes, told to whoever listens at the moment and kept for nobody.

use std::sync::{Arc, Mutex};

use model::{Status, VmId};
use tokio::sync::broadcast;

use crate::{BusError, locked, topic};

/// Messages a slow listener may be behind before it misses the oldest.
const BEHIND: usize = 1024;

/// One change of a VM's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusMessage {
    /// The VM.
    pub vm: VmId,
    /// Its new status.
    pub status: Status,
    /// What the sender adds.
    pub bytes: Arc<[u8]>,
}

impl StatusMessage {
    /// The name under which a broker carries it.
    pub fn topic(&self) -> String {
        topic::status(self.status)
    }
}

/// Where changes are told; `None` once closed.
pub(crate) struct Board(Mutex<Option<broadcast::Sender<StatusMessage>>>);

impl Default for Board {
    fn default() -> Self {
        Self(Mutex::new(Some(broadcast::Sender::new(BEHIND))))
    }
}

impl Board {
    pub(crate) fn publish(&self, vm: VmId, status: Status, bytes: Vec<u8>) -> Result<(), BusError> {
        let board = locked(&self.0);
        let sender = board.as_ref().ok_or(BusError::Closed {
            operation: "publish a status",
        })?;
        // An error says that nobody listens, which is no failure.
        drop(sender.send(StatusMessage {
            vm,
            status,
            bytes: bytes.into(),
        }));
        Ok(())
    }

    pub(crate) fn subscribe(&self) -> Statuses {
        let receiver = match locked(&self.0).as_ref() {
            Some(sender) => sender.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        };
        Statuses { receiver }
    }

    pub(crate) fn close(&self) {
        *locked(&self.0) = None;
    }
}

/// A listener.
pub struct Statuses {
    receiver: broadcast::Receiver<StatusMessage>,
}

impl Statuses {
    /// Waits for the next change. Safe to drop while it waits.
    ///
    /// # Errors
    /// The bus is closed.
    pub async fn next(&mut self) -> Result<StatusMessage, BusError> {
        loop {
            match self.receiver.recv().await {
                Ok(message) => return Ok(message),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(BusError::Closed {
                        operation: "wait for a status",
                    });
                }
            }
        }
    }
}
