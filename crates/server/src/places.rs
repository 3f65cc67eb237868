//! Places for connections: so many for all, and so many for each address.
//!
//! A place is taken before anything is read, so that nobody is known yet but by address. An IPv6 address is its /64, as
//! in `rates`. Whoever speaks for others (a trusted proxy) has no bound of its own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::rates::network_of;

/// The places of a listener; clones share them.
#[derive(Clone)]
pub(crate) struct Places {
    taken: Arc<Mutex<Taken>>,
    for_all: usize,
    per_address: usize,
}

#[derive(Default)]
struct Taken {
    by_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One that is taken. Dropped, it is free.
pub(crate) struct Place {
    places: Places,
    address: Option<IpAddr>,
}

impl Places {
    pub(crate) fn new(for_all: usize, per_address: usize) -> Self {
        Self {
            taken: Arc::default(),
            for_all,
            per_address,
        }
    }

    /// Takes a place; `None` where none is left. `speaks_for_others`: only the places of all count.
    pub(crate) fn take(&self, address: IpAddr, speaks_for_others: bool) -> Option<Place> {
        let address = (!speaks_for_others).then(|| network_of(address));
        let mut taken = self.lock();
        let held = address.and_then(|address| taken.by_address.get(&address).copied());
        if taken.by_all >= self.for_all || held.unwrap_or(0) >= self.per_address {
            return None;
        }
        taken.by_all += 1;
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        let places = self.clone();
        Some(Place { places, address })
    }

    /// Whole numbers, so a panic elsewhere cannot have left one half-changed.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.by_all = taken.by_all.saturating_sub(1);
        let Some(address) = self.address else { return };
        if let Some(count) = taken.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_the_places_of_all() {
        let places = Places::new(4, 2);
        let [one, other, third]: [IpAddr; 3] =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| text.parse().unwrap());
        let first = places.take(one, false).unwrap();
        let _second = places.take(one, false).unwrap();
        assert!(places.take(one, false).is_none(), "no more for this one");
        let _of_other = places.take(other, false).unwrap();
        let _of_third = places.take(third, false).unwrap();
        assert!(places.take(other, false).is_none(), "no more for all");
        drop(first);
        let again = places.take(one, false);
        assert!(again.is_some(), "what is given back can be taken");
        drop(again);
        assert_eq!(places.lock().by_all, 3);
    }

    #[test]
    fn a_network_counts_as_one_and_a_proxy_as_everybody() {
        let places = Places::new(4, 1);
        let [one, same, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let _one = places.take(one, false).unwrap();
        assert!(places.take(same, false).is_none());
        let _other = places.take(other, false).unwrap();
        let _proxy = [places.take(one, true).unwrap(), places.take(one, true).unwrap()];
        assert!(places.take(one, true).is_none(), "the places of all count");
    }
}
