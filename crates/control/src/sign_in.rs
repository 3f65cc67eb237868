//! Signing in with a one-time code, and out.
//!
//! A code is exchanged once for a token of this machine, which may do whatever its user may. Only a code that somebody
//! makes for themselves gives no more, and for no longer, than the token that made it. Whether it was good, unknown, used or too old, the same is done
//! and written: nobody learns from the answer which codes there are, or who they are for.

use jiff::{SignedDuration, Timestamp};
use model::{Problem, ProblemCode, Scope, UserId};
use store::{NewAuditEntry, Principal, Record, SignInCode, Token, User};

use crate::account::account_find;
use crate::auth::is_let_in;
use crate::change::Change;
use crate::credential::{code_digest, code_text};
use crate::token::{DEFAULT_LIFETIME, check_name, make_room};
use crate::{Caller, Control, Error, Operation, Origin, TokenText, UserSelector};

/// How long a one-time code is good.
const CODE_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// What the audit calls a sign-in; it is nobody's right, so the table of rights has no row for it.
const LOGIN: &str = "login";

impl Control {
    /// Gives a user a new one-time code in the place of the one before.
    ///
    /// # Errors
    /// The caller is no admin, or there is no such user.
    pub async fn user_code(&self, caller: &Caller, user: &UserSelector) -> Result<(User, TokenText), Error> {
        let mut change = self.change_by(caller, Operation::UserCode).await?;
        let user = account_find(&mut change, caller, user, Operation::UserCode).await?;
        change.about(user.id);
        let code = self.code_new(&mut change, caller, user.id).await?;
        self.commit(change).await?;
        Ok((user, code))
    }

    /// A code for a user, made by the caller.
    pub(crate) async fn code_new(
        &self,
        change: &mut Change,
        caller: &Caller,
        user: UserId,
    ) -> Result<TokenText, Error> {
        let text = code_text(self.inner.entropy.as_ref())?;
        let is_own = caller.user == user;
        let code = SignInCode {
            digest: code_digest(text.reveal()),
            user,
            expires_at: later(change.now, CODE_LIFETIME)?,
            scopes: is_own.then(|| caller.scopes.clone()),
            token_expires_at: caller.token_expires_at.filter(|_| is_own),
        };
        change.sign_in_code_put(&code).await?;
        Ok(text)
    }

    /// Exchanges a one-time code for a token with this name.
    ///
    /// # Errors
    /// There is no such code, it was used or is too old, or its user is disabled.
    pub async fn login(&self, code: &str, name: String, origin: Origin) -> Result<(Token, TokenText), Error> {
        check_name(&name)?;
        let mut change = self.change().await?;
        let entry = NewAuditEntry {
            at: change.now,
            user: None,
            token: None,
            address: origin.address,
            request: origin.request,
            operation: LOGIN,
            target: None,
            outcome: "ok",
        };
        match self.login_in(&mut change, code, name).await {
            Ok((user, token, text)) => {
                let user = Some((user.id, user.name));
                let token_id = Some(token.id);
                let entry = NewAuditEntry {
                    user,
                    token: token_id,
                    ..entry
                };
                change.record(&Record::of_audit(&[entry])).await?;
                self.commit(change).await?;
                tracing::info!(user.id = %token.user, token.id = %token.id, "signed in with a code");
                Ok((token, text))
            }
            Err(error) if error.is_fault() => Err(error),
            Err(error) => {
                let outcome = error.problem.code.as_str();
                let entry = NewAuditEntry { outcome, ..entry };
                change.record(&Record::of_audit(&[entry])).await?;
                self.commit(change).await?;
                Err(error)
            }
        }
    }

    async fn login_in(
        &self,
        change: &mut Change,
        code: &str,
        name: String,
    ) -> Result<(User, Token, TokenText), Error> {
        let found = change.sign_in_code_fetch(code_digest(code)).await?;
        let is_late = |end: Timestamp| end <= change.now;
        let good =
            found.filter(|code| !is_late(code.expires_at) && !code.token_expires_at.is_some_and(is_late));
        let code = good.ok_or_else(no_code)?;
        let user = change.principal_fetch(code.user.into()).await?;
        let user = user.and_then(Principal::into_user).ok_or_else(no_code)?;
        is_let_in(&user)?;
        make_room(change, &user).await?;
        let usual = later(change.now, DEFAULT_LIFETIME)?;
        let expires_at = code.token_expires_at.map_or(usual, |end| end.min(usual));
        let mut scopes = Scope::of_role(user.role);
        scopes.retain(|scope| code.scopes.as_ref().is_none_or(|most| most.contains(scope)));
        let (token, text) = self.token_of(user.id, name, scopes, Some(expires_at))?;
        change.token_insert(&token).await?;
        change.sign_in_codes_delete(user.id).await?;
        Ok((user, token, text))
    }

    /// Revokes the token that asks.
    ///
    /// # Errors
    /// The memory refuses.
    pub async fn logout(&self, caller: &Caller) -> Result<(), Error> {
        let mut change = self.change_by(caller, Operation::Logout).await?;
        change.about(caller.token);
        change.token_delete(caller.token).await?;
        change.withdraws_rights();
        self.commit(change).await
    }
}

fn later(now: Timestamp, by: SignedDuration) -> Result<Timestamp, Error> {
    now.checked_add(by).map_err(Error::internal)
}

fn no_code() -> Problem {
    Problem::new(
        ProblemCode::Unauthenticated,
        "that one-time code is not known, was used, or is older than a day",
    )
    .hint("ask an admin for a new one: pwctl user code NAME")
}
