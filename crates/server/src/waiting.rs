//! Programs that were asked for and wait for their caller to attach.
//!
//! They wait in the memory of this process, for seconds: whoever restarts it asks again. Each belongs to one token and
//! one VM and is given out once. Their number is bounded, for all and for each user, so that asking without attaching costs
//! nothing for long and keeps nobody else out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use control::Caller;
use control::stream::Exec;
use jiff::Timestamp;
use model::{ExecId, Problem, ProblemCode, TokenId, UserId, VmId};

/// How long a program waits. A client attaches at once; docs/streams.md and the contract name this time.
const WAIT: Duration = Duration::from_secs(30);
/// How many wait at most: 64 KiB each at the very most, so 16 MiB.
const MOST: usize = 256;
/// How many of them one user's: more than anybody begins at once by hand.
const MOST_OF_USER: usize = 16;

/// A handle on those that wait; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Execs(Arc<Mutex<HashMap<ExecId, Waiting>>>);

struct Waiting {
    user: UserId,
    token: TokenId,
    vm: VmId,
    exec: Exec,
    until: Instant,
}

impl Waiting {
    fn is_for(&self, token: TokenId, vm: VmId) -> bool {
        self.token == token && self.vm == vm && Instant::now() < self.until
    }
}

impl Execs {
    /// Lets a program wait; gives its id and when it is forgotten.
    ///
    /// # Errors
    /// Too many wait already, or there is no randomness.
    pub(crate) fn put(&self, caller: &Caller, vm: VmId, exec: Exec) -> Result<(ExecId, Timestamp), Problem> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| no_randomness())?;
        let id = ExecId::from_random(bytes);
        let now = Instant::now();
        let mut waiting = self.lock();
        waiting.retain(|_, waiting| now < waiting.until);
        if waiting.len() >= MOST {
            return Err(too_many(&format!(
                "{MOST} programs wait for their callers already"
            )));
        }
        let of_user = waiting.values().filter(|waiting| waiting.user == caller.user);
        if of_user.count() >= MOST_OF_USER {
            return Err(too_many(&format!("{MOST_OF_USER} programs wait for you already")));
        }
        let until = now + WAIT;
        waiting.insert(
            id,
            Waiting {
                user: caller.user,
                token: caller.token,
                vm,
                exec,
                until,
            },
        );
        Ok((id, Timestamp::now() + WAIT))
    }

    /// Whether this program waits for this caller.
    pub(crate) fn holds(&self, id: ExecId, token: TokenId, vm: VmId) -> bool {
        self.lock()
            .get(&id)
            .is_some_and(|waiting| waiting.is_for(token, vm))
    }

    /// Gives the program out, once.
    pub(crate) fn take(&self, id: ExecId, token: TokenId, vm: VmId) -> Option<Exec> {
        let mut waiting = self.lock();
        let is_theirs = waiting.get(&id).is_some_and(|waiting| waiting.is_for(token, vm));
        is_theirs
            .then(|| waiting.remove(&id))?
            .map(|waiting| waiting.exec)
    }

    /// A map of whole entries, so a panic elsewhere cannot have left one half-changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<ExecId, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(detail: &str) -> Problem {
    Problem::new(ProblemCode::Busy, detail)
        .hint("attach to what was asked for, or try again in half a minute")
}

fn no_randomness() -> Problem {
    Problem::new(ProblemCode::Internal, "this machine gives no random numbers")
        .hint("look at the machine that Pitwall runs on")
}

#[cfg(test)]
mod tests {
    use control::Origin;
    use model::{Role, Scope};

    use super::*;

    fn caller(number: u8) -> Caller {
        Caller {
            user: UserId::from_random([number; 16]),
            name: "somebody".parse().unwrap(),
            role: Role::Member,
            token: TokenId::from_random([number; 16]),
            scopes: Scope::of_role(Role::Member),
            token_expires_at: None,
            origin: Origin::default(),
        }
    }

    #[test]
    fn each_is_given_out_once_and_only_to_whom_asked() {
        let execs = Execs::default();
        let (caller, vm) = (caller(1), VmId::from_random([2; 16]));
        let token = caller.token;
        let (id, _) = execs.put(&caller, vm, Exec::default()).unwrap();
        assert!(!execs.holds(id, TokenId::from_random([3; 16]), vm));
        assert!(execs.take(id, token, VmId::from_random([3; 16])).is_none());
        assert!(execs.holds(id, token, vm));
        assert!(execs.take(id, token, vm).is_some());
        assert!(execs.take(id, token, vm).is_none());
    }

    #[test]
    fn those_nobody_attaches_to_are_bounded() {
        let execs = Execs::default();
        let vm = VmId::from_random([2; 16]);
        let put = |number| execs.put(&caller(number), vm, Exec::default());
        let refused = |number| put(number).unwrap_err();
        for number in 0..16 {
            for _ in 0..MOST_OF_USER {
                put(number).unwrap();
            }
            if number == 0 {
                assert_eq!(refused(number).code, ProblemCode::Busy, "one user's share");
            }
        }
        let full = refused(16);
        assert_eq!(full.code, ProblemCode::Busy);
        assert!(full.detail.contains(&MOST.to_string()), "{full:?}");
        execs
            .lock()
            .values_mut()
            .for_each(|waiting| waiting.until = Instant::now());
        let (id, _) = put(0).unwrap();
        assert_eq!(execs.lock().len(), 1, "the forgotten ones have gone");
        assert!(execs.holds(id, caller(0).token, vm));
    }
}
