//! The values that packets are made of: big-endian numbers, and strings with their length in front (RFC 4251
//! section 5).

/// A packet that breaks the format. What follows it cannot be trusted, so it ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a packet says that it has {0} bytes, which is more than this server takes")]
    TooLong(u32),
    #[error("a packet ends before what it says it holds")]
    Truncated,
    #[error("the first packet is not SSH_FXP_INIT")]
    NotInit,
}

/// Takes values from the front of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(packet: &'a [u8]) -> Self {
        Self(packet)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed::Truncated)?;
        self.take(length)
    }
}

/// Appends values to a packet.
pub(super) trait Put {
    fn put_byte(&mut self, value: u8);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    /// Nothing that this server says comes near the 4 GiB that a length can tell.
    fn put_string(&mut self, value: &[u8]);
}

impl Put for Vec<u8> {
    fn put_byte(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_string(&mut self, value: &[u8]) {
        self.put_u32(length(value));
        self.extend_from_slice(value);
    }
}

/// A length as packets carry it.
pub(super) fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back_as_they_were(byte: u8, number: u32, large: u64, string: Vec<u8>) {
            let mut packet = Vec::new();
            packet.put_byte(byte);
            packet.put_u32(number);
            packet.put_u64(large);
            packet.put_string(&string);
            let mut reader = Reader::new(&packet);
            prop_assert_eq!(reader.byte(), Ok(byte));
            prop_assert_eq!(reader.u32(), Ok(number));
            prop_assert_eq!(reader.u64(), Ok(large));
            prop_assert_eq!(reader.string(), Ok(string.as_slice()));
            prop_assert_eq!(reader.byte(), Err(Malformed::Truncated));
        }
    }

    #[test]
    fn a_length_beyond_the_packet_is_no_string() {
        for length in [4, 0x7fff_ffff, u32::MAX] {
            let mut packet = length.to_be_bytes().to_vec();
            packet.extend_from_slice(b"abc");
            assert_eq!(
                Reader::new(&packet).string(),
                Err(Malformed::Truncated),
                "{length}"
            );
        }
    }
}
