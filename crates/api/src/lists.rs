//! What all lists have: pages, and where the next one begins.

use serde::{Deserialize, Serialize};

use crate::endpoint::{Query, QueryKind};

/// How many things a page may hold.
pub const MAX_LIMIT: u32 = 500;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// How many things at most; 50 where left out.
    #[serde(
        default,
        deserialize_with = "crate::vms::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The parameter for how much is wanted.
pub const LIMIT: Query = Query {
    name: "limit",
    description: "How many things at most; 50 where left out",
    kind: QueryKind::Between(1, 500),
    required: false,
};

/// The parameter for where to go on.
pub const CURSOR: Query = Query {
    name: "cursor",
    description: "The `next` of the page before, of the same list with the same filters",
    kind: QueryKind::Text,
    required: false,
};

/// What the query of a list without filters may hold.
pub const PAGE: &[Query] = &[LIMIT, CURSOR];
