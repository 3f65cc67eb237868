//! API tokens of an account.
//!
//! A token has at most the rights of its user, and makes none that is good for more, or for longer, than itself. When it
//! was used last is kept to the minute and beside the requests: they note it in memory, and a task writes it down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{Problem, ProblemCode, Role, Scope, TokenId, UserId};
use store::{Token, User};
use tokio::time::{MissedTickBehavior, interval};

use crate::account::account_find;
use crate::change::{Change, to_its_end};
use crate::clock::draw;
use crate::credential::{digest, token_text};
use crate::page::Paging;
use crate::{Caller, Control, Error, Operation, Page, PageRequest, TokenText, UserSelector, chain};

/// How long a token is good where nothing else is said.
pub(crate) const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 90);
/// How long it is told of an expired token that it has expired; then it is forgotten.
const EXPIRED_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);
/// More than anybody's machines and programs.
const MAX_TOKENS: usize = 100;
const MAX_NAME_CHARACTERS: usize = 100;

/// How often uses are written down.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// A token to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateToken {
    /// What it is for, in a word.
    pub name: String,
    /// What it is good for; `None` is whatever the asking token is.
    pub scopes: Option<BTreeSet<Scope>>,
    /// Until when; `None` is as long as usual.
    pub until: Option<Until>,
}

/// Until when a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until then.
    At(Timestamp),
    /// For so many seconds from now.
    For(u64),
}

impl Control {
    /// A user's tokens, oldest first.
    ///
    /// # Errors
    /// There is no such user, or the cursor is none.
    pub async fn token_list(
        &self,
        caller: &Caller,
        user: &UserSelector,
        page: &PageRequest,
    ) -> Result<Page<Token>, Error> {
        let mut read = self.inner.store.read().await?;
        let user = account_find(&mut read, caller, user, Operation::TokenList).await?;
        let (paging, behind) = Paging::of::<(i64, TokenId)>(caller, Operation::TokenList, &user.id, page)?;
        let place = |token: &Token| (token.created_at.as_millisecond(), token.id);
        let mut tokens = read.token_list_of_user(user.id).await?;
        tokens.retain(|token| behind.is_none_or(|behind| place(token) > behind));
        paging.page(tokens, place)
    }

    /// A user's token.
    ///
    /// # Errors
    /// There is no such user or token.
    pub async fn token_get(&self, caller: &Caller, user: &UserSelector, token: &str) -> Result<Token, Error> {
        let mut read = self.inner.store.read().await?;
        let user = account_find(&mut read, caller, user, Operation::TokenGet).await?;
        token_find(&mut read, &user, token).await
    }

    /// Makes a token for an account. Its text is given this once.
    ///
    /// # Errors
    /// There is no such user, it has too many tokens, or the token would be good for more or for longer than the one
    /// that asks.
    pub async fn token_create(
        &self,
        caller: &Caller,
        user: &UserSelector,
        wish: CreateToken,
    ) -> Result<(Token, TokenText), Error> {
        check_name(&wish.name)?;
        let mut change = self.change_by(caller, Operation::TokenCreate).await?;
        let user = account_find(&mut change, caller, user, Operation::TokenCreate).await?;
        let scopes = scopes(wish.scopes, &caller.scopes, user.role)?;
        let expires_at = expiry(change.now, wish.until, caller.token_expires_at)?;
        make_room(&mut change, &user).await?;
        let (token, text) = self.token_of(user.id, wish.name, scopes, Some(expires_at))?;
        change.about(token.id);
        change.token_insert(&token).await?;
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, account.id = %user.id, token.id = %token.id, "token made");
        Ok((token, text))
    }

    /// Makes another token like the one that asks, to take its place: the same name, scopes and end. In the place of the
    /// one in the local admin's file it is the file's from then on.
    ///
    /// # Errors
    /// The memory refuses, or there is no randomness.
    pub async fn token_renew(&self, caller: &Caller) -> Result<(Token, TokenText), Error> {
        let mut change = self.change_by(caller, Operation::TokenRenew).await?;
        let user = account_find(&mut change, caller, &UserSelector::Me, Operation::TokenRenew).await?;
        make_room(&mut change, &user).await?;
        let old = token_find(&mut change, &user, &caller.token.to_string()).await?;
        let (token, text) = self.token_of(user.id, old.name, caller.scopes.clone(), old.expires_at)?;
        change.about(token.id);
        change.token_insert(&token).await?;
        if change.local_admin_fetch().await?.token == Some(old.id) {
            change.admin_token_put(token.id).await?;
        }
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, token.id = %token.id, renewed.id = %old.id, "token renewed");
        Ok((token, text))
    }

    /// Revokes a user's token. What is open with it ends.
    ///
    /// # Errors
    /// There is no such user or token.
    pub async fn token_delete(&self, caller: &Caller, user: &UserSelector, token: &str) -> Result<(), Error> {
        let mut change = self.change_by(caller, Operation::TokenDelete).await?;
        let user = account_find(&mut change, caller, user, Operation::TokenDelete).await?;
        let token = token_find(&mut change, &user, token).await?;
        change.about(token.id);
        change.token_delete(token.id).await?;
        change.withdraws_rights();
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, account.id = %user.id, token.id = %token.id, "token revoked");
        Ok(())
    }

    pub(crate) fn token_of(
        &self,
        user: UserId,
        name: String,
        scopes: BTreeSet<Scope>,
        expires_at: Option<Timestamp>,
    ) -> Result<(Token, TokenText), Error> {
        let entropy = self.inner.entropy.as_ref();
        let text = token_text(entropy)?;
        let token = Token {
            id: TokenId::from_random(draw(entropy)?),
            user,
            name,
            digest: digest(text.reveal()),
            scopes,
            created_at: self.now(),
            expires_at,
            last_used_at: None,
        };
        Ok((token, text))
    }

    /// Writes down when tokens were used, now and then.
    pub(crate) async fn keep_token_uses(&self) {
        let mut ticks = interval(KEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.token_uses_keep().await {
                tracing::error!(
                    error = chain(&error),
                    "the uses of tokens could not be written down"
                );
            }
        }
    }

    /// Writes down the uses that were noted since the last time. A caller that goes away meanwhile stops nothing.
    ///
    /// # Errors
    /// The memory refuses; these uses are written down the next time.
    pub(crate) async fn token_uses_keep(&self) -> Result<(), Error> {
        let control = self.clone();
        to_its_end(async move {
            let uses = control.inner.token_uses.take();
            let kept = control.uses_write(&uses).await;
            if kept.is_err() {
                control.inner.token_uses.put_back(uses);
            }
            kept
        })
        .await
    }

    async fn uses_write(&self, uses: &BTreeMap<TokenId, Timestamp>) -> Result<(), Error> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut change = self.change().await?;
        for (token, at) in uses {
            change.token_use_update(*token, *at).await?;
        }
        self.commit(change).await
    }
}

/// When tokens were used, as far as it is not written down yet.
#[derive(Debug, Default)]
pub(crate) struct TokenUses(Mutex<BTreeMap<TokenId, Timestamp>>);

impl TokenUses {
    /// Notes a use, unless that minute is `known`.
    pub(crate) fn note(&self, token: TokenId, known: Option<Timestamp>, now: Timestamp) {
        let second = now.as_second();
        let minute = Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(now);
        if known.is_none_or(|known| known < minute) {
            self.lock().insert(token, minute);
        }
    }

    fn take(&self) -> BTreeMap<TokenId, Timestamp> {
        std::mem::take(&mut self.lock())
    }

    /// Puts back what could not be written down, unless it was used again since.
    fn put_back(&self, uses: BTreeMap<TokenId, Timestamp>) {
        let mut noted = self.lock();
        for (token, at) in uses {
            noted.entry(token).or_insert(at);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TokenId, Timestamp>> {
        // A use that was noted half is none; the map is whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn token_find(read: &mut store::Read, user: &User, token: &str) -> Result<Token, Error> {
    let no_token = || {
        Problem::new(
            ProblemCode::NotFound,
            // What was given is not repeated: it may be a token's text in the place of its id.
            format!("{} has no such token", user.name),
        )
        .hint("pwctl token ls shows the ids")
    };
    let id: TokenId = token.parse().map_err(|_| no_token())?;
    let found = read.token_fetch_of_user(user.id, id).await?;
    Ok(found.ok_or_else(no_token)?)
}

/// Forgets tokens of a user that expired long ago, and refuses another where there are too many still.
pub(crate) async fn make_room(change: &mut Change, user: &User) -> Result<(), Error> {
    let mut left = 0;
    for token in change.token_list_of_user(user.id).await? {
        let expired_for = token.expires_at.map(|at| change.now.duration_since(at));
        match expired_for.is_some_and(|time| time > EXPIRED_FOR) {
            true => change.token_delete(token.id).await?,
            false => left += 1,
        }
    }
    if left < MAX_TOKENS {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::InvalidValue,
        format!("{} has {MAX_TOKENS} tokens, which is the most", user.name),
    )
    .hint("revoke those that are not used any more: pwctl token rm")
    .into())
}

/// Refuses a name that is none.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    let characters = name.chars().count();
    if (1..=MAX_NAME_CHARACTERS).contains(&characters) && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::InvalidValue,
        format!(
            "a token's name has 1 to {MAX_NAME_CHARACTERS} characters, none of which controls a terminal"
        ),
    )
    .at("/name"))
}

/// What a new token is good for: at most what the one that asks is, and what its user's role allows.
fn scopes(
    wished: Option<BTreeSet<Scope>>,
    own: &BTreeSet<Scope>,
    role: Role,
) -> Result<BTreeSet<Scope>, Problem> {
    let of_role = Scope::of_role(role);
    let Some(wished) = wished else {
        return Ok(own.intersection(&of_role).copied().collect());
    };
    if wished.is_empty() {
        return Err(
            Problem::new(ProblemCode::InvalidValue, "a token is good for something")
                .hint("leave scopes out for all that yours has")
                .at("/scopes"),
        );
    }
    if let Some(scope) = wished.difference(own).next() {
        return Err(Problem::new(
            ProblemCode::InsufficientScope,
            format!("this token lacks the scope {scope}, so it makes none that has it"),
        )
        .hint("use a token that has it, or sign in again (pwctl login)")
        .at("/scopes"));
    }
    if let Some(scope) = wished.difference(&of_role).next() {
        return Err(Problem::new(
            ProblemCode::InvalidValue,
            format!("the scope {scope} is not for a {role}"),
        )
        .at("/scopes"));
    }
    Ok(wished)
}

/// When a new token ends: after now, and not after the one that asks.
fn expiry(now: Timestamp, wished: Option<Until>, own: Option<Timestamp>) -> Result<Timestamp, Problem> {
    let invalid = |pointer: &str, detail: String| Problem::new(ProblemCode::InvalidValue, detail).at(pointer);
    let (at, pointer) = match wished {
        None => {
            let usual = now.checked_add(DEFAULT_LIFETIME).unwrap_or(Timestamp::MAX);
            return Ok(own.map_or(usual, |own| own.min(usual)));
        }
        Some(Until::At(at)) => (Some(at), "/expires_at"),
        Some(Until::For(seconds)) => {
            let time = i64::try_from(seconds).ok().map(SignedDuration::from_secs);
            (
                time.and_then(|time| now.checked_add(time).ok()),
                "/expires_in_seconds",
            )
        }
    };
    let Some(at) = at else {
        return Err(invalid(pointer, "that is farther away than times go".to_owned()));
    };
    if at <= now {
        return Err(invalid(pointer, format!("{at} is not in the future")));
    }
    if let Some(own) = own.filter(|own| at > *own) {
        return Err(invalid(
            pointer,
            format!("the token that asks ends at {own}, and makes none that ends later"),
        )
        .hint("ask for less, or sign in again (pwctl login)"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_000_000, 0);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_makes_none_that_is_good_for_more() {
        let own = BTreeSet::from([Scope::VmRead, Scope::Admin]);
        let make = |wished: &[Scope], role| scopes(Some(wished.iter().copied().collect()), &own, role);
        assert_eq!(make(&[Scope::VmRead], Role::Member), Ok([Scope::VmRead].into()));
        assert_eq!(
            make(&[Scope::VmWrite], Role::Admin).unwrap_err().code,
            ProblemCode::InsufficientScope
        );
        assert_eq!(
            make(&[Scope::Admin], Role::Member).unwrap_err().code,
            ProblemCode::InvalidValue
        );
        assert_eq!(
            make(&[], Role::Admin).unwrap_err().code,
            ProblemCode::InvalidValue
        );
        assert_eq!(scopes(None, &own, Role::Admin), Ok(own.clone()));
        assert_eq!(scopes(None, &own, Role::Member), Ok([Scope::VmRead].into()));
    }

    #[test]
    fn a_token_makes_none_that_lasts_longer() {
        let usual = at(1_000_000 + 90 * 24 * 3600);
        for (wished, own, ends) in [
            (None, None, Ok(usual)),
            (None, Some(at(1_000_500)), Ok(at(1_000_500))),
            (Some(Until::For(600)), None, Ok(at(1_000_600))),
            (Some(Until::For(500)), Some(at(1_000_500)), Ok(at(1_000_500))),
            (
                Some(Until::For(501)),
                Some(at(1_000_500)),
                Err("/expires_in_seconds"),
            ),
            (Some(Until::For(0)), None, Err("/expires_in_seconds")),
            (Some(Until::For(u64::MAX)), None, Err("/expires_in_seconds")),
            (Some(Until::At(at(1_000_001))), None, Ok(at(1_000_001))),
            (Some(Until::At(NOW)), None, Err("/expires_at")),
            (
                Some(Until::At(at(2_000_000))),
                Some(at(1_999_999)),
                Err("/expires_at"),
            ),
        ] {
            let found = expiry(NOW, wished, own);
            let found = found.map_err(|problem| problem.pointer.unwrap_or_default());
            assert_eq!(found, ends.map_err(str::to_owned), "{wished:?} {own:?}");
        }
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let (uses, token) = (TokenUses::default(), TokenId::from_random([1; 16]));
        uses.note(token, None, at(125));
        assert_eq!(uses.take(), [(token, at(120))].into());
        uses.note(token, Some(at(120)), at(179));
        assert_eq!(uses.take(), [].into());
        uses.note(token, Some(at(120)), at(180));
        assert_eq!(uses.take(), [(token, at(180))].into());
    }
}
