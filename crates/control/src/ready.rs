//! Whether control can do what it is for, asked by whoever decides where requests go.
//!
//! It is tried, not guessed: a row is written and synced, so a full disk or a database that somebody holds shows at once and
//! not at the next create. What was found holds for a moment, so asking often costs no more than asking once in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{Problem, ProblemCode};
use tokio::sync::Mutex;

use crate::census::HostState;
use crate::{Control, Error};

/// How long what was found holds.
const HOLDS: Duration = Duration::from_secs(1);
/// How long the memory may take. Less than whoever asks is likely to wait.
const STORE_LIMIT: Duration = Duration::from_secs(3);

/// Whether the reconcilers run. They end where the bus is closed, so this tells of that too.
#[derive(Default)]
pub(crate) struct Running(AtomicBool);

impl Running {
    /// They run until this is dropped.
    pub(crate) fn begin(&self) -> impl Drop + '_ {
        self.0.store(true, Ordering::Relaxed);
        Ends(&self.0)
    }

    fn is_running(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What was found last, and when.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), Problem>)>>);

impl Control {
    /// Looks whether creates would be taken: the memory can be written, the reconcilers run, the bus is open and a host
    /// reports.
    ///
    /// # Errors
    /// Something is missing; the problem says what.
    pub async fn ready(&self) -> Result<(), Problem> {
        let mut last = self.inner.readiness.0.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < HOLDS
        {
            return found.clone();
        }
        let found = self.ready_now().await;
        *last = Some((Instant::now(), found.clone()));
        found
    }

    async fn ready_now(&self) -> Result<(), Problem> {
        match tokio::time::timeout(STORE_LIMIT, self.probe_write()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "not ready: the memory cannot be written");
                return Err(unavailable(error.problem.detail).hint(LOG_HINT));
            }
            Err(_) => {
                return Err(unavailable(format!(
                    "the database has taken no change for {} s",
                    STORE_LIMIT.as_secs()
                ))
                .hint("look for a program that holds it open, and at the disk it lies on"));
            }
        }
        if !self.inner.running.is_running() {
            return Err(
                unavailable("the reconcilers do not run, so nothing that is asked reaches a host")
                    .hint("Pitwall is starting or ending; if it stays so, its log says why"),
            );
        }
        self.a_host_reports().await
    }

    /// Writes a row, for no other reason than to see whether that goes.
    async fn probe_write(&self) -> Result<(), Error> {
        let mut write = self.inner.store.write().await?;
        write.probe_put(self.now()).await?;
        Ok(write.commit().await?)
    }

    async fn a_host_reports(&self) -> Result<(), Problem> {
        let hosts = self.host_states().await.map_err(|error| error.problem)?;
        if hosts.contains(&HostState::Reporting) {
            return Ok(());
        }
        let detail = match hosts.len() {
            0 => "no host has reported yet".to_owned(),
            1 => "the only host does not report".to_owned(),
            count => format!("none of {count} hosts reports"),
        };
        Err(unavailable(detail)
            .hint("look at the hosts' orchestrators and at the bus between; pwctl host ls lists them"))
    }

    async fn host_states(&self) -> Result<Vec<HostState>, Error> {
        let hosts = self.inner.store.read().await?.host_list().await?;
        let state = |host| HostState::of(host, self.inner.installation);
        Ok(hosts.iter().map(state).collect())
    }
}

const LOG_HINT: &str =
    "Pitwall's log has the cause; free some space or let go of the database, then look again";

fn unavailable(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::Unavailable, detail)
}
