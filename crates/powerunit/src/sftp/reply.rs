//! What a client is told: values become packets here (draft-ietf-secsh-filexfer-02 section 7).

use rustix::fs::{StatVfs, StatVfsMountFlags};

use super::attributes::Attributes;
use super::codec::{Put, length};
use super::failure::{Failure, Status};
use super::handles::{Key, MAX_HANDLES};
use super::listing::Entries;
use super::request::EXTENSIONS;
use super::{MAX_DATA, MAX_PACKET};

const VERSION: u8 = 2;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
const EXTENDED_REPLY: u8 = 201;

/// The version of the protocol.
const THREE: u32 = 3;

/// Flags of statvfs@openssh.com, which has two.
const READ_ONLY: u64 = 1;
const NO_SET_UID: u64 = 2;

/// The answer to one request.
pub(super) enum Reply<'a> {
    Done,
    Handle(Key),
    Data(&'a [u8]),
    Names(Entries),
    Attributes(Attributes),
    FileSystem(StatVfs),
    Limits,
    Failed(Failure),
}

/// Our greeting.
pub(super) fn version(packets: &mut Vec<u8>) {
    packet(packets, VERSION, 0, |packet| {
        packet.put_u32(THREE);
        for (name, version) in EXTENSIONS {
            packet.put_string(name);
            packet.put_string(version);
        }
    });
}

/// Appends the packet without the bytes of a file; those are returned, and belong right behind it.
pub(super) fn encode<'a>(id: u32, reply: &Reply<'a>, packets: &mut Vec<u8>) -> &'a [u8] {
    let mut data: &[u8] = &[];
    let kind = match reply {
        Reply::Done | Reply::Failed(_) => STATUS,
        Reply::Handle(_) => HANDLE,
        Reply::Data(bytes) => {
            data = bytes;
            DATA
        }
        Reply::Names(_) => NAME,
        Reply::Attributes(_) => ATTRS,
        Reply::FileSystem(_) | Reply::Limits => EXTENDED_REPLY,
    };
    packet(packets, kind, data.len(), |packet| {
        packet.put_u32(id);
        body(reply, packet);
    });
    data
}

fn body(reply: &Reply<'_>, packet: &mut Vec<u8>) {
    match reply {
        Reply::Done => put_status(packet, Status::Ok, ""),
        Reply::Failed(failure) => put_status(packet, failure.status(), &failure.to_string()),
        Reply::Handle(key) => packet.put_string(&key.to_bytes()),
        Reply::Data(bytes) => packet.put_u32(length(bytes)),
        Reply::Names(entries) => {
            packet.put_u32(entries.count);
            packet.extend_from_slice(&entries.bytes);
        }
        Reply::Attributes(attributes) => attributes.put(packet),
        Reply::FileSystem(facts) => put_file_system(packet, facts),
        Reply::Limits => {
            for limit in [MAX_PACKET, MAX_DATA, MAX_DATA, MAX_HANDLES] {
                packet.put_u64(u64::try_from(limit).unwrap_or(u64::MAX));
            }
        }
    }
}

fn put_status(packet: &mut Vec<u8>, status: Status, text: &str) {
    packet.put_u32(status as u32);
    packet.put_string(text.as_bytes());
    packet.put_string(b"en");
}

fn put_file_system(packet: &mut Vec<u8>, facts: &StatVfs) {
    let flag = |here, flag| if facts.f_flag.contains(here) { flag } else { 0 };
    let numbers = [
        facts.f_bsize,
        facts.f_frsize,
        facts.f_blocks,
        facts.f_bfree,
        facts.f_bavail,
        facts.f_files,
        facts.f_ffree,
        facts.f_favail,
        facts.f_fsid,
        flag(StatVfsMountFlags::RDONLY, READ_ONLY) | flag(StatVfsMountFlags::NOSUID, NO_SET_UID),
        facts.f_namemax,
    ];
    for number in numbers {
        packet.put_u64(number);
    }
}

/// A packet of this kind whose body is written by `fill`, with so many bytes to come behind it.
fn packet(packets: &mut Vec<u8>, kind: u8, behind: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = packets.len();
    packets.put_u32(0);
    packets.put_byte(kind);
    fill(packets);
    let written = packets.get_mut(start..).unwrap_or_default();
    if let Some((size, body)) = written.split_first_chunk_mut() {
        *size = length(body)
            .saturating_add(u32::try_from(behind).unwrap_or(u32::MAX))
            .to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::codec::Reader;

    fn whole(reply: &Reply<'_>) -> Vec<u8> {
        let mut packets = Vec::new();
        let data = encode(7, reply, &mut packets);
        packets.extend_from_slice(data);
        let (size, rest) = packets.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*size) as usize, rest.len());
        rest.to_vec()
    }

    #[test]
    fn a_failure_has_a_code_and_a_sentence() {
        let packet = whole(&Reply::Failed(rustix::io::Errno::NOSPC.into()));
        let mut reader = Reader::new(&packet);
        assert_eq!(
            (reader.byte(), reader.u32(), reader.u32()),
            (Ok(STATUS), Ok(7), Ok(4))
        );
        assert!(reader.string().unwrap().starts_with(b"No space left on device"));
        assert_eq!(reader.string(), Ok(&b"en"[..]));
    }

    #[test]
    fn data_follows_its_length() {
        let packet = whole(&Reply::Data(b"bytes"));
        let mut reader = Reader::new(&packet);
        assert_eq!((reader.byte(), reader.u32()), (Ok(DATA), Ok(7)));
        assert_eq!(reader.string(), Ok(&b"bytes"[..]));
    }

    #[test]
    fn the_greeting_names_version_and_extensions() {
        let mut packet = Vec::new();
        version(&mut packet);
        let mut reader = Reader::new(&packet[4..]);
        assert_eq!((reader.byte(), reader.u32()), (Ok(VERSION), Ok(3)));
        assert_eq!(reader.string(), Ok(&b"posix-rename@openssh.com"[..]));
        assert_eq!(reader.string(), Ok(&b"1"[..]));
    }

    #[test]
    fn the_largest_data_fits_the_largest_packet() {
        assert!(whole(&Reply::Data(&vec![0; MAX_DATA])).len() <= MAX_PACKET);
    }
}
