//! The memory of control: what was asked, what was seen, what was found, and what happened.
//!
//! ```text
//!   Store ──► read()  ──► Read   one moment of the database, for any number of questions
//!         └─► write() ──► Write  the one writer: reads, changes, then commit()
//! ```
//!
//! One concrete [`Store`], a file per resource, methods named resource first (`vm_fetch`, `vm_insert`, …). Every
//! method is one of [`Read`] or [`Write`], so each joins the transaction of its caller; a [`Write`] can ask whatever
//! a [`Read`] can. What is not committed did not happen.
//!
//! Today's database is SQLite: one file, write-ahead log, synced at each commit, one writer and a few readers. The
//! SQL keeps to what PostgreSQL understands too: `$1` parameters, `ON CONFLICT`, `RETURNING`, no implicit row ids.
//! Ids are kept as text, times as milliseconds since 1970 (UTC), flags as 0 and 1, whole documents that are never
//! searched as JSON text.
//!
//! What another database must bring, PostgreSQL first of all:
//!
//! - statements that wait for a network: `sql` is the one file that speaks with the database, and all of its callers wait
//!   already;
//! - names and ids in the order of their bytes (`COLLATE "C"` of those columns; SQLite's own order, and it knows no collation
//!   of that name), since pages and prefixes of names rely on it;
//! - a second writer's answers to what one writer cannot meet: `answers` inserted before the work, so that a twin waits; a
//!   lock on the owner's row before names and quotas are looked at; `hosts` locked before what is booked there is summed;
//! - a limit in each part of a merged list (`vm_page`), which SQLite reads in order only as far as it is needed.
//!
//! What always holds:
//!
//! - A commit that was answered survives the machine's death.
//! - One program per database: a second one is refused at the door.
//! - An event's number rises in the order of commits: the counter's row is held from the draw to the commit.

mod answer;
mod audit;
mod checkpoint;
mod error;
mod event;
mod examine;
mod found;
mod host;
mod life;
mod member;
mod meta;
mod migrate;
mod open;
mod past_key;
mod planned;
mod principal;
mod probe;
mod quota;
mod readers;
mod record;
mod row;
mod secret;
mod seen;
mod session;
mod share;
mod sign_in_code;
mod sql;
mod ssh_key;
mod token;
mod turn;
mod vm;
mod vm_label;
mod vm_page;

pub use answer::Answer;
pub use audit::{AuditEntry, AuditFilter, NewAuditEntry};
pub use error::StoreError;
pub use event::{NewEvent, StoredEvent};
pub use examine::{Examined, examine};
pub use found::Found;
pub use host::{Host, HostRoom, Refused};
pub use life::{DEFAULT_GRACE, Life};
pub use member::Member;
pub use meta::LocalAdmin;
pub use open::Store;
pub use planned::PlannedVm;
pub use principal::{Principal, Team, User};
pub use record::Record;
pub use session::{Read, Write};
pub use share::Share;
pub use sign_in_code::SignInCode;
pub use sql::SqlError;
pub use ssh_key::SshKey;
pub use token::Token;
pub use vm::{NewVm, Owner, Vm};
pub use vm_page::{VmFilter, VmOrder, VmPage, VmPlace, VmsOf};
