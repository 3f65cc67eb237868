//! Failures are answered more and more slowly, good keys at once.
//!
//! There is no ban: connections from a host all have its address, so a ban would lock the owner out together with
//! whoever else knocks. What grows is only the time before the answer "no", with the failures of this connection and
//! with those of its address, and an address is forgiven step by step.
//!
//! Always holds: nobody waits longer than [`LONGEST`] for one answer, and the table of addresses is bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The first answer, with nothing known against the address. It also covers how long looking a key up takes.
const FIRST: Duration = Duration::from_millis(100);
/// The slowest answer.
const LONGEST: Duration = Duration::from_secs(5);
/// So many failures of an address double the delay.
const DOUBLES_EACH: u32 = 4;
/// An address is forgiven one failure in this time.
const FORGIVES_ONE_IN: Duration = Duration::from_secs(6);
/// More failures than this count as this many, so that an address is forgiven in three minutes.
const MOST_FAILURES: u32 = 30;
/// Addresses that are remembered.
const MOST_ADDRESSES: usize = 1024;

/// Pure: how long a failure is unanswered, after so many earlier ones here and from the same address.
fn delay(here: u32, address: u32) -> Duration {
    let doublings = here.saturating_add(address.checked_div(DOUBLES_EACH).unwrap_or(0));
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    FIRST.saturating_mul(factor).min(LONGEST)
}

/// The failures of each address.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<IpAddr, Recent>);

/// How many failures count at a moment.
#[derive(Debug, Clone, Copy)]
struct Recent {
    count: u32,
    at: Instant,
}

impl Recent {
    fn count(self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.at).as_millis();
        let forgiven = passed.checked_div(FORGIVES_ONE_IN.as_millis()).unwrap_or(0);
        self.count
            .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

impl Failures {
    fn count(&self, address: IpAddr, now: Instant) -> u32 {
        self.0
            .get(&network(address))
            .map_or(0, |recent| recent.count(now))
    }

    fn add(&mut self, address: IpAddr, count: u32, now: Instant) {
        let count = self.count(address, now).saturating_add(count).min(MOST_FAILURES);
        self.make_room(now);
        self.0.insert(network(address), Recent { count, at: now });
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() < MOST_ADDRESSES {
            return;
        }
        self.0.retain(|_, recent| recent.count(now) > 0);
        let least = self.0.iter().min_by_key(|(_, recent)| recent.count(now));
        if let Some(address) = least.map(|(address, _)| *address)
            && self.0.len() >= MOST_ADDRESSES
        {
            self.0.remove(&address);
        }
    }
}

/// Whoever has an IPv6 address has the 2⁶⁴ beside it.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The attempts of one connection. They count against its address when it ends without a login.
#[derive(Debug)]
pub(super) struct Attempts {
    failures: Arc<Mutex<Failures>>,
    address: IpAddr,
    here: u32,
    open: bool,
}

impl Attempts {
    pub(super) fn new(failures: Arc<Mutex<Failures>>, address: IpAddr) -> Self {
        Self {
            failures,
            address,
            here: 0,
            open: false,
        }
    }

    /// The client has begun to say who it is.
    pub(super) fn begin(&mut self) {
        self.open = true;
    }

    /// The delay before the next failure is answered.
    pub(super) fn delay(&self) -> Duration {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        delay(self.here, failures.count(self.address, Instant::now()))
    }

    /// Counts a failure, and tells how long it is to stay unanswered.
    pub(super) fn fail(&mut self) -> Duration {
        let delay = self.delay();
        self.here = self.here.saturating_add(1);
        self.open = true;
        delay
    }

    /// The client is in: the wrong keys that it offered before were those of an agent that holds several.
    pub(super) fn succeed(&mut self) {
        self.open = false;
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        if self.open {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.add(self.address, self.here.max(1), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn the_delay_doubles_to_five_seconds() {
        let here: Vec<u128> = (0..9).map(|here| delay(here, 0).as_millis()).collect();
        assert_eq!(here, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        let address: Vec<u128> = [0, 3, 4, 8, 12, 23, 24, 30]
            .map(|count| delay(0, count).as_millis())
            .into();
        assert_eq!(address, [100, 100, 200, 400, 800, 3200, 5000, 5000]);
        assert_eq!(delay(u32::MAX, u32::MAX), LONGEST);
    }

    #[test]
    fn an_address_is_forgiven_step_by_step() {
        let mut failures = Failures::default();
        let start = Instant::now();
        failures.add(ADDRESS, 500, start);
        assert_eq!(failures.count(ADDRESS, start), MOST_FAILURES);
        let later = |steps: u32| start + FORGIVES_ONE_IN * steps;
        assert_eq!(failures.count(ADDRESS, later(10)), MOST_FAILURES - 10);
        failures.add(ADDRESS, 2, later(10));
        assert_eq!(failures.count(ADDRESS, later(10)), MOST_FAILURES - 8);
        assert_eq!(failures.count(ADDRESS, later(100)), 0);
    }

    #[test]
    fn a_hundred_failures_a_minute_reach_the_slowest_answer() {
        let mut failures = Failures::default();
        let start = Instant::now();
        let mut now = start;
        for _ in 0..100 {
            now += Duration::from_millis(600);
            failures.add(ADDRESS, 1, now);
        }
        assert_eq!(delay(0, failures.count(ADDRESS, now)), LONGEST);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_worst() {
        let mut failures = Failures::default();
        let now = Instant::now();
        failures.add(ADDRESS, 9, now);
        for number in 0..5000_u32 {
            failures.add(std::net::Ipv4Addr::from_bits(number).into(), 1, now);
        }
        assert_eq!(failures.0.len(), MOST_ADDRESSES);
        assert_eq!(failures.count(ADDRESS, now), 9);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        failures.add(ip("2001:db8:0:1::1"), 3, now);
        assert_eq!(failures.count(ip("2001:db8:0:1:ffff::2"), now), 3);
        assert_eq!(failures.count(ip("2001:db8:0:2::1"), now), 0);
    }

    #[test]
    fn only_a_connection_that_tried_and_did_not_get_in_counts() {
        let failures = Arc::new(Mutex::new(Failures::default()));
        let attempts = || Attempts::new(Arc::clone(&failures), ADDRESS);
        let count = || failures.lock().unwrap().count(ADDRESS, Instant::now());
        drop(attempts());
        assert_eq!(count(), 0, "a look at the port");
        let mut several_keys = attempts();
        several_keys.begin();
        assert_eq!(several_keys.fail(), FIRST);
        assert_eq!(several_keys.fail(), FIRST * 2);
        several_keys.succeed();
        drop(several_keys);
        assert_eq!(count(), 0);
        let mut knocking = attempts();
        knocking.begin();
        drop(knocking);
        assert_eq!(count(), 1);
        let mut wrong = attempts();
        wrong.fail();
        wrong.fail();
        drop(wrong);
        assert_eq!(count(), 3);
    }
}
