//! Users: who they are, what they may be, and how one comes and goes. How one is kept out for a while is in `disable`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{PrincipalName, Problem, ProblemCode, Role, Scope, TokenId, UserId, VmId};
use store::{Member, Principal, Read, User};

use crate::account::account_find;
use crate::clock::draw;
use crate::keys::keys_withdraw;
use crate::page::Paging;
use crate::principal::principal_name_is_free;
use crate::transfer::vms_give_all;
use crate::{
    Caller, Control, Error, Operation, Page, PageRequest, PrincipalSelector, TokenText, UserSelector,
};

/// Who asks, with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeView {
    /// The user.
    pub user: User,
    /// The teams that the user is in, by name.
    pub teams: Vec<Member>,
    /// The token that asks.
    pub token: TokenId,
    /// What that is good for.
    pub scopes: BTreeSet<Scope>,
    /// From when on it is good for nothing.
    pub token_expires_at: Option<Timestamp>,
}

impl Control {
    /// Who asks.
    ///
    /// # Errors
    /// The token may not look at the account.
    pub async fn me(&self, caller: &Caller) -> Result<MeView, Error> {
        let mut read = self.inner.store.read().await?;
        Ok(MeView {
            user: account_find(&mut read, caller, &UserSelector::Me, Operation::Me).await?,
            teams: read.member_list_of_user(caller.user).await?,
            token: caller.token,
            scopes: caller.scopes.clone(),
            token_expires_at: caller.token_expires_at,
        })
    }

    /// All users by name, for an admin; for anybody else, the caller alone.
    ///
    /// # Errors
    /// The memory cannot be read, or the cursor is none.
    pub async fn user_list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<User>, Error> {
        caller.may_ask_for(Operation::UserList)?;
        let (paging, behind) = Paging::of::<PrincipalName>(caller, Operation::UserList, &(), page)?;
        let mut users = self.inner.store.read().await?.user_list().await?;
        users.retain(|user| caller.is_admin() || user.id == caller.user);
        users.retain(|user| behind.as_ref().is_none_or(|behind| user.name > *behind));
        paging.page(users, |user| user.name.clone())
    }

    /// One user.
    ///
    /// # Errors
    /// There is none that the caller may know of.
    pub async fn user_get(&self, caller: &Caller, user: &UserSelector) -> Result<User, Error> {
        let mut read = self.inner.store.read().await?;
        account_find(&mut read, caller, user, Operation::UserGet).await
    }

    /// Makes a user, and the one-time code to sign in with the first time.
    ///
    /// # Errors
    /// The caller is no admin, or a user or team has the name.
    pub async fn user_create(
        &self,
        caller: &Caller,
        name: PrincipalName,
        role: Role,
    ) -> Result<(User, TokenText), Error> {
        let mut change = self.change_by(caller, Operation::UserCreate).await?;
        principal_name_is_free(&mut change, &name).await?;
        let user = User {
            id: UserId::from_random(draw(self.inner.entropy.as_ref())?),
            name,
            role,
            disabled: false,
            created_at: change.now,
        };
        change.about(user.id);
        change.principal_insert(&Principal::User(user.clone())).await?;
        let code = self.code_new(&mut change, caller, user.id).await?;
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, created.id = %user.id, %role, "user created");
        Ok((user, code))
    }

    /// Gives a user another role.
    ///
    /// # Errors
    /// The caller is no admin, there is no such user, or it is the last admin.
    pub async fn user_change(
        &self,
        caller: &Caller,
        user: &UserSelector,
        role: Option<Role>,
    ) -> Result<User, Error> {
        let mut change = self.change_by(caller, Operation::UserChange).await?;
        let before = account_find(&mut change, caller, user, Operation::UserChange).await?;
        let role = role.unwrap_or(before.role);
        if role == before.role {
            return Ok(before);
        }
        an_admin_is_left(&mut change, &before).await?;
        let now = User { role, ..before };
        change.about(now.id);
        change.user_update(&now).await?;
        change.withdraws_rights();
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, changed.id = %now.id, %role, "user has another role");
        Ok(now)
    }

    /// Removes a user, with keys, tokens, memberships and shares. What it owns goes to `heir`; what it has open ends.
    ///
    /// # Errors
    /// The caller is no admin, there is no such user, it is the last admin, or it owns VMs and there is no heir who can
    /// have them.
    pub async fn user_delete(
        &self,
        caller: &Caller,
        user: &UserSelector,
        heir: Option<&PrincipalSelector>,
    ) -> Result<(), Error> {
        let mut change = self.change_by(caller, Operation::UserDelete).await?;
        let user = account_find(&mut change, caller, user, Operation::UserDelete).await?;
        change.about(user.id);
        an_admin_is_left(&mut change, &user).await?;
        let opened = opened_by(&mut change, user.id).await?;
        let others = change.admin_fetch_besides(user.id).await?;
        let keeper = others.filter(|_| caller.user == user.id).unwrap_or(caller.user);
        vms_give_all(&mut change, keeper, user.id.into(), heir).await?;
        change.principal_delete(user.id.into()).await?;
        keys_withdraw(&mut change, &opened, &[user.id]).await?;
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, removed.id = %user.id, "user removed");
        Ok(())
    }
}

/// The VMs that a user may have sessions on: those it may use, and those where sessions stayed.
pub(crate) async fn opened_by(read: &mut Read, user: UserId) -> Result<Vec<VmId>, Error> {
    let may_use = read.vm_ids_of_principal(user.into()).await?;
    let stayed = read.past_key_vms(user).await?;
    let all: BTreeSet<_> = may_use.into_iter().chain(stayed).collect();
    Ok(all.into_iter().collect())
}

/// Refuses to take the last admin away who may come in: nobody could mend that.
pub(crate) async fn an_admin_is_left(read: &mut Read, user: &User) -> Result<(), Error> {
    let is_one = user.role == Role::Admin && !user.disabled;
    if !is_one || read.admin_fetch_besides(user.id).await?.is_some() {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::LastAdmin,
        format!("{} is the only admin who is not disabled", user.name),
    )
    .hint("make somebody else an admin first: pwctl user role NAME admin")
    .into())
}
