//! Extended attributes as they stand behind an inode: a header of 12 bytes, then each attribute with its
//! name's prefix as a number, padded to 4 bytes.

use crate::entry::Xattr;

/// Prefixes and their numbers (Linux, fs/erofs/erofs_fs.h, `EROFS_XATTR_INDEX_*`).
const PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
];

const HEADER: usize = 12;

/// Whether a file system of Linux can hold an attribute of this name. Those of an overlay mount are its own
/// bookkeeping, which no program could ever see, and would mislead the overlay above this file system.
pub(crate) fn is_representable(name: &[u8]) -> bool {
    !name.contains(&0) && !name.starts_with(b"trusted.overlay.") && split(name).is_some()
}

/// Bytes of all of them behind an inode.
pub(crate) fn length(xattrs: &[Xattr]) -> usize {
    let sizes = xattrs.iter().filter_map(|xattr| {
        let (_, rest) = split(&xattr.name)?;
        Some((4 + rest.len() + xattr.value.len()).next_multiple_of(4))
    });
    if xattrs.is_empty() {
        0
    } else {
        HEADER + sizes.sum::<usize>()
    }
}

/// The inode's field that tells [`length`].
pub(super) fn count(length: usize) -> u16 {
    match length {
        0 => 0,
        _ => u16::try_from((length - HEADER) / 4 + 1).unwrap_or(u16::MAX),
    }
}

/// Appends them.
pub(super) fn write(xattrs: &[Xattr], out: &mut Vec<u8>) {
    if xattrs.is_empty() {
        return;
    }
    out.extend_from_slice(&[0; HEADER]);
    for xattr in xattrs {
        let Some((index, rest)) = split(&xattr.name) else {
            continue;
        };
        out.push(u8::try_from(rest.len()).unwrap_or(u8::MAX));
        out.push(index);
        out.extend_from_slice(&u16::try_from(xattr.value.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(&xattr.value);
        let padding = (rest.len() + xattr.value.len()).next_multiple_of(4) - rest.len() - xattr.value.len();
        out.extend_from_slice(&[0; 3][..padding]);
    }
}

/// A name's prefix as a number, and the rest. The names of access lists are prefixes as a whole.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|&(prefix, index)| {
        let rest = name.strip_prefix(prefix)?;
        (prefix.ends_with(b".") != rest.is_empty()).then_some((index, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_linux_knows() {
        assert_eq!(split(b"security.capability"), Some((6, &b"capability"[..])));
        assert_eq!(split(b"system.posix_acl_access"), Some((2, &b""[..])));
        for bad in [
            &b"user."[..],
            b"com.apple.x",
            b"system.nfs4_acl",
            b"system.posix_acl_accessory",
            b"user",
        ] {
            assert_eq!(split(bad), None, "{bad:?}");
        }
        assert!(!is_representable(b"trusted.overlay.opaque"));
    }

    #[test]
    fn the_length_is_what_is_written() {
        let xattr = |name: &[u8], value: &[u8]| Xattr {
            name: name.into(),
            value: value.into(),
        };
        let xattrs = [
            xattr(b"user.a", b""),
            xattr(b"security.capability", &[1; 20]),
            xattr(b"user.xy", b"z"),
        ];
        let mut out = Vec::new();
        write(&xattrs, &mut out);
        assert_eq!(out.len(), length(&xattrs));
        assert_eq!(count(out.len()), ((out.len() - 12) / 4 + 1) as u16);
    }
}
