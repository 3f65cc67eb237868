//! Container images become read-only root filesystems, cached by digest. In process, without root, and without
//! any other program.
//!
//! ```text
//!   ImageRef ──► source ──► manifest, configuration
//!                  │
//!                  └─ each layer ─► layer: both digests checked ─► store: data blob + entry list
//!                                                                      │
//!                     merge (pure): whiteouts applied, one tree ◄──────┘
//!                       └─► erofs: the tree as metadata of a file system, data stays in the layers' blobs
//!                             └─► Image: what it says about running it, and the disks to attach
//! ```
//!
//! What always holds:
//!
//! - Nothing is published that was not checked against the digest that names it, synced, and renamed into place.
//! - The same layers give the same bytes, whoever pulls them and whenever.
//! - Two pulls of one image, or of two images with a layer in common, do the work once, also in two processes.
//! - A pull that fails or is dropped leaves nothing but whole layers, which the next one uses.
//! - Memory does not grow with the size of files, and what a hostile image may cost is bounded.
//! - What was pulled with credentials serves only who may pull it as well, though the cache is shared ([`guard`]).
//! - Nothing is ever unpacked as files on the host: names in an image are only data here.

mod build;
mod codec;
mod config;
mod entry;
mod erofs;
mod error;
mod guard;
mod image;
mod images;
mod layer;
mod merge;
mod pull;
mod source;
mod spec;
mod store;
mod tar;

pub use config::{Architecture, Config, Limits, Patience};
pub use error::{CacheError, OpenError, PullError};
pub use image::{DiskKind, Image, ImageConfig, ImageDisk, ImageSummary, PullEvent};
pub use images::Images;
