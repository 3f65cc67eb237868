//! Each request in the bytes of the draft, there and back, cut short, and as noise.

use proptest::prelude::*;

use super::*;
use crate::sftp::attributes::tests::attributes;
use crate::sftp::codec::Put;

/// As a client writes it.
fn encode(id: u32, request: &Request<'_>) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut head = |kind| {
        packet.put_byte(kind);
        packet.put_u32(id);
    };
    match request {
        Request::Open { .. } => head(OPEN),
        Request::Close(_) => head(CLOSE),
        Request::Read { .. } => head(READ),
        Request::Write { .. } => head(WRITE),
        Request::Stat(Target::Path(_)) => head(STAT),
        Request::Stat(Target::Link(_)) => head(LSTAT),
        Request::Stat(Target::Handle(_)) => head(FSTAT),
        Request::SetStat(Target::Path(_), _) => head(SETSTAT),
        Request::SetStat(Target::Handle(_), _) => head(FSETSTAT),
        Request::OpenDir(_) => head(OPENDIR),
        Request::ReadDir(_) => head(READDIR),
        Request::Remove(_) => head(REMOVE),
        Request::MakeDir { .. } => head(MKDIR),
        Request::RemoveDir(_) => head(RMDIR),
        Request::RealPath(_) => head(REALPATH),
        Request::Rename { replace: false, .. } => head(RENAME),
        Request::ReadLink(_) => head(READLINK),
        Request::Symlink { .. } => head(SYMLINK),
        Request::Rename { replace: true, .. }
        | Request::SetStat(Target::Link(_), _)
        | Request::StatVfs(_)
        | Request::HardLink { .. }
        | Request::Sync(_)
        | Request::Limits
        | Request::ExpandPath(_)
        | Request::Copy(_) => {
            head(EXTENDED);
            packet.put_string(extension_of(request));
        }
        Request::Unknown => head(99),
    }
    put_body(&mut packet, request);
    packet
}

#[expect(clippy::wildcard_enum_match_arm, reason = "asked for extensions only")]
fn extension_of(request: &Request<'_>) -> &'static [u8] {
    match request {
        Request::Rename { .. } => b"posix-rename@openssh.com",
        Request::SetStat(..) => b"lsetstat@openssh.com",
        Request::StatVfs(Target::Handle(_)) => b"fstatvfs@openssh.com",
        Request::StatVfs(_) => b"statvfs@openssh.com",
        Request::HardLink { .. } => b"hardlink@openssh.com",
        Request::Sync(_) => b"fsync@openssh.com",
        Request::Limits => b"limits@openssh.com",
        Request::ExpandPath(_) => b"expand-path@openssh.com",
        Request::Copy(_) => b"copy-data",
        other => panic!("{other:?} is no extension"),
    }
}

fn put_body(packet: &mut Vec<u8>, request: &Request<'_>) {
    match request {
        Request::Open {
            path,
            flags,
            attributes,
        } => {
            packet.put_string(path);
            packet.put_u32(flags.0);
            attributes.put(packet);
        }
        Request::Close(handle) | Request::ReadDir(handle) | Request::Sync(handle) => {
            packet.put_string(&handle.to_bytes());
        }
        Request::Read {
            handle,
            offset,
            length,
        } => {
            packet.put_string(&handle.to_bytes());
            packet.put_u64(*offset);
            packet.put_u32(*length);
        }
        Request::Write { handle, offset, data } => {
            packet.put_string(&handle.to_bytes());
            packet.put_u64(*offset);
            packet.put_string(data);
        }
        Request::Stat(target) | Request::StatVfs(target) => put_target(packet, target),
        Request::SetStat(target, attributes) => {
            put_target(packet, target);
            attributes.put(packet);
        }
        Request::OpenDir(path)
        | Request::Remove(path)
        | Request::RemoveDir(path)
        | Request::RealPath(path)
        | Request::ReadLink(path)
        | Request::ExpandPath(path) => packet.put_string(path),
        Request::MakeDir { path, attributes } => {
            packet.put_string(path);
            attributes.put(packet);
        }
        Request::Rename {
            from: first,
            to: second,
            ..
        }
        | Request::HardLink {
            from: first,
            to: second,
        }
        | Request::Symlink {
            text: first,
            link: second,
        } => {
            packet.put_string(first);
            packet.put_string(second);
        }
        Request::Copy(copy) => {
            packet.put_string(&copy.from.to_bytes());
            packet.put_u64(copy.from_offset);
            packet.put_u64(copy.length);
            packet.put_string(&copy.to.to_bytes());
            packet.put_u64(copy.to_offset);
        }
        Request::Limits | Request::Unknown => {}
    }
}

fn put_target(packet: &mut Vec<u8>, target: &Target<'_>) {
    match target {
        Target::Path(path) | Target::Link(path) => packet.put_string(path),
        Target::Handle(handle) => packet.put_string(&handle.to_bytes()),
    }
}

/// Every kind of request, made of these values.
fn all<'a>(
    path: &'a [u8],
    other: &'a [u8],
    key: u64,
    offset: u64,
    length: u32,
    attributes: Attributes,
) -> Vec<Request<'a>> {
    let handle = Key::from_bytes(&key.to_be_bytes());
    let targets = [Target::Path(path), Target::Link(path), Target::Handle(handle)];
    let mut all = vec![
        Request::Open {
            path,
            flags: OpenFlags(length),
            attributes,
        },
        Request::Close(handle),
        Request::Read {
            handle,
            offset,
            length,
        },
        Request::Write {
            handle,
            offset,
            data: other,
        },
        Request::OpenDir(path),
        Request::ReadDir(handle),
        Request::Remove(path),
        Request::MakeDir { path, attributes },
        Request::RemoveDir(path),
        Request::RealPath(path),
        Request::ReadLink(path),
        Request::Symlink {
            text: path,
            link: other,
        },
        Request::HardLink {
            from: path,
            to: other,
        },
        Request::StatVfs(Target::Path(path)),
        Request::StatVfs(Target::Handle(handle)),
        Request::Sync(handle),
        Request::Limits,
        Request::ExpandPath(path),
        Request::Copy(Copy {
            from: handle,
            from_offset: offset,
            length: offset,
            to: Key::from_bytes(&[9; 8]),
            to_offset: key,
        }),
        Request::Unknown,
    ];
    all.extend(targets.map(Request::Stat));
    all.extend(targets.map(|target| Request::SetStat(target, attributes)));
    all.extend([false, true].map(|replace| Request::Rename {
        from: path,
        to: other,
        replace,
    }));
    all
}

proptest! {
    #[test]
    fn every_request_comes_back_as_it_was_and_cut_short_it_is_none(
        path: Vec<u8>,
        other: Vec<u8>,
        numbers: (u32, u64, u64, u32),
        attributes in attributes(),
    ) {
        let (id, key, offset, length) = numbers;
        for request in all(&path, &other, key, offset, length, attributes) {
            let packet = encode(id, &request);
            prop_assert_eq!(parse(&packet), Ok((id, request.clone())));
            for cut in 0..packet.len() {
                prop_assert_eq!(parse(&packet[..cut]), Err(Malformed::Truncated), "{:?} at {}", request, cut);
            }
        }
    }

    #[test]
    fn noise_is_understood_or_refused_and_never_more_than_was_sent(packet: Vec<u8>) {
        if let Ok((id, _)) = parse(&packet) {
            prop_assert_eq!(&id.to_be_bytes(), &packet[1..5]);
        }
    }
}

#[test]
fn requests_in_the_bytes_of_the_draft() {
    let open = b"\x03\0\0\0\x05\0\0\0\x03a/b\0\0\0\x1a\0\0\0\x04\0\0\x01\xa4";
    let flags = OpenFlags(OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE);
    let attributes = Attributes {
        mode: Some(0o644),
        ..Attributes::default()
    };
    assert_eq!(
        parse(open),
        Ok((
            5,
            Request::Open {
                path: b"a/b",
                flags,
                attributes
            }
        ))
    );
    let symlink = b"\x14\0\0\0\x06\0\0\0\x04text\0\0\0\x04link";
    assert_eq!(
        parse(symlink),
        Ok((
            6,
            Request::Symlink {
                text: b"text",
                link: b"link"
            }
        ))
    );
}

#[test]
fn only_a_greeting_begins() {
    assert_eq!(parse_init(b"\x01\0\0\0\x03"), Ok(()));
    assert_eq!(parse_init(b"\x01\0\0\0\x06\0\0\0\x01x\0\0\0\0"), Ok(()));
    assert_eq!(parse_init(b"\x03\0\0\0\x03"), Err(Malformed::NotInit));
    assert_eq!(parse_init(b"\x01\0\0"), Err(Malformed::Truncated));
}

#[test]
fn what_is_announced_is_understood() {
    for (name, _) in EXTENSIONS {
        let mut packet = vec![EXTENDED, 0, 0, 0, 1];
        packet.put_string(name);
        assert_ne!(
            parse(&packet),
            Ok((1, Request::Unknown)),
            "{}",
            name.escape_ascii()
        );
    }
}
