//! Requests that carry an `Idempotency-Key`: done once, and answered the same however often they come.
//!
//! ```text
//!   change_by ─► answered before? ── yes ─► that answer again, if the caller may still ask for it
//!                     │ no
//!                     ▼
//!   the use case ─► commit ─► held open ─► the answer is made ─► answer_keep: answer and change in one commit ─► sent
//! ```
//!
//! The answer is part of the change's own transaction. So the transaction of such a request stays open until its answer
//! is made, which takes no time worth speaking of; there is one writer, so its twin waits for it, and then finds the
//! answer. A request that is refused leaves nothing: its transaction is dropped with it. Use cases know nothing of this.
//!
//! What always holds: a change whose key is kept was made, and one whose key is not kept was not.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use model::{Digest, PrincipalId, Problem, ProblemCode, UserId, VmId};
use store::{Answer, Read};

use crate::account::account_find;
use crate::change::Change;
use crate::create::owner_for;
use crate::vm::vm_find;
use crate::{Caller, Control, Error, Need, Operation, PrincipalSelector, UserSelector};

const MAX_KEY_BYTES: usize = 128;

/// A request that is to be done once. Clones are the same request.
#[derive(Clone)]
pub struct Once(Arc<Inner>);

struct Inner {
    request: OnceRequest,
    progress: Mutex<Progress>,
}

/// What names a request, besides its caller, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceRequest {
    /// The HTTP method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The key that the client drew.
    pub key: String,
    /// The digest of the query and of the body's values.
    pub body: Digest,
}

#[derive(Default)]
struct Progress {
    /// What it is done to, where a right on that was asked for.
    target: Option<String>,
    held: Option<Change>,
    answered: Option<String>,
}

impl Once {
    /// A request with its key.
    ///
    /// # Errors
    /// The key is none.
    pub fn new(request: OnceRequest) -> Result<Self, Problem> {
        let visible = request.key.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || !(1..=MAX_KEY_BYTES).contains(&request.key.len()) {
            return Err(Problem::new(
                ProblemCode::InvalidRequest,
                format!("an Idempotency-Key has 1 to {MAX_KEY_BYTES} visible ASCII characters"),
            )
            .hint("draw a random one for each new request, such as a UUID"));
        }
        Ok(Self(Arc::new(Inner {
            request,
            progress: Mutex::default(),
        })))
    }

    /// The answer that a twin was given while this one waited for its turn.
    pub fn answered(&self) -> Option<String> {
        self.progress().answered.clone()
    }

    /// Lets go of a change that is held: it never was.
    pub fn drop_held(&self) {
        drop(self.progress().held.take());
    }

    /// Notes what the caller's right was asked for.
    pub(crate) fn touches(&self, target: impl ToString) {
        self.progress().target = Some(target.to_string());
    }

    pub(crate) fn hold(&self, change: Change) {
        self.progress().held = Some(change);
    }

    /// Whether a change waits for its answer.
    pub(crate) fn holds(&self) -> bool {
        self.progress().held.is_some()
    }

    /// Whole values are put in and taken out, so a panic elsewhere leaves nothing half done.
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Once").field(&self.0.request).finish()
    }
}

impl PartialEq for Once {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Once {}

impl Control {
    /// The answer that a request was given before, if its caller may still ask for it.
    ///
    /// # Errors
    /// The key was used for another request, or the caller has lost the right.
    pub async fn answer_find(&self, caller: &Caller, operation: Operation) -> Result<Option<String>, Error> {
        match &caller.origin.once {
            Some(once) => {
                answer(
                    &mut self.inner.store.glance().await?,
                    caller,
                    once,
                    operation,
                    self.answered_since(),
                )
                .await
            }
            None => Ok(None),
        }
    }

    /// Makes the change of a request last, together with the answer to it. Without this it never was.
    ///
    /// # Errors
    /// The memory refuses; then nothing was done.
    pub async fn answer_keep(
        &self,
        caller: &Caller,
        operation: Operation,
        answer: String,
    ) -> Result<(), Error> {
        let Some(once) = &caller.origin.once else {
            return Ok(());
        };
        let (held, target) = {
            let mut progress = once.progress();
            (progress.held.take(), progress.target.clone())
        };
        let mut change = match held {
            Some(change) => change,
            // Nothing was to be changed; that is remembered as well.
            None => self.change().await?,
        };
        let kept = once
            .0
            .answer(caller.user, (operation, target), answer, change.now);
        change.answer = Some(kept);
        self.commit_now(change).await
    }

    /// Answers before this do not count any more.
    pub(crate) fn answered_since(&self) -> Timestamp {
        let now = self.now();
        now.checked_sub(self.inner.retention.answers).unwrap_or(now)
    }

    /// Looks in a change that has just begun whether it was made before.
    pub(crate) async fn once_begin(
        &self,
        change: &mut Change,
        caller: &Caller,
        operation: Operation,
    ) -> Result<(), Error> {
        let Some(once) = &caller.origin.once else {
            return Ok(());
        };
        let answered = answer(change, caller, once, operation, self.answered_since()).await?;
        if answered.is_some() {
            once.progress().answered = answered;
            return Err(answered_before().into());
        }
        change.once = Some(once.clone());
        Ok(())
    }
}

impl Inner {
    fn answer(
        &self,
        user: UserId,
        (operation, target): (Operation, Option<String>),
        answer: String,
        at: Timestamp,
    ) -> Answer {
        let request = self.request.clone();
        Answer {
            user,
            method: request.method,
            path: request.path,
            key: request.key,
            body: request.body,
            operation: operation.as_str().to_owned(),
            target,
            answer,
            at,
        }
    }
}

async fn answer(
    read: &mut Read,
    caller: &Caller,
    once: &Once,
    operation: Operation,
    since: Timestamp,
) -> Result<Option<String>, Error> {
    caller.may_ask_for(operation)?;
    let request = &once.0.request;
    let name = (
        request.method.as_str(),
        request.path.as_str(),
        request.key.as_str(),
    );
    let Some(known) = read.answer_fetch(caller.user, name, since).await? else {
        return Ok(None);
    };
    if known.body != request.body {
        return Err(mismatch().into());
    }
    may_still(read, caller, operation, known.target.as_deref()).await?;
    Ok(Some(known.answer))
}

/// Asks again for the right that the request needed when it was done. Scope and role were asked already.
async fn may_still(
    read: &mut Read,
    caller: &Caller,
    operation: Operation,
    target: Option<&str>,
) -> Result<(), Error> {
    // Another generation than `If-Match` named is the work of this very request.
    let mut caller = caller.clone();
    caller.origin.if_generation = None;
    match operation.need() {
        // It took the right away by being done: the VM is somebody else's now.
        Need::Vm(_) if operation == Operation::VmTransfer => {}
        Need::Vm(_) => {
            let vm: Option<VmId> = target.and_then(|target| target.parse().ok());
            if let Some(vm) = vm {
                vm_find(read, &caller, &vm.into(), operation).await?;
            }
        }
        Need::Account => {
            let user: Option<UserId> = target.and_then(|target| target.parse().ok());
            if let Some(user) = user {
                account_find(read, &caller, &UserSelector::Id(user), operation).await?;
            }
        }
        Need::SignedIn if operation == Operation::VmCreate => {
            let owner: Option<PrincipalId> = target.and_then(|target| target.parse().ok());
            owner_for(read, &caller, owner.map(PrincipalSelector::Id).as_ref()).await?;
        }
        // These need no more; no POST is a team's or holder's.
        Need::SignedIn | Need::Admin | Need::Holder | Need::Team(_) => {}
    }
    Ok(())
}

/// Never shown: whoever meets it has the answer.
fn answered_before() -> Problem {
    Problem::new(
        ProblemCode::IdempotencyMismatch,
        "this request was answered before",
    )
}

fn mismatch() -> Problem {
    Problem::new(
        ProblemCode::IdempotencyMismatch,
        "that Idempotency-Key was used for another request",
    )
    .hint("draw a new key for each new request; only the very same one may come again with it")
}
