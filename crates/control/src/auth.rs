//! Who comes with a token, and the local admin's own.

use std::collections::BTreeSet;

use model::{PrincipalName, Problem, ProblemCode, Role, Scope, UserId};
use store::{Principal, Read, Token, User};

use crate::change::Change;
use crate::clock::draw;
use crate::credential::{digest, is_token};
use crate::{Caller, Control, Error, Origin, TokenText};

/// The name of the user, and of its token, that are made at the first start.
const ADMIN: &str = "admin";

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
        let mut read = self.inner.store.read().await?;
        let Some(token) = read.token_fetch_by_digest(digest(token)).await? else {
            return Err(
                unauthenticated("that token is not known here; it may have been revoked or renewed").into(),
            );
        };
        let (id, used) = (token.id, token.last_used_at);
        let caller = self.caller_of(&mut read, token, origin).await?;
        self.inner.token_uses.note(id, used, self.now());
        Ok(caller)
    }

    /// Who somebody is by now, whose token was good a while ago.
    ///
    /// # Errors
    /// The token was revoked or has expired since, or its user is disabled or gone.
    pub(crate) async fn caller_now(&self, read: &mut Read, caller: &Caller) -> Result<Caller, Error> {
        let token = read.token_fetch_of_user(caller.user, caller.token).await?;
        let token = token.ok_or_else(|| unauthenticated("that token was revoked"))?;
        self.caller_of(read, token, caller.origin.clone()).await
    }

    async fn caller_of(&self, read: &mut Read, token: Token, origin: Origin) -> Result<Caller, Error> {
        let user = read.principal_fetch(token.user.into()).await?;
        let Some(user) = user.and_then(Principal::into_user) else {
            return Err(unauthenticated("that token's user is gone").into());
        };
        let is_disabled = user.disabled;
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
        if is_disabled {
            let problem = Problem::new(
                ProblemCode::UserDisabled,
                format!("the user {} is disabled", caller.name),
            );
            let problem = problem.hint("ask an admin to enable it again");
            return Err(Error::refused(problem, caller.actor()));
        }
        Ok(caller)
    }

    /// Makes the admin's token at the first start. Gives its text if it was made just now, which is the only time
    /// that anybody can see it.
    ///
    /// # Errors
    /// The memory refuses, or there is no randomness.
    pub async fn admin_token_ensure(&self) -> Result<Option<TokenText>, Error> {
        let mut change = self.change().await?;
        let admin = self.admin_ensure(&mut change).await?;
        if !admin_tokens(&mut change, admin).await?.is_empty() {
            return Ok(None);
        }
        let (token, text) = self.admin_token_new(admin)?;
        change.token_insert(&token).await?;
        self.commit(change).await?;
        Ok(Some(text))
    }

    /// Makes a new admin token in the place of every older one, for when its text was lost.
    ///
    /// # Errors
    /// The memory refuses, or there is no randomness.
    pub async fn admin_token_renew(&self) -> Result<TokenText, Error> {
        let mut change = self.change().await?;
        change.withdraws_rights();
        let admin = self.admin_ensure(&mut change).await?;
        for old in admin_tokens(&mut change, admin).await? {
            change.token_delete(old.id).await?;
        }
        let (token, text) = self.admin_token_new(admin)?;
        change.token_insert(&token).await?;
        self.commit(change).await?;
        Ok(text)
    }

    /// The local admin, made at the first start; it gets what has no owner yet. Whoever holds its file may come in, so
    /// it is an admin that is not disabled from then on.
    pub(crate) async fn admin_ensure(&self, change: &mut Change) -> Result<UserId, Error> {
        let name: PrincipalName = ADMIN.parse().map_err(|error| Error::internal(AdminName(error)))?;
        let known = change.principal_fetch_by_name(&name).await?;
        let known = known.and_then(Principal::into_user);
        let user = match known {
            Some(known) => User {
                role: Role::Admin,
                disabled: false,
                ..known
            },
            None => User {
                id: UserId::from_random(draw(self.inner.entropy.as_ref())?),
                name,
                role: Role::Admin,
                disabled: false,
                created_at: change.now,
            },
        };
        if change.principal_fetch(user.id.into()).await?.is_none() {
            change.principal_insert(&Principal::User(user.clone())).await?;
        } else {
            change.user_update(&user).await?;
        }
        change.ownerless_give(user.id).await?;
        Ok(user.id)
    }

    fn admin_token_new(&self, admin: UserId) -> Result<(Token, TokenText), Error> {
        self.token_of(admin, ADMIN.to_owned(), Scope::of_role(Role::Admin), None)
    }
}

/// The local admin cannot be named.
#[derive(Debug, thiserror::Error)]
#[error("the local admin has no name")]
struct AdminName(#[source] model::NameError);

/// The tokens of the file, not those that the admin made for other uses.
async fn admin_tokens(read: &mut Read, admin: UserId) -> Result<Vec<Token>, Error> {
    let mut tokens = read.token_list_of_user(admin).await?;
    tokens.retain(|token| token.name == ADMIN);
    Ok(tokens)
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(ProblemCode::Unauthenticated, detail)
        .hint("give the token that lies in admin.token in Pitwall's state directory")
}
