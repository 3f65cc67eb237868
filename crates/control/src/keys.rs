//! The keys that open a VM: its own, and those of its people.
//!
//! What a VM accepts is part of what is asked of it. So whoever changes a key, a member, a share or a user renews it
//! for the VMs concerned in the same transaction, and the plans carry it to the hosts like any other change.
//!
//! ```text
//!   a key is added                    keys_renew      accepted from the next sign-in on
//!   a key is removed, a VM is given   keys_let_go     accepted no more; its sessions stay, and it is a past key
//!   access is taken away              keys_withdraw   accepted no more; its sessions end, past ones too: it is barred
//! ```
//!
//! A key stays barred, and a past key is remembered, until it is accepted again or the VM boots again, which no session
//! outlives. What a VM accepts, with what it bars, fits into the message that configures its guest: whatever would make
//! it more is refused beyond a bound, and whatever makes it less never is.

use std::collections::BTreeSet;

use model::{PrincipalId, Problem, ProblemCode, PublicKey, UserId, VmBody, VmId};
use store::{Read, SshKey, Vm};

use crate::Error;
use crate::change::Change;
use crate::vm::full_name;

/// The most keys that a VM accepts and bars.
const MOST_KEYS: usize = 1024;
/// The most bytes of them. The guest reads messages of up to twice as much ([`wire::guest::MAX_PAYLOAD`]); its command,
/// certificate authorities and addresses are far less than the other half.
const MOST_BYTES: usize = wire::guest::MAX_PAYLOAD / 2;

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
/// # Errors
/// A VM would accept more than it can.
pub(crate) async fn keys_renew(change: &mut Change, vms: &[VmId]) -> Result<(), Error> {
    for id in vms {
        renew(change, *id, Leaving::Nobody).await?;
    }
    Ok(())
}

/// The same, where a user is let in again: it had these keys before, so nothing is too much.
pub(crate) async fn keys_return(change: &mut Change, vms: &[VmId]) -> Result<(), Error> {
    for id in vms {
        renew(change, *id, Leaving::Back).await?;
    }
    Ok(())
}

/// The same, where this user removed keys: open sessions stay until the user may not use the VM any more.
pub(crate) async fn keys_let_go(change: &mut Change, vms: &[VmId], user: UserId) -> Result<(), Error> {
    for id in vms {
        renew(change, *id, Leaving::Keys(user)).await?;
    }
    Ok(())
}

/// The same, where the change took access away from these users: open sessions of keys that are accepted no more end,
/// also of those that were not accepted before the change.
pub(crate) async fn keys_withdraw(change: &mut Change, vms: &[VmId], users: &[UserId]) -> Result<(), Error> {
    change.withdraws_rights();
    for id in vms {
        renew(change, *id, Leaving::Access(users)).await?;
    }
    Ok(())
}

/// Whose keys are accepted no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving<'a> {
    Nobody,
    /// Nobody's, where a user was let in again.
    Back,
    /// Their user removed them.
    Keys(UserId),
    /// Their users may not use the VM any more.
    Access(&'a [UserId]),
}

async fn renew(change: &mut Change, id: VmId, leaving: Leaving<'_>) -> Result<(), Error> {
    let Some(before) = change.vm_fetch(id).await?.filter(|vm| !vm.asked.remove) else {
        return Ok(());
    };
    let keys = accepted_keys(change, id, &before.own_keys, before.account_keys).await?;
    let mut now = before.clone();
    let left = accept(&mut now.asked.body, keys);
    match leaving {
        Leaving::Nobody => keys_fit(&before, &now)?,
        Leaving::Back => {}
        Leaving::Keys(user) => {
            for fingerprint in &left {
                change.past_key_put(id, user, fingerprint).await?;
            }
        }
        Leaving::Access(users) => {
            let past = change.past_keys_take(id, users).await?;
            bar(&mut now.asked.body, left.into_iter().chain(past));
        }
    }
    if now.asked.body == before.asked.body {
        return Ok(());
    }
    now.asked.generation += 1;
    change.ask(&before, &now).await
}

/// Asks a VM to accept these keys and no others. Open sessions stay.
///
/// # Errors
/// They are more than the VM can accept, and more than before.
pub(crate) fn keys_accept(before: &Vm, now: &mut Vm, keys: Vec<PublicKey>) -> Result<(), Problem> {
    accept(&mut now.asked.body, keys);
    keys_fit(before, now)
}

/// Remembers those of `were`, the keys of the people that a VM had, which it does not accept any more.
pub(crate) async fn keys_remember(change: &mut Change, vm: &Vm, were: &[SshKey]) -> Result<(), Error> {
    let accepted: BTreeSet<_> = fingerprints(&vm.asked.body);
    for key in were {
        let fingerprint = key.key.fingerprint();
        if !accepted.contains(&fingerprint) {
            change.past_key_put(vm.asked.id, key.user, &fingerprint).await?;
        }
    }
    Ok(())
}

/// Takes the keys that are accepted from now on, which are never barred; gives those that are not among them any more.
fn accept(body: &mut VmBody, keys: Vec<PublicKey>) -> BTreeSet<String> {
    let mut before = fingerprints(body);
    body.authorized_keys = keys;
    for key in fingerprints(body) {
        before.remove(&key);
        body.barred.remove(&key);
    }
    before
}

/// Ends the sessions of these keys, but for those that are accepted.
fn bar(body: &mut VmBody, keys: impl Iterator<Item = String>) {
    let accepted = fingerprints(body);
    body.barred.extend(keys.filter(|key| !accepted.contains(key)));
}

fn fingerprints(body: &VmBody) -> BTreeSet<String> {
    body.authorized_keys.iter().map(PublicKey::fingerprint).collect()
}

/// How many keys a VM accepts and bars, and their bytes.
fn weight(body: &VmBody) -> (usize, usize) {
    let accepted = body.authorized_keys.iter().map(|key| key.as_str().len());
    let barred = body.barred.iter().map(String::len);
    let number = body.authorized_keys.len() + body.barred.len();
    (number, accepted.chain(barred).sum())
}

/// Refuses keys beyond what a VM can take, unless it had as many before.
///
/// # Errors
/// It is so.
pub(crate) fn keys_fit(before: &Vm, now: &Vm) -> Result<(), Problem> {
    let (had, has) = (weight(&before.asked.body), weight(&now.asked.body));
    match (has.0 > MOST_KEYS && has.0 > had.0) || (has.1 > MOST_BYTES && has.1 > had.1) {
        true => Err(too_many(now)),
        false => Ok(()),
    }
}

/// The same for a VM that is to be made.
///
/// # Errors
/// It is so.
pub(crate) fn first_keys_fit(vm: &Vm) -> Result<(), Problem> {
    let (number, bytes) = weight(&vm.asked.body);
    match number > MOST_KEYS || bytes > MOST_BYTES {
        true => Err(too_many(vm)),
        false => Ok(()),
    }
}

fn too_many(vm: &Vm) -> Problem {
    let name = full_name(vm);
    Problem::new(
        ProblemCode::InvalidValue,
        format!(
            "{name} would accept more keys than it can: a VM takes {MOST_KEYS}, of together {} KiB, with those that lost \
             access since its last boot",
            MOST_BYTES / 1024
        ),
    )
    .hint(format!(
        "remove keys that are not used any more (pwctl key rm), share it with fewer, or restart it: pwctl restart {name}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::request;

    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEi other";

    #[test]
    fn only_what_is_accepted_no_more_is_barred() {
        let other: PublicKey = OTHER.parse().unwrap();
        let mut body = request("web").into_body().unwrap();
        let own = body.authorized_keys.clone();
        let both = [own.clone(), vec![other.clone()]].concat();
        assert_eq!(accept(&mut body, both.clone()), [].into());
        let left = accept(&mut body, own.clone());
        assert_eq!(left, [other.fingerprint()].into());
        let all = [own[0].fingerprint(), other.fingerprint()];
        bar(&mut body, all.into_iter());
        assert_eq!(body.barred, [other.fingerprint()].into());
        accept(&mut body, both);
        assert_eq!(body.barred, [].into(), "it is accepted again");
    }
}
