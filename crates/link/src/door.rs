//! The handle: who serves which host, and how a call reaches it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{HostId, RegistryCredentials, VmId};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;
use wire::link::{LogRequest, StreamRequest};
use wire::secret::SecretRequest;

use crate::{HostStream, LogReader, LogWriter, SecretAsk, SecretError, Stream};

/// Calls that a host has not looked at yet. A host takes each at once, so more than a few mean that it hangs.
const WAITING: usize = 64;

/// Why a call does not reach its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nobody serves this host now.
    #[error("{0} is not connected")]
    Away(HostId),
    /// The host does not take its calls.
    #[error("{0} does not take its calls")]
    Busy(HostId),
}

/// What a host is asked for, with its end of the conversation.
pub enum Call {
    /// Bytes to and from a VM.
    Stream {
        /// Which VM.
        vm: VmId,
        /// What for.
        request: StreamRequest,
        /// The host's end.
        stream: HostStream,
    },
    /// A VM's log.
    Log {
        /// Which VM.
        vm: VmId,
        /// Which part of it.
        request: LogRequest,
        /// The host's end.
        log: LogWriter,
    },
}

/// A handle on the way to all hosts; clones share it.
#[derive(Clone)]
pub struct Link {
    inner: Arc<InProcess>,
}

#[derive(Default)]
struct InProcess {
    hosts: Mutex<HashMap<HostId, mpsc::Sender<Call>>>,
    secrets: Mutex<Option<mpsc::Sender<SecretAsk>>>,
}

impl Link {
    /// A way inside this process.
    pub fn in_process() -> Self {
        Self {
            inner: Arc::default(),
        }
    }

    /// The calls for a host, from now on. An earlier taker gets no more.
    pub fn serve(&self, host: HostId) -> Calls {
        let (sender, calls) = mpsc::channel(WAITING);
        self.hosts().insert(host, sender);
        Calls(calls)
    }

    /// Opens a byte stream to a VM. Whether the host can do what is asked is told by the stream itself.
    ///
    /// # Errors
    /// The host cannot be reached.
    pub async fn open(&self, host: HostId, vm: VmId, request: StreamRequest) -> Result<Stream, LinkError> {
        let (client, stream) = crate::stream();
        self.call(host, Call::Stream { vm, request, stream })?;
        Ok(client)
    }

    /// Opens a VM's log.
    ///
    /// # Errors
    /// The host cannot be reached.
    pub async fn open_log(
        &self,
        host: HostId,
        vm: VmId,
        request: LogRequest,
    ) -> Result<LogReader, LinkError> {
        let (reader, log) = crate::log();
        self.call(host, Call::Log { vm, request, log })?;
        Ok(reader)
    }

    /// What hosts ask of control, from now on. An earlier taker gets no more.
    pub fn serve_secrets(&self) -> mpsc::Receiver<SecretAsk> {
        let (sender, asks) = mpsc::channel(WAITING);
        *self.secrets() = Some(sender);
        asks
    }

    /// Asks control for a secret, as this host.
    ///
    /// # Errors
    /// Control cannot be reached, or does not give it.
    pub async fn fetch_secret(
        &self,
        host: HostId,
        request: SecretRequest,
    ) -> Result<RegistryCredentials, SecretError> {
        let (answer, answered) = oneshot::channel();
        let ask = SecretAsk {
            host,
            request,
            answer,
        };
        let taker = self.secrets().clone().ok_or(SecretError::Away)?;
        taker.try_send(ask).map_err(|error| match error {
            TrySendError::Full(_) => SecretError::Busy,
            TrySendError::Closed(_) => SecretError::Away,
        })?;
        Ok(answered.await.map_err(|_| SecretError::Away)??)
    }

    fn call(&self, host: HostId, call: Call) -> Result<(), LinkError> {
        let taker = self.hosts().get(&host).cloned();
        let taker = taker.ok_or(LinkError::Away(host))?;
        taker.try_send(call).map_err(|error| match error {
            TrySendError::Full(_) => LinkError::Busy(host),
            TrySendError::Closed(_) => LinkError::Away(host),
        })
    }

    /// A map of whole entries, so a panic elsewhere cannot have left one half-changed.
    fn hosts(&self) -> MutexGuard<'_, HashMap<HostId, mpsc::Sender<Call>>> {
        self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secrets(&self) -> MutexGuard<'_, Option<mpsc::Sender<SecretAsk>>> {
        self.inner.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls for one host.
pub struct Calls(mpsc::Receiver<Call>);

impl Calls {
    /// The next call; `None` once somebody else serves the host, or every handle is gone.
    pub async fn next(&mut self) -> Option<Call> {
        self.0.recv().await
    }
}
