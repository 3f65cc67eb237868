//! How many requests who may make: a rate per caller, and one per address for those who are nobody.
//!
//! Each key has one number, the time at which all it has used would be paid for (the generic cell rate algorithm, ITU-T
//! I.371 annex A). A request moves it on by one interval and is refused where it would come to lie more than a burst ahead.
//! A key whose time has passed has its whole burst again and needs no memory.
//!
//! What always holds: at most [`MOST`] keys are remembered. When so many are in use at once, the others share one number:
//! who floods from many addresses spoils it for other newcomers and not for those who are there.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use control::Caller;
use model::UserId;

/// Keys that are remembered: under 64 bytes each, so a few MB.
const MOST: usize = 65_536;

/// A rate. 0 per second is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Requests a second that may go on for ever.
    pub per_second: u32,
    /// Requests at once after a rest; at least 1 is taken.
    pub burst: u32,
}

/// The rates of the server. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Of each caller.
    pub caller: Rate,
    /// Of each address, for requests that carry no token that is known. An IPv6 address is its /64, since each of its
    /// owners has all of that.
    pub address: Rate,
}

/// What has been used of the rates.
pub(crate) struct Meters {
    callers: Meter<UserId>,
    addresses: Meter<IpAddr>,
}

impl Meters {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            callers: Meter::new(rates.caller),
            addresses: Meter::new(rates.address),
        }
    }

    /// Counts a request of a caller.
    ///
    /// # Errors
    /// It is too much; so long until the next.
    pub(crate) fn caller(&self, caller: &Caller) -> Result<(), Duration> {
        self.callers.take(rate_key(caller), Instant::now())
    }

    /// Counts a request of nobody.
    ///
    /// # Errors
    /// It is too much; so long until the next.
    pub(crate) fn address(&self, address: IpAddr) -> Result<(), Duration> {
        self.addresses.take(network_of(address), Instant::now())
    }
}

/// Whose rate a caller uses up.
const fn rate_key(caller: &Caller) -> UserId {
    caller.user
}

pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

struct Meter<K> {
    limit: Option<Limit>,
    used: Mutex<Used<K>>,
}

#[derive(Clone, Copy)]
struct Limit {
    /// What one request costs.
    interval: Duration,
    /// How far ahead the time of a key may lie.
    ahead: Duration,
}

struct Used<K> {
    /// When all is paid for, per key.
    paid_at: HashMap<K, Instant>,
    /// The same for those that find no room.
    others: Option<Instant>,
    /// When those whose time has passed were forgotten last.
    swept_at: Option<Instant>,
}

impl<K: Eq + Hash> Meter<K> {
    fn new(rate: Rate) -> Self {
        let limit = (rate.per_second > 0).then(|| {
            let interval = Duration::from_secs(1) / rate.per_second;
            Limit {
                interval,
                ahead: interval * rate.burst.saturating_sub(1),
            }
        });
        Self {
            limit,
            used: Mutex::new(Used {
                paid_at: HashMap::new(),
                others: None,
                swept_at: None,
            }),
        }
    }

    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Some(limit) = self.limit else { return Ok(()) };
        // Whole numbers in a map, so a panic elsewhere cannot have left one half-changed.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.make_room(limit, now);
        let is_known = used.paid_at.contains_key(&key);
        if !is_known && used.paid_at.len() >= MOST {
            let paid_at = limit.after(used.others, now)?;
            used.others = Some(paid_at);
            return Ok(());
        }
        let paid_at = limit.after(used.paid_at.get(&key).copied(), now)?;
        used.paid_at.insert(key, paid_at);
        Ok(())
    }
}

impl Limit {
    /// When all is paid for after one more request.
    fn after(self, paid_at: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let paid_at = paid_at.map_or(now, |paid_at| paid_at.max(now));
        let ahead = paid_at.duration_since(now);
        match ahead.checked_sub(self.ahead) {
            None | Some(Duration::ZERO) => Ok(paid_at + self.interval),
            Some(too_far) => Err(too_far),
        }
    }
}

impl<K: Eq + Hash> Used<K> {
    /// Forgets those whose time has passed, when it gets tight and not more often than they can have filled up again.
    fn make_room(&mut self, limit: Limit, now: Instant) {
        let pause = limit.interval + limit.ahead;
        let is_due = self
            .swept_at
            .is_none_or(|swept_at| now.duration_since(swept_at) >= pause);
        if self.paid_at.len() >= MOST / 2 && is_due {
            self.paid_at.retain(|_, paid_at| *paid_at > now);
            self.swept_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };
    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn a_burst_then_the_rate_then_a_burst_again() {
        let (meter, start) = (Meter::new(RATE), Instant::now());
        for _ in 0..3 {
            assert_eq!(meter.take("a", start), Ok(()));
        }
        assert_eq!(meter.take("a", start), Err(TENTH));
        assert_eq!(meter.take("a", start + TENTH / 2), Err(TENTH / 2));
        assert_eq!(meter.take("a", start + TENTH), Ok(()), "a refusal costs nothing");
        assert_eq!(meter.take("a", start + TENTH), Err(TENTH));
        let rested = start + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(meter.take("a", rested), Ok(()));
        }
        assert_eq!(meter.take("a", rested), Err(TENTH));
    }

    #[test]
    fn each_key_has_a_rate_of_its_own() {
        let (meter, start) = (Meter::new(RATE), Instant::now());
        while meter.take("a", start).is_ok() {}
        assert_eq!(meter.take("b", start), Ok(()));
    }

    #[test]
    fn none_is_no_limit() {
        let (meter, start) = (Meter::new(Rate::default()), Instant::now());
        assert!((0..100_000).all(|_| meter.take((), start).is_ok()));
    }

    #[test]
    fn keys_are_bounded_and_those_there_keep_their_rate() {
        let (meter, start) = (Meter::new(RATE), Instant::now());
        for key in 0..MOST {
            assert_eq!(meter.take(key, start), Ok(()));
        }
        for key in MOST..MOST + 3 {
            assert_eq!(meter.take(key, start), Ok(()));
        }
        assert_eq!(meter.take(MOST + 3, start), Err(TENTH), "newcomers share one");
        assert_eq!(meter.take(7, start), Ok(()));
        let later = start + Duration::from_secs(1);
        assert_eq!(meter.take(MOST + 3, later), Ok(()));
        assert_eq!(
            meter.used.lock().unwrap().paid_at.len(),
            1,
            "the others are forgotten"
        );
    }

    #[test]
    fn an_ipv6_address_is_its_network() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
