//! The one loop over the pages of a list.

use super::ClientError;
use crate::{
    AuditEntry, AuditList, FoundList, FoundVm, Host, HostList, Image, ImageList, MAX_LIMIT, Member,
    MemberList, PageQuery, Quota, QuotaList, Share, ShareList, SshKey, SshKeyList, Team, TeamList, Token,
    TokenList, User, UserList, Vm, VmList,
};

/// A list that is answered page by page.
pub trait Pages {
    /// What it is a list of.
    type Item;

    /// The list of these, which goes on at `next`.
    fn of(items: Vec<Self::Item>, next: Option<String>) -> Self;

    /// What is on this page, and where the list goes on.
    fn into_parts(self) -> (Vec<Self::Item>, Option<String>);
}

macro_rules! pages {
    ($($list:ident of $item:ident;)*) => {$(
        impl Pages for $list {
            type Item = $item;

            fn of(items: Vec<$item>, next: Option<String>) -> Self {
                Self { items, next }
            }

            fn into_parts(self) -> (Vec<$item>, Option<String>) {
                (self.items, self.next)
            }
        }
    )*};
}

pages! {
    AuditList of AuditEntry;
    FoundList of FoundVm;
    HostList of Host;
    ImageList of Image;
    MemberList of Member;
    QuotaList of Quota;
    ShareList of Share;
    SshKeyList of SshKey;
    TeamList of Team;
    TokenList of Token;
    UserList of User;
    VmList of Vm;
}

/// All pages as one list. `ask` asks for a page.
///
/// # Errors
/// As `ask`.
pub async fn all_pages<L: Pages>(
    ask: impl AsyncFn(PageQuery) -> Result<L, ClientError>,
) -> Result<L, ClientError> {
    pages_up_to(usize::MAX, ask).await
}

/// The first `limit` items of all pages as one list, and where it goes on. `ask` asks for a page.
///
/// # Errors
/// As `ask`.
pub async fn pages_up_to<L: Pages>(
    limit: usize,
    ask: impl AsyncFn(PageQuery) -> Result<L, ClientError>,
) -> Result<L, ClientError> {
    let mut items = Vec::new();
    let mut cursor = None;
    loop {
        let missing = u32::try_from(limit - items.len()).unwrap_or(MAX_LIMIT);
        let page = PageQuery {
            limit: Some(missing.min(MAX_LIMIT)),
            cursor,
        };
        let (more, next) = ask(page).await?.into_parts();
        items.extend(more);
        if next.is_none() || items.len() >= limit {
            return Ok(L::of(items, next));
        }
        cursor = next;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Three pages of two teams each; gives the names of those that came, and the limits that were asked for.
    async fn walked(limit: usize) -> (usize, Option<String>, Vec<Option<u32>>) {
        let asked = RefCell::new(Vec::new());
        let list = pages_up_to(limit, async |page: PageQuery| {
            asked.borrow_mut().push(page.limit);
            let number: usize = page.cursor.map_or(0, |cursor| cursor.parse().unwrap_or(9));
            let team = serde_json::json!({
                "id": "team_00000000000000000000000000", "name": "t", "created_at": "2026-11-22T09:00:00Z"
            });
            let next = (number < 2).then(|| (number + 1).to_string());
            let list = serde_json::json!({ "items": [team, team], "next": next });
            Ok::<TeamList, _>(serde_json::from_value(list).unwrap())
        });
        let list = list.await.unwrap();
        (list.items.len(), list.next, asked.into_inner())
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_there_are_no_more_or_enough() {
        assert_eq!(walked(usize::MAX).await, (6, None, vec![Some(MAX_LIMIT); 3]));
        let enough = (4, Some("2".to_owned()), vec![Some(4), Some(2)]);
        assert_eq!(walked(4).await, enough);
    }
}
