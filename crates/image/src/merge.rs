//! Layers on top of each other become one tree. Pure: entries in, tree out.
//!
//! ```text
//!   layer 0   a/  a/x  a/y        layer 1   a/.wh.x  a/z           tree   a/  a/y  a/z
//! ```
//!
//! Each layer is applied in two passes: first its whiteouts and opaque marks, which remove only what lower
//! layers made, then its other entries in their order (image-spec v1.1, "Applying Changesets"). A directory
//! over a directory renews its attributes and keeps what is inside; everything else replaces what was there,
//! with all below it. Nothing is ever reached through a symbolic link: a path that leads through something
//! that is no directory replaces it by one, as a union mount of the layers would show it.

use std::collections::BTreeMap;

use crate::entry::{Attrs, Body, Change, Entry, Kind};

/// The index of a node in its tree.
pub(crate) type NodeId = usize;

/// The root directory's index.
pub(crate) const ROOT: NodeId = 0;

/// Why layers do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MergeError {
    #[error("layer {layer} links {path:?} to {target:?}, which does not exist or is a directory")]
    DanglingLink {
        layer: usize,
        path: String,
        target: String,
    },
    #[error("layer {layer} makes the root something other than a directory")]
    Root { layer: usize },
}

/// A directory's children by name, in byte order.
pub(crate) type Children = BTreeMap<Box<[u8]>, NodeId>;

/// One inode.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) attrs: Attrs,
    pub(crate) content: Content,
}

/// What an inode holds.
#[derive(Debug)]
pub(crate) enum Content {
    Directory(Children),
    /// A file whose body is in the data blob of a layer.
    File {
        layer: usize,
        size: u64,
        body: Body,
    },
    Symlink {
        target: Box<[u8]>,
    },
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// The merged tree. Nodes that no name reaches any more stay in the list.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

/// Merges layers, lowest first.
pub(crate) fn merge(layers: impl IntoIterator<Item = Vec<Entry>>) -> Result<Tree, MergeError> {
    let root = Node {
        attrs: Attrs::implied(),
        content: Content::Directory(Children::new()),
    };
    let mut tree = Tree { nodes: vec![root] };
    for (layer, entries) in layers.into_iter().enumerate() {
        for entry in &entries {
            match entry.change {
                Change::Whiteout => tree.remove(&entry.path),
                Change::Opaque => tree.empty(&entry.path),
                Change::Node { .. } | Change::Link { .. } => {}
            }
        }
        for entry in entries {
            match entry.change {
                Change::Whiteout | Change::Opaque => {}
                Change::Node { attrs, kind } => tree.put(layer, &entry.path, attrs, kind)?,
                Change::Link { target } => tree.link(layer, &entry.path, &target)?,
            }
        }
    }
    Ok(tree)
}

impl Tree {
    /// The node of an index that this tree handed out.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// How many indices there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn remove(&mut self, path: &[u8]) {
        let (directory, name) = split(path);
        if let Some(children) = self.find(directory).and_then(|id| self.children_mut(id)) {
            children.remove(name);
        }
    }

    fn empty(&mut self, path: &[u8]) {
        if let Some(children) = self.find(path).and_then(|id| self.children_mut(id)) {
            children.clear();
        }
    }

    fn put(&mut self, layer: usize, path: &[u8], attrs: Attrs, kind: Kind) -> Result<(), MergeError> {
        let content = match kind {
            Kind::Directory => Content::Directory(Children::new()),
            Kind::File { size, body } => Content::File { layer, size, body },
            Kind::Symlink { target } => Content::Symlink { target },
            Kind::Device { block, major, minor } => Content::Device { block, major, minor },
            Kind::Fifo => Content::Fifo,
        };
        let is_directory = matches!(content, Content::Directory(_));
        if path.is_empty() {
            self.nodes[ROOT].attrs = attrs;
            return if is_directory {
                Ok(())
            } else {
                Err(MergeError::Root { layer })
            };
        }
        let (directory, name) = split(path);
        let parent = self.make_directories(directory);
        match self.child(parent, name) {
            Some(there) if is_directory && self.is_directory(there) => self.nodes[there].attrs = attrs,
            Some(_) | None => {
                let id = self.push(Node { attrs, content });
                self.name(parent, name, id);
            }
        }
        Ok(())
    }

    fn link(&mut self, layer: usize, path: &[u8], target: &[u8]) -> Result<(), MergeError> {
        let id = self
            .find(target)
            .filter(|&id| !self.is_directory(id) && !path.is_empty());
        let id = id.ok_or_else(|| MergeError::DanglingLink {
            layer,
            path: String::from_utf8_lossy(path).into_owned(),
            target: String::from_utf8_lossy(target).into_owned(),
        })?;
        let (directory, name) = split(path);
        let parent = self.make_directories(directory);
        self.name(parent, name, id);
        Ok(())
    }

    /// The directory at a path, made with all above it where it is missing or something else.
    fn make_directories(&mut self, path: &[u8]) -> NodeId {
        components(path).fold(ROOT, |parent, name| {
            let there = self.child(parent, name).filter(|&id| self.is_directory(id));
            there.unwrap_or_else(|| {
                let content = Content::Directory(Children::new());
                let id = self.push(Node {
                    attrs: Attrs::implied(),
                    content,
                });
                self.name(parent, name, id);
                id
            })
        })
    }

    fn find(&self, path: &[u8]) -> Option<NodeId> {
        components(path).try_fold(ROOT, |parent, name| self.child(parent, name))
    }

    fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.nodes[parent].content {
            Content::Directory(children) => children.get(name).copied(),
            Content::File { .. } | Content::Symlink { .. } | Content::Device { .. } | Content::Fifo => None,
        }
    }

    fn children_mut(&mut self, id: NodeId) -> Option<&mut Children> {
        match &mut self.nodes[id].content {
            Content::Directory(children) => Some(children),
            Content::File { .. } | Content::Symlink { .. } | Content::Device { .. } | Content::Fifo => None,
        }
    }

    fn is_directory(&self, id: NodeId) -> bool {
        matches!(self.nodes[id].content, Content::Directory(_))
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn name(&mut self, parent: NodeId, name: &[u8], id: NodeId) {
        if let Some(children) = self.children_mut(parent) {
            children.insert(name.into(), id);
        }
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
}

/// A path's directory and its last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests;
