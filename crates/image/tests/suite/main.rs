//! The image crate from outside: real registries, real layouts, the real kernel.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says why it is skipped"
)]

mod debian;
mod hostile;
mod layouts;
mod private;
mod registry;
mod support;
mod torture;
