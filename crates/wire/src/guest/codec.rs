//! Cuts frames into bytes and finds them again; the layout is drawn in the module above.

use std::marker::PhantomData;

use super::frames::{Frame, FrameError};

const MAGIC: [u8; 4] = *b"PWG1";
const HEADER: usize = 12;

/// The longest payload, in bytes. A configuration with a thousand keys fits ten times over; a larger bound would only
/// make a reader wait longer behind a damaged length.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// What an idle reader holds at most, bytes: enough for the frames of a guest that has nothing to say.
const KEPT: usize = 8 * 1024;

/// A frame whose payload is longer than [`MAX_PAYLOAD`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a guest frame of {0} bytes is longer than the {MAX_PAYLOAD} that the other side reads")]
pub struct TooLong(pub usize);

/// Writes frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct Encoder;

impl Encoder {
    /// The bytes of one frame.
    ///
    /// # Errors
    /// [`TooLong`] when its payload exceeds [`MAX_PAYLOAD`].
    pub fn encode<F: Frame>(self, frame: &F) -> Result<Vec<u8>, TooLong> {
        let payload = frame.to_payload();
        let too_long = || TooLong(payload.len());
        if payload.len() > MAX_PAYLOAD {
            return Err(too_long());
        }
        let length = u32::try_from(payload.len()).map_err(|_| too_long())?;
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }
}

/// Reads frames of one direction out of a stream of bytes that may begin, break off or be damaged anywhere.
#[derive(Debug)]
pub struct Decoder<F> {
    buffer: Vec<u8>,
    skipped: u64,
    frame: PhantomData<fn() -> F>,
}

impl<F> Default for Decoder<F> {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            skipped: 0,
            frame: PhantomData,
        }
    }
}

enum Step {
    /// This many leading bytes cannot belong to a frame.
    Skip(usize),
    /// The bytes so far may be the beginning of a frame.
    Wait,
    /// A frame ends after this many bytes.
    Whole(usize),
}

impl<F: Frame> Decoder<F> {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets a frame that was only half read: to be called when the other end is known to have gone.
    pub fn reset(&mut self) {
        self.skipped += self.buffer.len() as u64;
        self.buffer = Vec::new();
    }

    /// How many bytes so far belonged to no frame.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next frame, or `None` until more bytes come. Frames of an unknown kind are passed over.
    ///
    /// # Errors
    /// A [`FrameError`] for one whole frame whose content makes no sense; the stream itself is still good.
    pub fn next_frame(&mut self) -> Option<Result<F, FrameError>> {
        loop {
            match self.step() {
                Step::Wait => {
                    self.give_back();
                    return None;
                }
                Step::Skip(count) => {
                    self.buffer.drain(..count);
                    self.skipped += count as u64;
                }
                Step::Whole(end) => {
                    let frame = self.buffer.get(HEADER..end).map(F::from_payload);
                    self.buffer.drain(..end);
                    match frame {
                        Some(Ok(Some(frame))) => return Some(Ok(frame)),
                        Some(Err(error)) => return Some(Err(error)),
                        Some(Ok(None)) | None => {}
                    }
                }
            }
        }
    }

    /// A long frame is rare, and there is a decoder for each guest of a host.
    fn give_back(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
    }

    fn step(&self) -> Step {
        match self.start() {
            0 => {}
            count => return Step::Skip(count),
        }
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER>() else {
            return Step::Wait;
        };
        let [_, _, _, _, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_PAYLOAD {
            return Step::Skip(1);
        }
        match rest.get(..length) {
            None => Step::Wait,
            Some(payload) if crc32c::crc32c(payload) == u32::from_le_bytes([c0, c1, c2, c3]) => {
                Step::Whole(HEADER + length)
            }
            Some(_) => Step::Skip(1),
        }
    }

    /// Where the magic, or what may become one at the very end, begins.
    fn start(&self) -> usize {
        let whole = self
            .buffer
            .windows(MAGIC.len())
            .position(|window| window == MAGIC);
        whole.unwrap_or_else(|| {
            let longest = (1..MAGIC.len())
                .rev()
                .find(|&n| self.buffer.ends_with(MAGIC.get(..n).unwrap_or(&MAGIC)));
            self.buffer.len() - longest.unwrap_or(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{GuestFrame, HostFrame};

    fn ping(n: u64) -> Vec<u8> {
        Encoder.encode(&HostFrame::Ping { n }).unwrap()
    }

    fn read_all(decoder: &mut Decoder<HostFrame>) -> Vec<HostFrame> {
        std::iter::from_fn(|| decoder.next_frame())
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn a_frame_cut_anywhere_is_read_once_whole() {
        let bytes = ping(7);
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::<HostFrame>::default();
            decoder.push(&bytes[..cut]);
            assert!(decoder.next_frame().is_none(), "cut at {cut}");
            decoder.push(&bytes[cut..]);
            assert_eq!(read_all(&mut decoder), [HostFrame::Ping { n: 7 }]);
            assert_eq!(decoder.skipped(), 0);
        }
    }

    #[test]
    fn garbage_and_half_frames_between_are_passed_over() {
        let mut decoder = Decoder::<HostFrame>::default();
        decoder.push(b"PWPWG\n[    0.1] kernel says hello PW");
        decoder.push(&ping(1));
        decoder.push(&ping(2)[..9]);
        decoder.push(&ping(3));
        let mut damaged = ping(4);
        *damaged.last_mut().unwrap() ^= 0x40;
        decoder.push(&damaged);
        decoder.push(&ping(5));
        let read = read_all(&mut decoder);
        assert_eq!(read, [1, 3, 5].map(|n| HostFrame::Ping { n }));
        assert!(decoder.skipped() > 0);
    }

    #[test]
    fn a_length_beyond_the_bound_is_no_frame() {
        let mut decoder = Decoder::<HostFrame>::default();
        decoder.push(b"PWG1\xff\xff\xff\xff\0\0\0\0");
        decoder.push(&ping(9));
        assert_eq!(read_all(&mut decoder), [HostFrame::Ping { n: 9 }]);
    }

    #[test]
    fn a_frame_from_the_future_is_no_error() {
        let mut decoder = Decoder::<HostFrame>::default();
        let unknown = [0x7a, 0x02, 0x08, 0x01]; // field 15, a message we have never seen
        let mut bytes = b"PWG1\x04\0\0\0".to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&unknown).to_le_bytes());
        bytes.extend_from_slice(&unknown);
        decoder.push(&bytes);
        decoder.push(&ping(1));
        assert_eq!(read_all(&mut decoder), [HostFrame::Ping { n: 1 }]);
        assert_eq!(decoder.skipped(), 0);
    }

    #[test]
    fn an_idle_reader_holds_next_to_nothing() {
        let long = GuestFrame::Failed {
            code: "long".to_owned(),
            message: "x".repeat(200_000),
        };
        let mut decoder = Decoder::<GuestFrame>::default();
        decoder.push(&Encoder.encode(&long).unwrap());
        assert_eq!(decoder.next_frame().unwrap().unwrap(), long);
        assert!(decoder.next_frame().is_none());
        assert!(decoder.buffer.capacity() <= KEPT);
    }

    #[test]
    fn a_reset_forgets_half_a_frame() {
        let mut decoder = Decoder::<HostFrame>::default();
        decoder.push(b"PWG1\0\0\x08\0\0\0\0\0 the host died here");
        decoder.reset();
        decoder.push(&ping(2));
        assert_eq!(read_all(&mut decoder), [HostFrame::Ping { n: 2 }]);
    }
}
