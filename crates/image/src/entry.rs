//! What a layer says, one entry per member of its archive, in the archive's order.
//!
//! Paths are normalised: components joined by one `/`, no leading or trailing one, empty for the root. File
//! bodies are not here; an entry names the blocks of the layer's data blob that hold them.

/// Bytes per block, of data blobs and of the file system alike.
pub(crate) const BLOCK: u64 = 4096;

/// [`BLOCK`] as a power of two.
pub(crate) const BLOCK_BITS: u8 = 12;

/// In a list of chunks: nothing stored, all zeros. It is the EROFS null address too.
pub(crate) const HOLE: u32 = u32::MAX;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: Box<[u8]>,
    pub(crate) change: Change,
}

/// What an entry does to the tree below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Makes something, or renews a directory's attributes.
    Node { attrs: Attrs, kind: Kind },
    /// Gives the thing at `target` another name.
    Link { target: Box<[u8]> },
    /// Removes what lower layers have at the path.
    Whiteout,
    /// Removes what lower layers have inside the directory at the path.
    Opaque,
}

/// Attributes that every kind of node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attrs {
    /// The permission bits, set-id and sticky included; the type comes from the kind.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) xattrs: Vec<Xattr>,
}

impl Attrs {
    /// Those of a directory that no layer describes: root's, mode 0755, at the epoch.
    pub(crate) const fn implied() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Time { seconds: 0, nanos: 0 },
            xattrs: Vec::new(),
        }
    }
}

/// A point in time: seconds since the epoch, rounded down, and nanoseconds after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

/// An extended attribute with its whole name, such as `security.capability`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Xattr {
    pub(crate) name: Box<[u8]>,
    pub(crate) value: Box<[u8]>,
}

/// The kinds of node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File { size: u64, body: Body },
    Symlink { target: Box<[u8]> },
    Device { block: bool, major: u32, minor: u32 },
    Fifo,
}

/// Where a file's bytes are in the layer's data blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// A file of size 0.
    Empty,
    /// One run, from this block.
    Dense { block: u32 },
    /// Chunks of `1 << bits` bytes, each by its first block or [`HOLE`].
    Chunked { bits: u8, chunks: Vec<u32> },
}
