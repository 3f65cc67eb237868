//! A VM's way in: its TAP, the rules that hold it to its own MAC and address, and the host's knowledge of the two: one
//! that asked for the address while the guest was booting may hold it for absent when the guest is up.

use std::net::Ipv4Addr;

use model::MacAddr;

use super::{Network, NetworkError, Rules, Sender, links, ruleset, taps};
use crate::hands::Request;

impl Network {
    /// Makes the TAP of the VM with this address, with its rules, and gives its name.
    ///
    /// # Errors
    /// When the address is none of the subnet's, or a request fails; then neither TAP nor rule is left of a TAP
    /// that was not there before.
    pub async fn attach(&self, address: Ipv4Addr, mac: MacAddr) -> Result<String, NetworkError> {
        if !self.config.subnet.is_vm_address(address) {
            return Err(NetworkError::Address {
                address,
                subnet: self.config.subnet,
            });
        }
        let sender = Sender {
            tap: taps::name(self.config.subnet, address),
            mac,
            address,
        };
        let mut rules = self.rules.lock().await;
        let links = links(&*self.hands).await?;
        let existing = links.iter().find(|link| link.name == sender.tap);
        let other_mac = existing
            .and_then(|link| taps::sender(&self.config, link))
            .filter(|attached| attached.mac != mac);
        if let Some(old) = &other_mac {
            self.release(&mut rules, old).await?;
        }
        let done = self.make_tap(&mut rules, &sender).await;
        if done.is_err()
            && (existing.is_none() || other_mac.is_some())
            && let Err(error) = self.release(&mut rules, &sender).await
        {
            tracing::warn!(tap = %sender.tap, %error, "a TAP that could not be made could not be removed either");
        }
        done.map(|()| sender.tap)
    }

    async fn make_tap(&self, rules: &mut Rules, sender: &Sender) -> Result<(), NetworkError> {
        rules.listing = None;
        let admit = Request::ApplyRuleset {
            text: ruleset::admit(&self.config.table, sender),
        };
        if self.perform("add the rules of a TAP", admit).await.is_err() {
            // The tables themselves are gone; TAPs that are up meanwhile are held by the bridge's isolation only.
            self.apply_with(rules, Some(sender)).await?;
        }
        self.join(sender).await
    }

    /// The TAP on the bridge, and what the host knows of who is behind it.
    pub(super) async fn join(&self, sender: &Sender) -> Result<(), NetworkError> {
        let name = sender.tap.clone();
        let ensure = Request::EnsureTap {
            name,
            bridge: self.config.bridge.clone(),
            alias: taps::alias(sender),
            owner: self.config.owner(sender.address),
        };
        self.perform("make a TAP", ensure).await?;
        let neighbour = Request::EnsureNeighbour {
            bridge: self.config.bridge.clone(),
            address: sender.address,
            mac: sender.mac,
        };
        self.perform("name a neighbour", neighbour).await
    }

    /// Removes the TAP of the VM with this address, and its rules.
    ///
    /// # Errors
    /// When a request fails; saying it again goes on from there.
    pub async fn detach(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let tap = taps::name(self.config.subnet, address);
        let mut rules = self.rules.lock().await;
        let links = links(&*self.hands).await?;
        let attached = links
            .iter()
            .filter(|link| link.name == tap)
            .find_map(|link| taps::sender(&self.config, link));
        let sender = attached.unwrap_or(Sender {
            tap,
            mac: MacAddr::for_vm(address),
            address,
        });
        self.release(&mut rules, &sender).await
    }

    /// The TAP before its rules: rules without a TAP let nobody through, a TAP without rules would. What the host knows
    /// of it goes first, as only the TAP tells that there is something to release.
    async fn release(&self, rules: &mut Rules, sender: &Sender) -> Result<(), NetworkError> {
        rules.listing = None;
        let neighbour = Request::RemoveNeighbour {
            bridge: self.config.bridge.clone(),
            address: sender.address,
        };
        self.perform("forget a neighbour", neighbour).await?;
        self.perform(
            "remove a TAP",
            Request::RemoveLink {
                name: sender.tap.clone(),
            },
        )
        .await?;
        let expel = Request::ApplyRuleset {
            text: ruleset::expel(&self.config.table, sender),
        };
        if self.perform("remove the rules of a TAP", expel).await.is_err() {
            self.apply(rules).await?;
        }
        Ok(())
    }

    /// The addresses that have a TAP, by what the host says.
    pub async fn attached(&self) -> Vec<Ipv4Addr> {
        match links(&*self.hands).await {
            Ok(links) => taps::senders(&self.config, &links)
                .iter()
                .map(|sender| sender.address)
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "cannot tell which VMs are attached");
                Vec::new()
            }
        }
    }
}
