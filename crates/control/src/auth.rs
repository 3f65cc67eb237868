//! Who comes with a token, and the local admin's own.

use std::collections::BTreeSet;

use model::{Problem, ProblemCode, Role, Scope, UserId};
use store::{NewAuditEntry, Principal, Read, Record, Token, User};

use crate::change::Change;
use crate::clock::draw;
use crate::credential::{digest, is_token};
use crate::disable::user_gate;
use crate::{Caller, Control, Error, Operation, Origin, TokenText};

/// The name of the user, and of its token, that are made at the first start. What tells them from others is their ids;
/// nobody else is called so.
pub(crate) const LOCAL_ADMIN: &str = "admin";

impl Control {
    /// Finds out who comes with a token.
    ///
    /// # Errors
    /// The token is malformed, unknown or expired, or its user is disabled.
    pub async fn authenticate(&self, token: &str, origin: Origin) -> Result<Caller, Error> {
        if !is_token(token) {
            return Err(
                unauthenticated("that is no token of Pitwall's; it may have been cut or mistyped").into(),
            );
        }
        let found = self
            .inner
            .store
            .glance()
            .await?
            .token_fetch_by_digest(digest(token))
            .await?;
        let Some((token, user)) = found else {
            return Err(
                unauthenticated("that token is not known here; it may have been revoked or renewed").into(),
            );
        };
        let (id, used) = (token.id, token.last_used_at);
        let caller = self.caller_of(token, user, origin)?;
        self.inner.token_uses.note(id, used, self.now());
        Ok(caller)
    }

    /// Who somebody is by now, whose token was good a while ago.
    ///
    /// # Errors
    /// The token was revoked or has expired since, or its user is disabled or gone.
    pub(crate) async fn caller_now(&self, read: &mut Read, caller: &Caller) -> Result<Caller, Error> {
        let found = read.token_fetch_with_user(caller.user, caller.token).await?;
        let (token, user) = found.ok_or_else(|| unauthenticated("that token was revoked"))?;
        self.caller_of(token, user, caller.origin.clone())
    }

    fn caller_of(&self, token: Token, user: User, origin: Origin) -> Result<Caller, Error> {
        let let_in = is_let_in(&user);
        // Whoever is no admin any more has tokens from before.
        let may: BTreeSet<Scope> = Scope::of_role(user.role);
        let caller = Caller {
            user: user.id,
            name: user.name,
            role: user.role,
            token: token.id,
            scopes: token.scopes.intersection(&may).copied().collect(),
            token_expires_at: token.expires_at,
            origin,
        };
        if caller.token_expires_at.is_some_and(|at| at <= self.now()) {
            let problem = Problem::new(ProblemCode::TokenExpired, "that token has expired");
            let problem = problem.hint("sign in again: pwctl login");
            return Err(Error::refused(problem, caller.actor()));
        }
        match let_in {
            Ok(()) => Ok(caller),
            Err(problem) => Err(Error::refused(problem, caller.actor())),
        }
    }

    /// Makes the token of the local admin's file at the first start, and where it was revoked. Gives its text if it was
    /// made just now, which is the only time that anybody can see it.
    ///
    /// # Errors
    /// The memory refuses, or there is no randomness.
    pub async fn admin_token_ensure(&self) -> Result<Option<TokenText>, Error> {
        let mut change = self.change().await?;
        let admin = self.admin_ensure(&mut change).await?;
        let known = change.local_admin_fetch().await?.token;
        if let Some(token) = known
            && change.token_fetch_of_user(admin, token).await?.is_some()
        {
            return Ok(None);
        }
        let text = self.admin_token_new(&mut change, admin).await?;
        self.commit(change).await?;
        Ok(Some(text))
    }

    /// Makes a new token for the local admin's file in the place of the one before, for when its text was lost.
    ///
    /// # Errors
    /// The memory refuses, or there is no randomness.
    pub async fn admin_token_renew(&self) -> Result<TokenText, Error> {
        let mut change = self.change().await?;
        change.withdraws_rights();
        let admin = self.admin_ensure(&mut change).await?;
        if let Some(old) = change.local_admin_fetch().await?.token {
            change.token_delete(old).await?;
        }
        let text = self.admin_token_new(&mut change, admin).await?;
        self.commit(change).await?;
        Ok(text)
    }

    /// The local admin, made at the first start; it gets what has no owner yet. Whoever holds its file may come in, so
    /// it is an admin that is not disabled from then on.
    pub(crate) async fn admin_ensure(&self, change: &mut Change) -> Result<UserId, Error> {
        let known = change.local_admin_fetch().await?.user;
        let known = match known {
            Some(id) => change.principal_fetch(id.into()).await?,
            None => None,
        };
        let user = match known.and_then(Principal::into_user) {
            Some(known) => self.admin_restored(change, known).await?,
            None => self.admin_new(change).await?,
        };
        change.ownerless_give(user).await?;
        Ok(user)
    }

    async fn admin_new(&self, change: &mut Change) -> Result<UserId, Error> {
        let user = User {
            id: UserId::from_random(draw(self.inner.entropy.as_ref())?),
            name: LOCAL_ADMIN
                .parse()
                .map_err(|error| Error::internal(AdminName(error)))?,
            role: Role::Admin,
            disabled: false,
            created_at: change.now,
        };
        let id = user.id;
        change.principal_insert(&Principal::User(user)).await?;
        change.local_admin_put(id).await?;
        Ok(id)
    }

    async fn admin_restored(&self, change: &mut Change, known: User) -> Result<UserId, Error> {
        let id = known.id;
        let user = User {
            role: Role::Admin,
            ..known.clone()
        };
        if known.role != user.role {
            change.user_update(&user).await?;
        }
        if user.disabled {
            let entry = NewAuditEntry {
                at: change.now,
                user: None,
                token: None,
                address: None,
                request: None,
                operation: Operation::UserEnable.as_str(),
                target: Some(id.to_string()),
                outcome: "ok",
            };
            change.record(&Record::of_audit(&[entry])).await?;
            user_gate(change, user, false).await?;
        }
        Ok(id)
    }

    async fn admin_token_new(&self, change: &mut Change, admin: UserId) -> Result<TokenText, Error> {
        let scopes = Scope::of_role(Role::Admin);
        let (token, text) = self.token_of(admin, LOCAL_ADMIN.to_owned(), scopes, None)?;
        change.token_insert(&token).await?;
        change.admin_token_put(token.id).await?;
        Ok(text)
    }
}

/// Refuses a user who is kept out.
pub(crate) fn is_let_in(user: &User) -> Result<(), Problem> {
    if !user.disabled {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::UserDisabled,
        format!("the user {} is disabled", user.name),
    )
    .hint("ask an admin to enable it again"))
}

/// The local admin cannot be named.
#[derive(Debug, thiserror::Error)]
#[error("the local admin has no name")]
struct AdminName(#[source] model::NameError);

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(ProblemCode::Unauthenticated, detail)
        .hint("give the token that lies in admin.token in Pitwall's state directory")
}
