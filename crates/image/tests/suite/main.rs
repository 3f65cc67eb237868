//! The image crate from outside: real registries, real layouts, the real kernel.

mod debian;
mod hostile;
mod layouts;
mod registry;
mod support;
mod torture;
