//! Lists, a page at a time.
//!
//! A cursor is the place of the last thing on a page, and the next page lies behind that place. It is opaque to
//! clients and bound to what it was given for: caller, list and filters are part of its check. The check keeps mistakes
//! out, not people: a place says only where to begin, and what a caller may see is asked anew for each page.

use data_encoding::BASE64URL_NOPAD;
use model::{Problem, ProblemCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::{Caller, Error, Operation};

/// How many things a page holds where nothing else is said.
pub const DEFAULT_LIMIT: u32 = 50;
/// How many things a page may hold.
pub const MAX_LIMIT: u32 = 500;

/// So much of the check is kept that no mistake passes it.
const CHECK_BYTES: usize = 8;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// How many things at most; `None` is [`DEFAULT_LIMIT`].
    pub limit: Option<u32>,
    /// Where the page before ended, as it said; `None` is the beginning.
    pub cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` where the list ends.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page with nothing on it, the only one of its list.
    pub(crate) const fn empty() -> Self {
        Self {
            items: Vec::new(),
            next: None,
        }
    }

    /// The same page of something else.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(each).collect(),
            next: self.next,
        }
    }
}

/// A list on its way to a page.
pub(crate) struct Paging {
    list: Vec<u8>,
    limit: u32,
}

impl Paging {
    /// Understands which page is wanted. Gives the place that it lies behind, too.
    ///
    /// `filter` is whatever else decides what is on the list and in which order.
    pub(crate) fn of<P: DeserializeOwned>(
        caller: &Caller,
        list: Operation,
        filter: &impl Serialize,
        request: &PageRequest,
    ) -> Result<(Self, Option<P>), Error> {
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::new(
                ProblemCode::InvalidValue,
                format!("a page holds 1 to {MAX_LIMIT}, not {limit}"),
            )
            .at("/limit")
            .into());
        }
        let list = (caller.user, list.as_str(), filter);
        let list = serde_json::to_vec(&list).map_err(Error::internal)?;
        let paging = Self { list, limit };
        let behind = request.cursor.as_deref().map(|cursor| paging.place(cursor));
        let behind = behind.transpose()?;
        Ok((paging, behind))
    }

    /// How many rows to read: one more than the page holds tells whether another follows.
    pub(crate) const fn rows(&self) -> u32 {
        self.limit + 1
    }

    /// Makes the page of the rows that were read.
    pub(crate) fn page<T, P: Serialize>(
        &self,
        mut rows: Vec<T>,
        place: impl FnOnce(&T) -> P,
    ) -> Result<Page<T>, Error> {
        let limit = usize::try_from(self.limit).map_err(Error::internal)?;
        let goes_on = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| goes_on);
        let next = last.map(|last| self.cursor(&place(last))).transpose()?;
        Ok(Page { items: rows, next })
    }

    /// Makes the page behind a place out of a whole list, which is short and in the order of its places.
    pub(crate) fn page_of_all<T, P: Serialize + Ord>(
        &self,
        mut all: Vec<T>,
        behind: Option<&P>,
        place: impl Fn(&T) -> P,
    ) -> Result<Page<T>, Error> {
        all.retain(|item| behind.is_none_or(|behind| place(item) > *behind));
        self.page(all, place)
    }

    fn cursor(&self, place: &impl Serialize) -> Result<String, Error> {
        let place = serde_json::to_vec(place).map_err(Error::internal)?;
        let mut bytes = self.check(&place);
        bytes.extend(place);
        Ok(BASE64URL_NOPAD.encode(&bytes))
    }

    fn place<P: DeserializeOwned>(&self, cursor: &str) -> Result<P, Problem> {
        let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes());
        let bytes = bytes.map_err(|_| invalid_cursor())?;
        let (_, place) = bytes
            .split_at_checked(CHECK_BYTES)
            .filter(|(check, place)| *check == self.check(place))
            .ok_or_else(invalid_cursor)?;
        serde_json::from_slice(place).map_err(|_| invalid_cursor())
    }

    fn check(&self, place: &[u8]) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(u64::try_from(self.list.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(&self.list);
        hash.update(place);
        hash.finalize().iter().copied().take(CHECK_BYTES).collect()
    }
}

fn invalid_cursor() -> Problem {
    Problem::new(ProblemCode::InvalidCursor, "that cursor is not one of this list")
        .hint("begin without a cursor; each page gives the next one's, for the same filters and the same caller")
        .at("/cursor")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::{Role, Scope, TokenId, UserId};

    use super::*;

    fn caller(byte: u8) -> Caller {
        Caller {
            user: UserId::from_random([byte; 16]),
            name: "somebody".parse().unwrap(),
            role: Role::Member,
            token: TokenId::from_random([byte; 16]),
            scopes: BTreeSet::<Scope>::new(),
            token_expires_at: None,
            origin: crate::Origin::default(),
        }
    }

    fn page_at(cursor: Option<&str>, limit: Option<u32>) -> PageRequest {
        PageRequest {
            limit,
            cursor: cursor.map(str::to_owned),
        }
    }

    /// A walk over numbers, as a list would do it.
    fn page(cursor: Option<&str>, limit: u32) -> Page<u64> {
        let request = page_at(cursor, Some(limit));
        let (paging, behind) = Paging::of::<u64>(&caller(1), Operation::VmList, &"even", &request).unwrap();
        let rows = (1..=10).filter(|row| *row > behind.unwrap_or(0));
        let rows = rows.take(usize::try_from(paging.rows()).unwrap()).collect();
        paging.page(rows, |row| *row).unwrap()
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        for limit in [1, 2, 3, 5, 10, 11] {
            let (mut met, mut cursor) = (vec![], None);
            loop {
                let page = page(cursor.as_deref(), limit);
                assert!(
                    !page.items.is_empty(),
                    "no page is empty but that of an empty list"
                );
                met.extend(page.items);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(met, (1..=10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_cursor_is_good_for_its_list_only() {
        let cursor = page(None, 2).next.unwrap();
        let taken = |caller: &Caller, list, filter: &str, cursor: &str| {
            Paging::of::<u64>(caller, list, &filter, &page_at(Some(cursor), None))
                .map(|(_, behind)| behind)
                .map_err(|error| error.problem.code)
        };
        let invalid = Err(ProblemCode::InvalidCursor);
        assert_eq!(taken(&caller(1), Operation::VmList, "even", &cursor), Ok(Some(2)));
        assert_eq!(taken(&caller(2), Operation::VmList, "even", &cursor), invalid);
        assert_eq!(taken(&caller(1), Operation::UserList, "even", &cursor), invalid);
        assert_eq!(taken(&caller(1), Operation::VmList, "odd", &cursor), invalid);
        for bad in [
            "",
            "x",
            "ä",
            &cursor[1..],
            &cursor[..cursor.len() - 1],
            &format!("{cursor}AA"),
        ] {
            assert_eq!(
                taken(&caller(1), Operation::VmList, "even", bad),
                invalid,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_page_has_its_bounds() {
        for (limit, good) in [
            (0, false),
            (1, true),
            (500, true),
            (501, false),
            (u32::MAX, false),
        ] {
            let paging = Paging::of::<u64>(&caller(1), Operation::VmList, &(), &page_at(None, Some(limit)));
            assert_eq!(paging.is_ok(), good, "{limit}");
        }
    }
}
