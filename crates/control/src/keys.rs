//! The keys that open a VM: its own, and those of its people.
//!
//! What a VM accepts is part of what is asked of it. So whoever changes a key, a member, a share or a user renews it
//! for the VMs concerned in the same transaction, and the plans carry it to the hosts like any other change.

use std::collections::BTreeSet;

use model::{PublicKey, VmId};
use store::Read;

use crate::Error;
use crate::change::Change;

/// The keys that a VM accepts: its own as they were given, then those of its people that are not among them.
pub(crate) async fn accepted_keys(
    read: &mut Read,
    vm: VmId,
    own: &[PublicKey],
    account_keys: bool,
) -> Result<Vec<PublicKey>, Error> {
    let people = read.ssh_key_list_of_vm(vm, account_keys).await?;
    let mut known: BTreeSet<_> = own.iter().map(PublicKey::fingerprint).collect();
    let others = people.into_iter().map(|key| key.key);
    let others = others.filter(|key| known.insert(key.fingerprint()));
    Ok(own.iter().cloned().chain(others).collect())
}

/// Asks VMs to accept the keys that their people have now. Those on their way out are left alone.
pub(crate) async fn keys_renew(change: &mut Change, vms: &[VmId]) -> Result<(), Error> {
    for id in vms {
        let Some(before) = change.vm_fetch(*id).await?.filter(|vm| !vm.asked.remove) else {
            continue;
        };
        let keys = accepted_keys(change, *id, &before.own_keys, before.account_keys).await?;
        if keys == before.asked.body.authorized_keys {
            continue;
        }
        let mut now = before.clone();
        now.asked.body.authorized_keys = keys;
        now.asked.generation += 1;
        change.ask(&before, &now).await?;
    }
    Ok(())
}
