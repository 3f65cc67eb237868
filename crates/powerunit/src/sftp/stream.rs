//! Packets on a stream of bytes: each has its length in front (draft-ietf-secsh-filexfer-02 section 3).

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::ops::Range;

use super::MAX_PACKET;
use super::codec::{Malformed, Reader};
use super::reply::{self, Reply};

/// Bytes in front of a packet.
const LENGTH: usize = 4;
/// Two packets: a whole one is answered where it lies, and the next has room behind it.
const ROOM: usize = 2 * (LENGTH + MAX_PACKET);
/// Short replies are sent together once so many bytes are waiting.
const ENOUGH: usize = 32 << 10;

/// Requests as they arrive.
#[derive(Debug)]
pub(super) struct Input<R> {
    from: R,
    /// Memory that the kernel gives only as far as it is used.
    buffer: Vec<u8>,
    /// What has arrived and was not yet taken.
    waiting: Range<usize>,
}

impl<R: Read> Input<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            buffer: vec![0; ROOM],
            waiting: 0..0,
        }
    }

    /// Takes the next packet, if all of it has arrived.
    pub(super) fn packet(&mut self) -> Result<Option<&[u8]>, Malformed> {
        let Some(length) = self.length()? else {
            return Ok(None);
        };
        let body = self.waiting.start.saturating_add(LENGTH);
        let end = body.saturating_add(length);
        if end > self.waiting.end {
            return Ok(None);
        }
        self.waiting.start = end;
        Ok(self.buffer.get(body..end))
    }

    /// What the next packet says of its length; `None` while that is not known.
    fn length(&self) -> Result<Option<usize>, Malformed> {
        let waiting = self.buffer.get(self.waiting.clone()).unwrap_or_default();
        let Ok(length) = Reader::new(waiting).u32() else {
            return Ok(None);
        };
        match usize::try_from(length) {
            Ok(fits) if fits <= MAX_PACKET => Ok(Some(fits)),
            Ok(_) | Err(_) => Err(Malformed::TooLong(length)),
        }
    }

    /// Waits for more; `false` when the client has closed its end. Only for when no whole packet waits.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self
            .waiting
            .start
            .saturating_add(LENGTH)
            .saturating_add(MAX_PACKET)
            > ROOM
            || self.waiting.is_empty()
        {
            self.buffer.copy_within(self.waiting.clone(), 0);
            self.waiting = 0..self.waiting.len();
        }
        let room = self.buffer.get_mut(self.waiting.end..).unwrap_or_default();
        let count = loop {
            match self.from.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.waiting.end = self.waiting.end.saturating_add(count);
        Ok(count > 0)
    }
}

/// Replies on their way out.
#[derive(Debug)]
pub(super) struct Output<W> {
    to: W,
    waiting: Vec<u8>,
}

impl<W: Write> Output<W> {
    pub(super) fn new(to: W) -> Self {
        Self {
            to,
            waiting: Vec::new(),
        }
    }

    pub(super) fn version(&mut self) -> io::Result<()> {
        reply::version(&mut self.waiting);
        self.flush()
    }

    /// Sends the reply soon; the bytes of a file at once, and without copying them.
    pub(super) fn reply(&mut self, id: u32, reply: &Reply<'_>) -> io::Result<()> {
        let data = reply::encode(id, reply, &mut self.waiting);
        if data.is_empty() && self.waiting.len() < ENOUGH {
            return Ok(());
        }
        self.send(data)
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.send(&[])
    }

    fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let mut parts = [IoSlice::new(&self.waiting), IoSlice::new(data)];
        let mut parts = &mut parts[..];
        // Passes over parts that are empty from the start.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.to.write_vectored(parts) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut parts, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.waiting.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives its bytes in pieces of these sizes, one after the other.
    struct Pieces<'a> {
        bytes: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = *self.sizes.next().unwrap();
            let count = most.min(into.len()).min(self.bytes.len());
            let (now, later) = self.bytes.split_at(count);
            into[..count].copy_from_slice(now);
            self.bytes = later;
            Ok(count)
        }
    }

    fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
        let frame = |packet: &Vec<u8>| [&(packet.len() as u32).to_be_bytes(), packet.as_slice()].concat();
        packets.iter().flat_map(frame).collect()
    }

    fn received(bytes: &[u8], sizes: &[usize]) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut input = Input::new(Pieces {
            bytes,
            sizes: sizes.iter().cycle(),
        });
        let mut packets = Vec::new();
        loop {
            while let Some(packet) = input.packet()? {
                packets.push(packet.to_vec());
            }
            if !input.fill().unwrap() {
                return Ok(packets);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn packets_arrive_whole_however_the_stream_is_cut(
            lengths in proptest::collection::vec(prop_oneof![0..50_usize, Just(MAX_PACKET), 60_000..MAX_PACKET], 0..6),
            sizes in proptest::collection::vec(prop_oneof![1..9_usize, Just(65_536), Just(ROOM)], 1..4),
        ) {
            let packet = |(number, length): (usize, &usize)| vec![number as u8; *length];
            let packets: Vec<_> = lengths.iter().enumerate().map(packet).collect();
            // Single bytes of a megabyte would take long and show nothing new.
            let sizes = if packets.iter().any(|packet| packet.len() > 50) { vec![65_536, sizes[0]] } else { sizes };
            prop_assert_eq!(received(&framed(&packets), &sizes), Ok(packets));
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_bytes_arrive() {
        for length in [MAX_PACKET as u32 + 1, u32::MAX] {
            assert_eq!(
                received(&length.to_be_bytes(), &[4]),
                Err(Malformed::TooLong(length))
            );
        }
    }

    #[test]
    fn a_packet_cut_off_by_the_end_is_no_packet() {
        let whole = framed(&[vec![1; 10], vec![2; 10]]);
        assert_eq!(received(&whole[..whole.len() - 1], &[7]), Ok(vec![vec![1; 10]]));
    }

    /// Takes at most three bytes at a time.
    #[derive(Default)]
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn replies_keep_their_order_however_slowly_they_are_taken() {
        let mut output = Output::new(Slow::default());
        output.reply(1, &Reply::Done).unwrap();
        assert!(output.to.0.is_empty(), "a short reply waits for others");
        output.reply(2, &Reply::Data(b"file")).unwrap();
        output.reply(3, &Reply::Done).unwrap();
        output.flush().unwrap();
        let sent = output.to.0;
        let ids: Vec<u8> = received(&sent, &[64])
            .unwrap()
            .iter()
            .map(|packet| packet[4])
            .collect();
        assert_eq!(ids, [1, 2, 3]);
    }
}
