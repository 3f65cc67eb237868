//! Files between here and a VM, as tar archives that are made and unpacked while they travel.
//!
//! ```text
//!   here ── pack (a thread) ──► pipe ──► the server ──► unpacked in the VM
//!   here ◄─ unpack (a thread) ◄─ pipe ◄── the server ◄── packed in the VM
//! ```
//!
//! Where things land is decided by [`place`], the same way for both directions. Memory is bounded by the pipe's.

mod down;
mod pack;
mod pipe;
mod place;
mod side;
mod unpack;
mod up;

pub(crate) use down::{down, out};
pub(crate) use side::Side;
pub(crate) use unpack::Unpacking;
pub(crate) use up::{up, upload};
