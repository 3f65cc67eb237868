//! What is held open for long ends when the right to it is taken away: a share, a membership, a token, the user.

use std::pin::Pin;

use control::{Caller, Control, Operation};
use futures_util::{Stream, StreamExt, stream};
use model::{Problem, VmId};

use crate::flows::Flow;

/// Resolves when the caller may not do this any more, with the reason.
pub(crate) type Withdrawn = Pin<Box<dyn Future<Output = Problem> + Send>>;

/// See [`Control::right_withdrawn`].
pub(crate) fn withdrawn(control: &Control, caller: &Caller, vm: VmId, operation: Operation) -> Withdrawn {
    let (control, caller) = (control.clone(), caller.clone());
    Box::pin(async move { control.right_withdrawn(&caller, Some(vm), operation).await })
}

/// The same, and what keeps the place of what is open, until both are dropped.
pub(crate) fn while_open(flow: Flow, withdrawn: Withdrawn) -> Withdrawn {
    Box::pin(async move {
        let _open = flow;
        withdrawn.await
    })
}

/// The items, until the right to them is taken away; then one more, that says so.
pub(crate) fn while_allowed<T>(
    items: impl Stream<Item = T> + Send,
    withdrawn: Withdrawn,
    last: fn(Problem) -> T,
) -> impl Stream<Item = T> + Send
where
    T: Send,
{
    stream::unfold(Some((Box::pin(items), withdrawn)), move |state| async move {
        let (mut items, mut withdrawn) = state?;
        tokio::select! {
            biased;
            problem = &mut withdrawn => Some((last(problem), None)),
            item = items.next() => item.map(|item| (item, Some((items, withdrawn)))),
        }
    })
}

#[cfg(test)]
mod tests {
    use model::ProblemCode;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn items_come_until_the_right_to_them_is_taken_away() {
        let (take_away, taken) = oneshot::channel::<()>();
        let withdrawn = Box::pin(async {
            let _ = taken.await;
            Problem::new(ProblemCode::NotFound, "gone")
        });
        let endless = stream::repeat("item".to_owned());
        let mut items = Box::pin(while_allowed(endless, withdrawn, |problem| problem.detail));
        assert_eq!(items.next().await.as_deref(), Some("item"));
        take_away.send(()).unwrap();
        assert_eq!(items.next().await.as_deref(), Some("gone"));
        assert_eq!(items.next().await, None);
    }

    #[tokio::test]
    async fn items_that_end_by_themselves_end_as_they_are() {
        let never = Box::pin(std::future::pending());
        let items = while_allowed(stream::iter([1, 2]), never, |_| 0);
        assert_eq!(items.collect::<Vec<_>>().await, [1, 2]);
    }
}
