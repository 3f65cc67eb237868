//! Lists of VMs, a page at a time.
//!
//! ```text
//!   what each owner has, in order ─┐
//!   what is shared, in order      ─┴─► merged by (time or name, id) ─► the first so many ─► their rows
//! ```
//!
//! A page begins behind a place, never after a count: a VM that is there during the whole walk is met exactly once,
//! whatever comes and goes meanwhile, since neither its time nor its name nor its id ever changes. What each owner has
//! lies in that order in an index, so that a page costs what it holds and not what it lies behind.

use std::collections::BTreeSet;

use model::{HostId, ImageRef, PrincipalId, VmId, VmName};
use serde::{Deserialize, Serialize};

use crate::sql::Builder;
use crate::vm::{select, vm};
use crate::{Read, StoreError, Vm};

/// Whose VMs are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmsOf {
    /// Everybody's.
    All,
    /// Those that one of these owns, or that are shared with one of them.
    SeenBy(Vec<PrincipalId>),
}

/// Which VMs are listed: those that all of it fits. An empty filter fits every VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmFilter {
    /// Their labels, all of them.
    pub labels: BTreeSet<(String, String)>,
    /// Who owns them.
    pub owner: Option<PrincipalId>,
    /// The image that was asked for.
    pub image: Option<ImageRef>,
    /// The hosts that they are placed on.
    pub hosts: Option<Vec<HostId>>,
    /// How their names begin.
    pub name_prefix: Option<String>,
}

/// By what they are ordered; those that are equal in it, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmOrder {
    /// By when they were created.
    CreatedAt,
    /// By name.
    Name,
}

/// Where a VM stands in a list; may be written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VmPlace {
    /// In one by time, which is kept in milliseconds since 1970.
    CreatedAt(i64, VmId),
    /// In one by name.
    Name(VmName, VmId),
}

impl VmPlace {
    /// Where a VM stands.
    pub fn of(vm: &Vm, order: VmOrder) -> Self {
        match order {
            VmOrder::CreatedAt => Self::CreatedAt(vm.created_at.as_millisecond(), vm.asked.id),
            VmOrder::Name => Self::Name(vm.asked.body.name.clone(), vm.asked.id),
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmPage {
    /// Whose.
    pub of: VmsOf,
    /// Which of them.
    pub filter: VmFilter,
    /// By what.
    pub order: VmOrder,
    /// Whether the last come first.
    pub descending: bool,
    /// The place that the page lies behind; `None` for the first page.
    pub behind: Option<VmPlace>,
    /// How many at most.
    pub limit: u32,
}

impl Read {
    /// The VMs of a page.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_page(&mut self, page: &VmPage) -> Result<Vec<Vm>, StoreError> {
        let rows = page
            .query()
            .build()
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read a page of VMs"))?;
        let mut vms: Vec<Vm> = rows.iter().map(vm).collect::<Result<_, _>>()?;
        page.sort(&mut vms);
        Ok(vms)
    }
}

/// More owners than anybody has teams; the database takes 500 parts of a merge.
const MERGED: usize = 100;

impl VmPage {
    fn query(&self) -> Builder {
        let mut query = Builder::new("WITH page (place, id) AS (");
        match &self.of {
            VmsOf::All => self.part(&mut query, Part::All),
            VmsOf::SeenBy(principals) => {
                // Owners beyond those that can be merged are sorted, which is slower and the same.
                let (merged, sorted) = principals.split_at(principals.len().min(MERGED));
                for owner in merged {
                    self.part(&mut query, Part::OwnedBy(std::slice::from_ref(owner)));
                    query.push(" UNION ");
                }
                if !sorted.is_empty() {
                    self.part(&mut query, Part::OwnedBy(sorted));
                    query.push(" UNION ");
                }
                self.part(&mut query, Part::SharedWith(principals));
            }
        }
        let way = self.way();
        query.push(format_args!(" ORDER BY 1 {way}, 2 {way} LIMIT "));
        query.push_bind(i64::from(self.limit));
        query.push(") ").push(select!("JOIN page ON page.id = vms.id"));
        query
    }

    /// Puts the VMs of a page in its order. The database would copy each row, which is wide, once more for that.
    fn sort(&self, vms: &mut [Vm]) {
        match self.order {
            VmOrder::CreatedAt => vms.sort_by_key(|vm| (vm.created_at, vm.asked.id)),
            VmOrder::Name => vms.sort_by(|one, other| {
                let names = one.asked.body.name.as_str().cmp(other.asked.body.name.as_str());
                names.then(one.asked.id.cmp(&other.asked.id))
            }),
        }
        if self.descending {
            vms.reverse();
        }
    }

    const fn way(&self) -> &'static str {
        if self.descending { "DESC" } else { "ASC" }
    }

    const fn column(&self) -> &'static str {
        match self.order {
            VmOrder::CreatedAt => "vms.created_at",
            VmOrder::Name => "vms.name",
        }
    }

    fn part(&self, query: &mut Builder, part: Part<'_>) {
        query.push(format_args!("SELECT {}, vms.id FROM vms WHERE ", self.column()));
        match part {
            Part::All => query.push("1 = 1"),
            Part::OwnedBy(owners) => {
                query.push("vms.owner ");
                one_of(query, owners)
            }
            Part::SharedWith(principals) => {
                query.push("vms.id IN (SELECT vm FROM shares WHERE principal ");
                one_of(query, principals).push(")")
            }
        };
        self.behind(query);
        self.filter.push(query);
    }

    fn behind(&self, query: &mut Builder) {
        let Some(place) = &self.behind else {
            return;
        };
        let than = if self.descending { "<" } else { ">" };
        query.push(format_args!(" AND ({}, vms.id) {than} (", self.column()));
        let id = match place {
            VmPlace::CreatedAt(at, id) => {
                query.push_bind(*at);
                id
            }
            VmPlace::Name(name, id) => {
                query.push_bind(name.to_string());
                id
            }
        };
        query.push(", ").push_bind(id.to_string()).push(")");
    }
}

/// A part of a page that is merged with the others.
enum Part<'a> {
    All,
    OwnedBy(&'a [PrincipalId]),
    SharedWith(&'a [PrincipalId]),
}

impl VmFilter {
    fn push(&self, query: &mut Builder) {
        if let Some(owner) = self.owner {
            query.push(" AND vms.owner = ").push_bind(owner.to_string());
        }
        if let Some(image) = &self.image {
            query.push(" AND vms.image = ").push_bind(image.to_string());
        }
        if let Some(hosts) = &self.hosts {
            query.push(" AND vms.host ");
            one_of(query, hosts);
        }
        if let Some(prefix) = &self.name_prefix {
            // A name has nothing behind `z`, so that all that begin so lie in between.
            query.push(" AND vms.name >= ").push_bind(prefix.clone());
            query.push(" AND vms.name < ").push_bind(format!("{prefix}~"));
        }
        for (name, value) in &self.labels {
            query.push(" AND EXISTS (SELECT 1 FROM vm_labels WHERE vm = vms.id AND name = ");
            query.push_bind(name.clone());
            query.push(" AND value = ").push_bind(value.clone()).push(")");
        }
    }
}

fn one_of<'b>(query: &'b mut Builder, values: &[impl ToString]) -> &'b mut Builder {
    if let [one] = values {
        return query.push("= ").push_bind(one.to_string());
    }
    query
        .push("IN (")
        .push_list(values.iter().map(ToString::to_string))
        .push(")")
}
