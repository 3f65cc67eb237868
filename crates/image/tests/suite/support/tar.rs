//! A small tar writer of the tests' own: it writes what it is told, however odd.

/// A header's fields. The default is an empty file of root's.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: i64,
    pub(crate) gid: i64,
    pub(crate) mtime: i64,
    pub(crate) link: Vec<u8>,
    pub(crate) device: (u32, u32),
    /// `ustar` splits long names into prefix and name.
    pub(crate) prefix: Vec<u8>,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            name: Vec::new(),
            kind: b'0',
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            link: Vec::new(),
            device: (0, 0),
            prefix: Vec::new(),
        }
    }
}

/// An archive being written.
#[derive(Default, Clone)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn put(&mut self, header: &Header, body: &[u8]) -> &mut Self {
        self.raw(header, body.len() as u64, |_| {});
        self.body(body)
    }

    /// A header whose block `change` may spoil before its checksum is made.
    pub(crate) fn raw(
        &mut self,
        header: &Header,
        size: u64,
        change: impl FnOnce(&mut [u8; 512]),
    ) -> &mut Self {
        let mut block = [0; 512];
        let name = &header.name[..header.name.len().min(100)];
        block[..name.len()].copy_from_slice(name);
        number(&mut block[100..108], i64::from(header.mode));
        number(&mut block[108..116], header.uid);
        number(&mut block[116..124], header.gid);
        number(&mut block[124..136], i64::try_from(size).expect("a size"));
        number(&mut block[136..148], header.mtime);
        block[156] = header.kind;
        let link = &header.link[..header.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        number(&mut block[329..337], i64::from(header.device.0));
        number(&mut block[337..345], i64::from(header.device.1));
        block[345..345 + header.prefix.len()].copy_from_slice(&header.prefix);
        change(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    pub(crate) fn body(&mut self, body: &[u8]) -> &mut Self {
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// An extended header for the next member.
    pub(crate) fn pax(&mut self, records: &[(&str, &[u8])]) -> &mut Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let digits = (1..)
                .find(|&digits| (rest + digits).to_string().len() == digits)
                .expect("a length");
            body.extend_from_slice(format!("{} {key}=", rest + digits).as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.put(
            &Header {
                name: b"PaxHeaders/x".to_vec(),
                kind: b'x',
                ..Header::default()
            },
            &body,
        )
    }

    /// GNU's long name (`L`) or link (`K`) for the next member.
    pub(crate) fn gnu_long(&mut self, kind: u8, name: &[u8]) -> &mut Self {
        let header = Header {
            name: b"././@LongLink".to_vec(),
            kind,
            ..Header::default()
        };
        self.put(&header, &[name, b"\0"].concat())
    }

    pub(crate) fn file(&mut self, name: &str, body: &[u8]) -> &mut Self {
        self.put(
            &Header {
                name: name.into(),
                ..Header::default()
            },
            body,
        )
    }

    pub(crate) fn dir(&mut self, name: &str) -> &mut Self {
        self.put(
            &Header {
                name: name.into(),
                kind: b'5',
                mode: 0o755,
                ..Header::default()
            },
            b"",
        )
    }

    pub(crate) fn symlink(&mut self, name: &str, target: &str) -> &mut Self {
        self.put(
            &Header {
                name: name.into(),
                kind: b'2',
                mode: 0o777,
                link: target.into(),
                ..Header::default()
            },
            b"",
        )
    }

    pub(crate) fn link(&mut self, name: &str, target: &str) -> &mut Self {
        self.put(
            &Header {
                name: name.into(),
                kind: b'1',
                link: target.into(),
                ..Header::default()
            },
            b"",
        )
    }

    /// The whole archive, with its end.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        let mut whole = self.0.clone();
        whole.extend_from_slice(&[0; 1024]);
        whole
    }
}

/// Octal where it fits, else base 256.
fn number(field: &mut [u8], number: i64) {
    let digits = field.len() - 1;
    let octal = format!("{number:0digits$o}");
    if number >= 0 && octal.len() <= digits {
        field[..digits].copy_from_slice(octal.as_bytes());
        return;
    }
    let mut rest = number;
    for byte in field.iter_mut().rev() {
        *byte = (rest & 0xff) as u8;
        rest >>= 8;
    }
    field[0] = if number < 0 { 0xff } else { 0x80 };
}
