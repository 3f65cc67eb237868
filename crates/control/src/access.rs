//! Whether somebody may still do what they are doing. What is open for long (a program, a console, a log, events) was
//! allowed when it was opened; whoever holds it open asks here when it is not any more.
//!
//! A commit that takes something away from somebody turns a counter; everything open looks again then, and when its token
//! expires. Between the two nothing is asked, so what is open costs nothing.

use std::time::Duration;

use model::{Problem, ProblemCode, Role, VmId};
use store::Read;

use crate::vm::vm_find;
use crate::{Caller, Control, Error, Operation, VmSelector, chain};

/// Where the clock of the system and that of waiting disagree, as after a suspend, an expiry is met this late.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Control {
    /// Waits until the caller may not do this any more, and says why: the token is revoked or expired, the user disabled
    /// or gone, or the right on the VM taken away. Without a VM only the caller is looked at.
    ///
    /// It resolves at once where that is so already. Where the memory cannot be read, it is taken as so.
    pub async fn right_withdrawn(&self, caller: &Caller, vm: Option<VmId>, operation: Operation) -> Problem {
        let mut rights = self.inner.news.rights();
        loop {
            // Marked as seen before looking, so that a commit between looking and waiting wakes at once.
            rights.borrow_and_update();
            if let Err(error) = self.still_may(caller, vm, operation).await {
                if error.is_fault() {
                    tracing::error!(
                        error = chain(&error),
                        "a right cannot be looked up, so it is taken as withdrawn"
                    );
                }
                return error.problem;
            }
            tokio::select! {
                turned = rights.changed() => if turned.is_err() {
                    return Problem::new(ProblemCode::Unavailable, "the control plane ends");
                },
                () = tokio::time::sleep(self.until_expiry(caller)) => {}
            }
        }
    }

    /// The VM that is meant, if the caller may do this with it.
    ///
    /// # Errors
    /// There is no such VM, or the caller may not.
    pub async fn vm_meant(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        operation: Operation,
    ) -> Result<VmId, Error> {
        let mut read = self.inner.store.read().await?;
        let vm = vm_find(&mut read, caller, selector, operation).await?;
        Ok(vm.asked.id)
    }

    /// Whether the caller may still do this, with the token, the role and the rights of this moment. What is about no
    /// single VM shows what a role may see, so it ends with the role that it began with.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn still_may(
        &self,
        caller: &Caller,
        vm: Option<VmId>,
        operation: Operation,
    ) -> Result<(), Error> {
        let mut read = self.inner.store.read().await?;
        let now = self.caller_now(&mut read, caller).await?;
        match vm {
            Some(vm) => vm_find(&mut read, &now, &VmSelector::Id(vm), operation)
                .await
                .map(drop),
            None if now.role != caller.role => Err(another_role(now.role).into()),
            None => Ok(now.may_ask_for(operation)?),
        }
    }

    /// Refuses a change whose caller may do less by now than when it was asked for: it may have waited long for its
    /// turn, and whoever was shut out meanwhile must not change anything any more.
    ///
    /// # Errors
    /// The token was revoked or has expired, or its user is disabled, gone, or no admin any more.
    pub(crate) async fn may_change_now(
        &self,
        read: &mut Read,
        caller: &Caller,
        operation: Operation,
    ) -> Result<(), Error> {
        let now = self.caller_now(read, caller).await?;
        now.may_ask_for(operation)?;
        match now.role < caller.role {
            true => Err(another_role(now.role).into()),
            false => Ok(()),
        }
    }

    pub(crate) fn until_expiry(&self, caller: &Caller) -> Duration {
        let left = caller.token_expires_at.map(|at| at.duration_since(self.now()));
        let left = left.and_then(|left| Duration::try_from(left).ok());
        left.map_or(LONGEST_WAIT, |left| left.min(LONGEST_WAIT))
    }
}

fn another_role(now: Role) -> Problem {
    Problem::new(
        ProblemCode::Forbidden,
        format!("your role became {now} since this was asked for"),
    )
    .hint("ask again")
}
