//! Looking at hosts and at the images they hold.

use std::collections::BTreeMap;

use model::{Digest, Problem, ProblemCode};
use store::{Host, Read};

use crate::{Caller, Control, Error, HostSelector, HostView, ImageView, Operation};

impl Control {
    /// All hosts, by name.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub async fn host_list(&self, caller: &Caller) -> Result<Vec<HostView>, Error> {
        caller.may_ask_for(Operation::HostList)?;
        let mut read = self.inner.store.read().await?;
        let booked = read.vm_sum_by_host().await?;
        let found = read.found_count_by_host().await?;
        let vms = read.vm_count_by_host().await?;
        let hosts = read.host_list().await?.into_iter();
        Ok(hosts
            .map(|host| HostView {
                other_installation: host.installation.filter(|id| *id != self.inner.installation),
                booked: booked.get(&host.id).copied().unwrap_or_default(),
                vms: vms.get(&host.id).copied().unwrap_or_default(),
                found: found.get(&host.id).copied().unwrap_or_default(),
                last_report_at: self.inner.heard.at(&host),
                id: host.id,
                name: host.name,
                version: host.version,
                silent: host.silent,
                capacity: host.capacity,
                features: host.features,
                images: host.images,
                plan: host.plan_number,
                accepted_plan: host.accepted_plan,
                refused: host.refused,
            })
            .collect())
    }

    /// The images that hosts hold, by digest.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub async fn image_list(&self, caller: &Caller) -> Result<Vec<ImageView>, Error> {
        caller.may_ask_for(Operation::ImageList)?;
        let hosts = self.inner.store.read().await?.host_list().await?;
        let mut images: BTreeMap<Digest, ImageView> = BTreeMap::new();
        for host in hosts {
            for held in host.images {
                let image = images.entry(held.digest).or_insert_with(|| ImageView {
                    digest: held.digest,
                    references: [].into(),
                    size_bytes: 0,
                    hosts: [].into(),
                });
                image.references.extend(held.references);
                image.size_bytes = image.size_bytes.max(held.size_bytes);
                image.hosts.insert(host.name.clone());
            }
        }
        Ok(images.into_values().collect())
    }
}

/// The host that is meant, as the caller's transaction sees it.
pub(crate) async fn host_find(read: &mut Read, selector: &HostSelector) -> Result<Host, Error> {
    let missing = || {
        Problem::new(ProblemCode::NotFound, format!("there is no host {selector}"))
            .hint("pwctl host ls shows those there are")
    };
    match selector {
        HostSelector::Id(id) => Ok(read.host_fetch(*id).await?.ok_or_else(missing)?),
        HostSelector::Name(name) => {
            let mut named = read
                .host_list()
                .await?
                .into_iter()
                .filter(|host| host.name == *name);
            let first = named.next().ok_or_else(missing)?;
            if named.next().is_some() {
                return Err(
                    Problem::new(ProblemCode::InvalidValue, format!("two hosts are named {name}"))
                        .hint("give its id instead; pwctl host ls shows it")
                        .into(),
                );
            }
            Ok(first)
        }
    }
}
