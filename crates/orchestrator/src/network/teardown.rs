//! The end of the network: all of it goes, and what was changed of the host is put back.

use std::sync::Arc;

use super::{Network, NetworkConfig, NetworkError, links, ruleset, taps};
use crate::hands::{Family, Hands, LinkKind, Request, Table};

impl Network {
    /// Removes everything: TAPs, bridge, tables, the rules in other tools' chains, and forwarding if it was off
    /// before and nobody else has come to need it.
    ///
    /// # Errors
    /// The first failure; what could be removed has been removed all the same.
    pub async fn teardown(config: NetworkConfig, hands: Arc<dyn Hands>) -> Result<(), NetworkError> {
        let mut first = None;
        let mut note = |outcome: Result<(), NetworkError>| {
            if let Err(error) = outcome {
                first.get_or_insert(error);
            }
        };
        let restored = restore_forwarding(&config, &*hands).await;
        // The mark that says how forwarding was is in that table, and is needed the next time.
        let keeps_mark = |table: &Table| table.family == Family::Ip && restored.is_err();
        let names = links(&*hands).await.unwrap_or_else(|error| {
            note(Err(error));
            Vec::new()
        });
        let taps = taps::senders(&config, &names)
            .into_iter()
            .map(|sender| sender.tap);
        let bridge = names
            .iter()
            .any(|link| link.name == config.bridge && link.kind == LinkKind::Bridge);
        let removed = taps
            .chain(bridge.then(|| config.bridge.clone()))
            .map(|name| Request::RemoveLink { name });
        let tables = config
            .tables()
            .into_iter()
            .filter(|table| !keeps_mark(table))
            .map(Request::DeleteTable);
        let expelled = Request::ExpelBridge {
            bridge: config.bridge.clone(),
        };
        for request in removed.chain(tables).chain([expelled]) {
            note(
                hands
                    .perform(request)
                    .await
                    .map(drop)
                    .map_err(NetworkError::at("remove a part of the network")),
            );
        }
        note(restored);
        first.map_or(Ok(()), Err)
    }
}

async fn restore_forwarding(config: &NetworkConfig, hands: &dyn Hands) -> Result<(), NetworkError> {
    let at = NetworkError::at("restore forwarding");
    let restore = async {
        let tables = hands
            .perform(Request::ReadTables {
                tables: config.tables(),
            })
            .await?
            .text()?;
        let drops = hands.perform(Request::ReadDrops).await?.drops()?;
        let needed = !drops.mendable.is_empty() || !drops.others.is_empty();
        if ruleset::says_forwarding_was_off(&tables) && !needed {
            hands.perform(Request::SetForwarding(false)).await?;
        }
        Ok(())
    };
    restore.await.map_err(at)
}
