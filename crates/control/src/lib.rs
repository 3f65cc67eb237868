//! The decisions: what is asked, where it is placed, and what each host is told.
//!
//! ```text
//!   use cases ──► one transaction: asked + event ──► commit ──► nudge
//!                                                                 │
//!   plans:    what is asked on a host ─► number ─► bus      ◄─────┤ and a timer
//!   intake:   bus ─► report ─► seen, found, host ─► event   ──────┤
//!   silence:  a host that has not reported ─► stored fact   ──────┘
//! ```
//!
//! [`Control`] is a cheap handle. Each use case takes the [`Caller`] and is one transaction; [`Control::run`] drives
//! the three reconcilers. A nudge only means "look now": each reconciler reads the whole state it works on, so a
//! lost, doubled or late nudge is harmless, and the timer alone would do.
//!
//! What always holds:
//!
//! - The status is computed from what was asked and what was seen; it is stored nowhere.
//! - Capacity is booked from what was asked, in the transaction that asks. What is being removed counts until its
//!   host says that it is gone.
//! - A VM's row goes away in one place: where its host reports it gone and it was asked to go.
//! - A plan of a later number never has older content, and equal content keeps its number.
//! - A host that is ahead (a database restored from a backup) makes numbers here rise above its own. What it holds
//!   and nobody here asked for is listed as found, and keeps running.
//! - Every change writes its events in its own transaction.

mod access;
mod account;
mod ask;
mod audit;
mod auth;
mod caller;
mod census;
mod change;
mod clock;
mod control;
mod create;
mod credential;
mod disable;
mod error;
mod event;
mod fault;
mod feed;
mod follow;
mod found;
mod heard;
mod host;
mod image;
mod intake;
mod keys;
mod labels;
mod life;
mod list;
mod meter;
mod needs;
mod news;
mod once;
mod page;
mod patch;
mod place;
mod plan;
mod power;
mod principal;
mod quota;
mod ready;
mod rebuild;
mod remove;
mod request;
mod resize;
mod retention;
mod rights;
mod run;
mod secret;
mod share;
mod sign_in;
mod silence;
mod ssh_key;
mod streams;
mod team;
#[cfg(test)]
mod tests;
mod token;
mod transfer;
mod user;
mod view;
mod vm;
mod wait;

pub use account::UserSelector;
pub use caller::{Actor, Caller, Origin, TokenText};
pub use census::{Census, HostState};
pub use clock::{Clock, Entropy, EntropyError, SystemClock, SystemEntropy};
pub use control::{Control, ControlConfig};
pub use error::{Error, chain};
pub use event::{Ending, Event, EventKind};
pub use follow::{Events, Since};
pub use labels::Labels;
pub use life::LifeWish;
pub use link::{LogReader, Over, Received, Stream, StreamReader, StreamWriter};
pub use list::{ListVms, VmSort};
pub use meter::Meter;
pub use once::{Once, OnceRequest};
pub use page::{DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest};
pub use patch::{ChangeService, ChangeVm};
pub use place::{HostSnapshot, Refusal, Refused, Request, place};
pub use quota::QuotaView;
pub use rebuild::RebuildVm;
pub use request::{
    CreateVm, DEFAULT_CPUS, DEFAULT_DISK, DEFAULT_MEMORY, HostSelector, MAX_COMMAND_WORDS, PrincipalSelector,
    VmSelector,
};
pub use resize::ResizeVm;
pub use retention::Retention;
pub use rights::{Need, Operation};
pub use share::ShareView;
pub use store::{AuditEntry, AuditFilter, Member, SshKey, Token, User};
pub use team::{MemberView, TeamView};
pub use token::{CreateToken, Until};
pub use user::MeView;
pub use view::{FoundView, HostView, ImageView, VmView, ssh_command};
pub use wait::{WaitFor, Waited};
pub use wire::link::{LogEntry, LogRecord, LogRequest, StreamRequest};
pub use wire::stream;
