//! The SSH keys of an account. They open every VM that its user may use, from the next sign-in on.

use model::{Problem, ProblemCode, PublicKey};
use store::{Read, SshKey, User};

use crate::account::account_find;
use crate::keys::{keys_let_go, keys_renew};
use crate::page::Paging;
use crate::{Caller, Control, Error, Operation, Page, PageRequest, UserSelector};

/// More than anybody's machines; keeps plans small.
const MAX_KEYS: usize = 64;
/// More than anybody changes while a VM runs; bounds what a VM remembers of one user.
const MAX_PAST_KEYS: u64 = 256;

impl Control {
    /// A user's keys, oldest first.
    ///
    /// # Errors
    /// There is no such user, or the cursor is none.
    pub async fn key_list(
        &self,
        caller: &Caller,
        user: &UserSelector,
        page: &PageRequest,
    ) -> Result<Page<SshKey>, Error> {
        let mut read = self.inner.store.read().await?;
        let user = account_find(&mut read, caller, user, Operation::KeyList).await?;
        let (paging, behind) = Paging::of::<(i64, String)>(caller, Operation::KeyList, &user.id, page)?;
        let place = |key: &SshKey| (key.added_at.as_millisecond(), key.key.fingerprint());
        let mut keys = read.ssh_key_list_of_user(user.id).await?;
        keys.retain(|key| behind.as_ref().is_none_or(|behind| place(key) > *behind));
        paging.page(keys, place)
    }

    /// A user's key.
    ///
    /// # Errors
    /// There is no such user or key.
    pub async fn key_get(
        &self,
        caller: &Caller,
        user: &UserSelector,
        fingerprint: &str,
    ) -> Result<SshKey, Error> {
        let mut read = self.inner.store.read().await?;
        let user = account_find(&mut read, caller, user, Operation::KeyGet).await?;
        let key = read.ssh_key_fetch(user.id, fingerprint).await?;
        Ok(key.ok_or_else(|| no_key(&user, fingerprint))?)
    }

    /// Adds a key to an account. One that it has gets another comment only.
    ///
    /// # Errors
    /// There is no such user, it has too many keys, or a VM that it may use takes no more.
    pub async fn key_create(
        &self,
        caller: &Caller,
        user: &UserSelector,
        key: PublicKey,
    ) -> Result<SshKey, Error> {
        let mut change = self.change_by(caller, Operation::KeyCreate).await?;
        let user = account_find(&mut change, caller, user, Operation::KeyCreate).await?;
        change.about(format!("{} of {}", key.fingerprint(), user.id));
        let keys = change.ssh_key_list_of_user(user.id).await?;
        let known = keys
            .iter()
            .find(|known| known.key.fingerprint() == key.fingerprint());
        if known.is_none() && keys.len() >= MAX_KEYS {
            return Err(Problem::new(
                ProblemCode::InvalidValue,
                format!("{} has {MAX_KEYS} keys, which is the most", user.name),
            )
            .hint("remove one that is not used any more: pwctl key rm")
            .into());
        }
        let added_at = known.map_or(change.now, |known| known.added_at);
        let key = SshKey {
            user: user.id,
            key,
            added_at,
        };
        past_keys_are_few(&mut change, &user).await?;
        change.ssh_key_put(&key).await?;
        let vms = change.vm_ids_of_principal(user.id.into()).await?;
        keys_renew(&mut change, &vms).await?;
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, account.id = %user.id, key = %key.key.fingerprint(), "key added");
        Ok(key)
    }

    /// Takes a key out of an account. Sessions that are open stay.
    ///
    /// # Errors
    /// There is no such user or key.
    pub async fn key_delete(
        &self,
        caller: &Caller,
        user: &UserSelector,
        fingerprint: &str,
    ) -> Result<(), Error> {
        let mut change = self.change_by(caller, Operation::KeyDelete).await?;
        let user = account_find(&mut change, caller, user, Operation::KeyDelete).await?;
        change.about(format!("{fingerprint} of {}", user.id));
        if !change.ssh_key_delete(user.id, fingerprint).await? {
            return Err(no_key(&user, fingerprint).into());
        }
        let vms = change.vm_ids_of_principal(user.id.into()).await?;
        keys_let_go(&mut change, &vms, user.id).await?;
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, account.id = %user.id, key = fingerprint, "key removed");
        Ok(())
    }
}

/// Refuses another key of somebody who has added and removed very many since a VM booted: each may have a session there.
async fn past_keys_are_few(read: &mut Read, user: &User) -> Result<(), Error> {
    let Some((vm, _)) = read
        .past_key_most(user.id)
        .await?
        .filter(|(_, many)| *many >= MAX_PAST_KEYS)
    else {
        return Ok(());
    };
    Err(Problem::new(
        ProblemCode::InvalidValue,
        format!(
            "{} removed {MAX_PAST_KEYS} keys since the VM {vm} booted, which is the most",
            user.name
        ),
    )
    .hint(format!(
        "restart it, which ends the sessions of those: pwctl restart {vm}"
    ))
    .into())
}

fn no_key(user: &User, fingerprint: &str) -> Problem {
    Problem::new(
        ProblemCode::NotFound,
        format!("{} has no key {fingerprint:?}", user.name),
    )
    .hint("pwctl key ls shows the fingerprints")
}
