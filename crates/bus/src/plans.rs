//! The newest plan per host: a shelf with one place for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use model::HostId;
use tokio::sync::watch;

use crate::{BusError, locked};

type Place = Option<Arc<[u8]>>;

/// One place per host; `None` instead of the map once closed.
pub(crate) struct Shelf(Mutex<Option<HashMap<HostId, watch::Sender<Place>>>>);

impl Default for Shelf {
    fn default() -> Self {
        Self(Mutex::new(Some(HashMap::new())))
    }
}

impl Shelf {
    pub(crate) fn publish(&self, host: HostId, bytes: Vec<u8>) -> Result<(), BusError> {
        let mut shelf = locked(&self.0);
        let places = shelf.as_mut().ok_or(BusError::Closed {
            operation: "publish a plan",
        })?;
        let place = places.entry(host).or_insert_with(|| watch::Sender::new(None));
        place.send_replace(Some(bytes.into()));
        Ok(())
    }

    pub(crate) fn subscribe(&self, host: HostId) -> Plans {
        let mut shelf = locked(&self.0);
        let receiver = match shelf.as_mut() {
            Some(places) => {
                let place = places.entry(host).or_insert_with(|| watch::Sender::new(None));
                let mut receiver = place.subscribe();
                receiver.mark_changed();
                receiver
            }
            None => watch::Sender::new(None).subscribe(),
        };
        Plans { receiver }
    }

    pub(crate) fn close(&self) {
        *locked(&self.0) = None;
    }
}

/// The plans for one host, newest only.
pub struct Plans {
    receiver: watch::Receiver<Place>,
}

impl Plans {
    /// Waits for a plan that this reader has not seen; what was replaced meanwhile is skipped. Safe to drop while
    /// it waits.
    ///
    /// # Errors
    /// The bus is closed.
    pub async fn next(&mut self) -> Result<Vec<u8>, BusError> {
        loop {
            self.receiver.changed().await.map_err(|_| BusError::Closed {
                operation: "wait for a plan",
            })?;
            if let Some(bytes) = self.receiver.borrow_and_update().as_deref() {
                return Ok(bytes.to_vec());
            }
        }
    }
}
