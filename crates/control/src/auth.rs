//! Tokens: `pwt_`, 160 random bits and a checksum over both, in base 62.
//!
//! The checksum tells a token that was cut or mistyped from one that is unknown, without asking the memory. Only the
//! digest of a token is kept. 160 bits cannot be guessed, so a plain SHA-256 is enough and a lookup by digest leaks
//! nothing worth timing.

use model::{Digest, PrincipalName, Problem, ProblemCode, Role, Scope, TokenId, UserId};
use sha2::{Digest as _, Sha256};
use store::{Principal, Read, Token, User};

use crate::change::Change;
use crate::clock::draw;
use crate::{Caller, Control, Error, Origin, TokenText};

const PREFIX: &str = "pwt_";
const RANDOM_BYTES: usize = 20;
/// 62^27 is more than 2^160.
const RANDOM_DIGITS: usize = 27;
/// 62^6 is more than 2^32.
const CHECK_DIGITS: usize = 6;

/// The name of the user, and of its token, that are made at the first start.
const ADMIN: &str = "admin";

impl Control {
    /// Finds out who comes with a token.
    ///
    /// # Errors
    /// The token is malformed, unknown or expired, or its user is disabled.
    pub async fn authenticate(&self, token: &str, origin: Origin) -> Result<Caller, Error> {
        if !is_well_formed(token) {
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
        if token.expires_at.is_some_and(|at| at <= self.now()) {
            return Err(Problem::new(ProblemCode::TokenExpired, "that token has expired")
                .hint("sign in again: pwctl login")
                .into());
        }
        let user = read.principal_fetch(token.user.into()).await?;
        let Some(user) = user.and_then(Principal::into_user) else {
            return Err(unauthenticated("that token's user is gone").into());
        };
        if user.disabled {
            return Err(Problem::new(
                ProblemCode::UserDisabled,
                format!("the user {} is disabled", user.name),
            )
            .hint("ask an admin to enable it again")
            .into());
        }
        Ok(Caller {
            user: user.id,
            name: user.name,
            role: user.role,
            token: token.id,
            scopes: token.scopes,
            token_expires_at: token.expires_at,
            origin,
        })
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
        let (token, text) = self.token_new(admin)?;
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
        let admin = self.admin_ensure(&mut change).await?;
        for old in admin_tokens(&mut change, admin).await? {
            change.token_delete(old.id).await?;
        }
        let (token, text) = self.token_new(admin)?;
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

    fn token_new(&self, user: UserId) -> Result<(Token, TokenText), Error> {
        let entropy = self.inner.entropy.as_ref();
        let text = text_of(draw(entropy)?);
        let token = Token {
            id: TokenId::from_random(draw(entropy)?),
            user,
            name: ADMIN.to_owned(),
            digest: digest(&text),
            scopes: Scope::of_role(Role::Admin),
            created_at: self.now(),
            expires_at: None,
            last_used_at: None,
        };
        Ok((token, TokenText::new(text)))
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

fn digest(text: &str) -> Digest {
    Digest::from_sha256(Sha256::digest(text.as_bytes()).into())
}

fn text_of(random: [u8; RANDOM_BYTES]) -> String {
    let body = format!("{PREFIX}{}", base62(&random, RANDOM_DIGITS));
    let check = check(&body);
    body + &check
}

fn is_well_formed(text: &str) -> bool {
    let length = PREFIX.len() + RANDOM_DIGITS + CHECK_DIGITS;
    let alphanumeric = text
        .strip_prefix(PREFIX)
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if text.len() != length || !alphanumeric {
        return false;
    }
    let (body, found) = text.split_at(length - CHECK_DIGITS);
    check(body) == found
}

fn check(body: &str) -> String {
    let hash = digest(body);
    let first: Vec<u8> = hash.as_bytes().iter().copied().take(4).collect();
    base62(&first, CHECK_DIGITS)
}

/// A big-endian number in base 62, with leading zeros.
fn base62(bytes: &[u8], digits: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = bytes.to_vec();
    let mut text: Vec<char> = (0..digits)
        .map(|_| {
            let digit = divide(&mut number, 62);
            ALPHABET.get(usize::from(digit)).map_or('0', |&b| char::from(b))
        })
        .collect();
    text.reverse();
    text.into_iter().collect()
}

/// Divides a big-endian number in place and gives the remainder.
fn divide(number: &mut [u8], by: u16) -> u8 {
    let mut rest = 0_u16;
    for byte in number {
        let value = rest << 8 | u16::from(*byte);
        // Both fit: the remainder is below 62, so the quotient is below 256.
        *byte = u8::try_from(value / by).unwrap_or(u8::MAX);
        rest = value % by;
    }
    u8::try_from(rest).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_62_is_arithmetic() {
        assert_eq!(base62(&[0], 3), "000");
        assert_eq!(base62(&[61], 3), "00z");
        assert_eq!(base62(&[62], 3), "010");
        assert_eq!(base62(&[0x01, 0x00], 3), "048");
        assert_eq!(base62(&[0xff; 20], 27).len(), 27);
        assert_ne!(base62(&[0xff; 20], 27), base62(&[0xfe; 20], 27));
    }

    #[test]
    fn a_token_knows_when_it_was_mistyped() {
        let text = text_of([7; RANDOM_BYTES]);
        assert_eq!(text.len(), 37);
        assert!(is_well_formed(&text), "{text}");
        assert!(!is_well_formed(&text[..36]));
        assert!(!is_well_formed(&text.replace("pwt_", "pwt-")));
        let mut wrong = text.clone().into_bytes();
        wrong[10] = if wrong[10] == b'a' { b'b' } else { b'a' };
        assert!(!is_well_formed(&String::from_utf8(wrong).unwrap()));
        assert!(!is_well_formed("pwt_ééééééééééééééééé"));
    }
}
