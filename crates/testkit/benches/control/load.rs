//! Requests at planned moments, over so many connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use testkit::Fault;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Arrivals of a Poisson process from now on: the times between them are exponential, from numbers that are the same in
/// each run.
pub(crate) struct Arrivals {
    numbers: Numbers,
    next: Instant,
    mean: f64,
}

impl Arrivals {
    pub(crate) fn per_second(rate: f64) -> Self {
        Self {
            numbers: Numbers(7),
            next: Instant::now(),
            mean: 1.0 / rate,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        let pause = -self.mean * self.numbers.fraction().ln();
        self.next += Duration::from_secs_f64(pause);
        Some(self.next)
    }
}

/// Numbers that look random (SplitMix64, Steele, Lea and Flood, 2014).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0 and at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// What became of a request.
pub(crate) struct Answer<T> {
    /// From the moment it was planned for.
    pub(crate) took: Duration,
    pub(crate) given: T,
}

/// Makes each request at its moment, or as soon as one of the connections is free. `ask` is called with the connection
/// and the number of the request.
///
/// # Errors
/// The first that a request met; all that are under way are then dropped.
pub(crate) async fn run<C, T, F>(
    connections: Vec<C>,
    planned: impl IntoIterator<Item = Instant>,
    ask: impl Fn(C, usize) -> F + Clone + Send + 'static,
) -> Result<Vec<Answer<T>>, Fault>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send,
{
    let (plan, due) = mpsc::unbounded_channel::<(usize, Instant)>();
    let due = Arc::new(tokio::sync::Mutex::new(due));
    let answers = Arc::new(Mutex::new(Vec::new()));
    let mut workers = JoinSet::new();
    for connection in connections {
        let (due, ask, answers) = (due.clone(), ask.clone(), answers.clone());
        workers.spawn(async move {
            loop {
                let next = due.lock().await.recv().await;
                let Some((number, planned)) = next else {
                    return Ok::<_, Fault>(());
                };
                let given = ask(connection.clone(), number).await?;
                let took = planned.elapsed();
                let answer = Answer { took, given };
                answers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(answer);
            }
        });
    }
    for (number, moment) in planned.into_iter().enumerate() {
        sleep_until(moment).await;
        if plan.send((number, moment)).is_err() {
            break;
        }
    }
    drop(plan);
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *answers))
}
