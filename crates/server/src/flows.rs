//! What is held open for long, counted per user: events, logs that are followed, waits, programs, consoles.
//!
//! Connections are bounded for all together and per address; this keeps one user, from however many addresses, from
//! holding all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Problem, ProblemCode, UserId};

/// A handle on what is open; clones share it.
#[derive(Clone)]
pub(crate) struct Flows {
    open: Arc<Mutex<HashMap<UserId, usize>>>,
    most: usize,
}

/// One that is open. Dropped, it makes room for another.
pub(crate) struct Flow {
    user: UserId,
    flows: Flows,
}

impl Flows {
    /// So many for each user.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            open: Arc::default(),
            most,
        }
    }

    /// Opens one.
    ///
    /// # Errors
    /// The user has too many open.
    pub(crate) fn open(&self, user: UserId) -> Result<Flow, Problem> {
        let mut open = self.lock();
        let count = open.entry(user).or_default();
        if *count >= self.most {
            return Err(too_many(self.most));
        }
        *count += 1;
        let flows = self.clone();
        Ok(Flow { user, flows })
    }

    /// A map of whole numbers, so a panic elsewhere cannot have left one half-changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let mut open = self.flows.lock();
        if let Some(count) = open.get_mut(&self.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}

fn too_many(most: usize) -> Problem {
    Problem::new(
        ProblemCode::Busy,
        format!("you hold {most} event flows, logs, waits and sessions open already"),
    )
    .hint("end one of them; one flow of events (GET /v1/events) tells of all your VMs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_so_many_and_an_end_makes_room() {
        let flows = Flows::new(2);
        let (ann, bob) = (UserId::from_random([1; 16]), UserId::from_random([2; 16]));
        let first = flows.open(ann).unwrap();
        let _second = flows.open(ann).unwrap();
        let refused = flows.open(ann).err().map(|problem| problem.code);
        assert_eq!(refused, Some(ProblemCode::Busy));
        let of_bob = flows.open(bob).unwrap();
        drop(first);
        let _third = flows.open(ann).unwrap();
        drop(of_bob);
        assert_eq!(flows.lock().len(), 1, "who has none open is forgotten");
    }
}
