//! The real thing, end to end: the built programs, QEMU guests, the `ssh` client, Debian's registry; in network
//! namespaces that each test makes for itself.
//!
//! They need root, the guests' kernel (`make bundle`) and the Debian image (`make image`); `make test` sees to that.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test has nothing better to do than to fail, and to say what it saw"
)]

mod adoption;
mod asking;
mod clock;
mod deletion;
mod doctor;
mod door;
mod env;
mod errors;
mod firecracker;
mod guests;
mod images;
mod isolation;
mod keys;
mod lifecycle;
mod person;
mod power;
mod registry;
mod restored;
mod rotation;
mod secrets;
mod streams;
mod terminal;
mod writes;
