//! The keys that open a VM: its own, and those of its people.
//!
//! What a VM accepts is part of what is asked of it. So whoever changes a key, a member, a share or a user renews it
//! for the VMs concerned in the same transaction, and the plans carry it to the hosts like any other change.
//!
//! Whoever loses access (a share, a membership, the account) loses what is open too: `keys_withdraw` bars the keys that
//! are accepted no more, and the guest ends their sessions. A key stays barred until it is accepted again or the VM boots
//! again, which no session outlives.

use std::collections::BTreeSet;

use model::{PrincipalId, PublicKey, VmBody, VmId};
use store::{Read, SshKey};

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
    Ok(together(own, people))
}

/// The keys that a new VM accepts, which nobody shares yet.
pub(crate) async fn first_keys(
    read: &mut Read,
    owner: PrincipalId,
    own: &[PublicKey],
    account_keys: bool,
) -> Result<Vec<PublicKey>, Error> {
    let people = match account_keys {
        true => read.ssh_key_list_of_owner(owner).await?,
        false => Vec::new(),
    };
    Ok(together(own, people))
}

fn together(own: &[PublicKey], people: Vec<SshKey>) -> Vec<PublicKey> {
    let mut known: BTreeSet<_> = own.iter().map(PublicKey::fingerprint).collect();
    let others = people.into_iter().map(|key| key.key);
    let others = others.filter(|key| known.insert(key.fingerprint()));
    own.iter().cloned().chain(others).collect()
}

/// Asks VMs to accept the keys that their people have now. Those on their way out are left alone.
///
/// Open sessions stay, as is right where a key was removed by its own person.
pub(crate) async fn keys_renew(change: &mut Change, vms: &[VmId]) -> Result<(), Error> {
    renew(change, vms, OpenSessions::Stay).await
}

/// The same, where the change took people's access away: open sessions of keys that are accepted no more end.
pub(crate) async fn keys_withdraw(change: &mut Change, vms: &[VmId]) -> Result<(), Error> {
    change.withdraws_rights();
    renew(change, vms, OpenSessions::End).await
}

/// What becomes of open sessions of keys that are accepted no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenSessions {
    Stay,
    End,
}

async fn renew(change: &mut Change, vms: &[VmId], sessions: OpenSessions) -> Result<(), Error> {
    for id in vms {
        let Some(before) = change.vm_fetch(*id).await?.filter(|vm| !vm.asked.remove) else {
            continue;
        };
        let keys = accepted_keys(change, *id, &before.own_keys, before.account_keys).await?;
        let mut now = before.clone();
        accept(&mut now.asked.body, keys, sessions);
        if now.asked.body == before.asked.body {
            continue;
        }
        now.asked.generation += 1;
        change.ask(&before, &now).await?;
    }
    Ok(())
}

/// Asks a VM to accept these keys and no others. Open sessions stay.
pub(crate) fn keys_accept(body: &mut VmBody, keys: Vec<PublicKey>) {
    accept(body, keys, OpenSessions::Stay);
}

/// A key that is accepted is never barred.
fn accept(body: &mut VmBody, keys: Vec<PublicKey>, sessions: OpenSessions) {
    let before = std::mem::replace(&mut body.authorized_keys, keys);
    if sessions == OpenSessions::End {
        body.barred.extend(before.iter().map(PublicKey::fingerprint));
    }
    for key in &body.authorized_keys {
        body.barred.remove(&key.fingerprint());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::request;

    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEi other";

    #[test]
    fn only_a_loss_of_access_ends_sessions() {
        let other: PublicKey = OTHER.parse().unwrap();
        let mut body = request("web").into_body().unwrap();
        let own = body.authorized_keys.clone();
        let both = [own.clone(), vec![other.clone()]].concat();
        accept(&mut body, both.clone(), OpenSessions::Stay);
        accept(&mut body, own.clone(), OpenSessions::Stay);
        assert_eq!(body.barred, [].into(), "its person took it away");
        accept(&mut body, both.clone(), OpenSessions::Stay);
        accept(&mut body, own, OpenSessions::End);
        assert_eq!(body.barred, [other.fingerprint()].into());
        accept(&mut body, both, OpenSessions::End);
        assert_eq!(body.barred, [].into(), "it is accepted again");
    }
}
