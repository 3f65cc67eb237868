//! PAX extended headers (POSIX 1003.1-2001, "pax Extended Header"): lines of `LENGTH KEY=VALUE`, values binary.

use super::TarError;
use crate::entry::{Time, Xattr};

/// What extended headers say about the next member.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: Sparse,
}

/// The keys of GNU's sparse formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    pub(super) version: Option<(u64, u64)>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Offsets and lengths in turn.
    pub(super) numbers: Vec<u64>,
}

impl Overrides {
    /// Reads one extended header on top of what earlier ones said.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), TarError> {
        while !records.is_empty() {
            let (record, rest) = split(records)?;
            self.set(record.key, record.value)?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.xattrs.retain(|xattr| *xattr.name != *name);
            self.xattrs.push(Xattr {
                name: name.into(),
                value: value.into(),
            });
            return Ok(());
        }
        // An empty value takes an earlier one back.
        let set = !value.is_empty();
        match key {
            b"path" => self.path = set.then(|| value.to_vec()),
            b"linkpath" => self.link = set.then(|| value.to_vec()),
            b"size" => self.size = set.then(|| decimal(value)).transpose()?,
            b"uid" => self.uid = set.then(|| decimal(value)).transpose()?,
            b"gid" => self.gid = set.then(|| decimal(value)).transpose()?,
            b"mtime" => self.mtime = set.then(|| time(value)).transpose()?,
            b"GNU.sparse.major" => {
                self.sparse.version = Some((decimal(value)?, self.sparse.version.unwrap_or_default().1))
            }
            b"GNU.sparse.minor" => {
                self.sparse.version = Some((self.sparse.version.unwrap_or_default().0, decimal(value)?))
            }
            b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = Some(decimal(value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.numbers.push(decimal(value)?),
            b"GNU.sparse.map" => {
                self.sparse.numbers = value
                    .split(|&byte| byte == b',')
                    .map(decimal)
                    .collect::<Result<_, _>>()?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// One record.
struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

/// The first record, and the records after it.
fn split(records: &[u8]) -> Result<(Record<'_>, &[u8]), TarError> {
    let parts = || {
        let blank = records.iter().position(|&byte| byte == b' ')?;
        let length = usize::try_from(decimal(&records[..blank]).ok()?).ok()?;
        let (record, rest) = records.split_at_checked(length)?;
        let pair = record.get(blank + 1..)?.strip_suffix(b"\n")?;
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        Some((
            Record {
                key: &pair[..equals],
                value: &pair[equals + 1..],
            },
            rest,
        ))
    };
    parts().ok_or(TarError::Pax)
}

/// A decimal number that is not negative.
pub(super) fn decimal(text: &[u8]) -> Result<u64, TarError> {
    let digits = text.iter().try_fold(0u64, |value, &digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    digits.filter(|_| !text.is_empty()).ok_or(TarError::Pax)
}

/// Seconds with an optional sign and fraction; digits after the ninth are dropped.
fn time(text: &[u8]) -> Result<Time, TarError> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let point = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    let seconds = i64::try_from(decimal(&text[..point])?).map_err(|_| TarError::Pax)?;
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10
            + match text.get(point + 1 + place) {
                None => 0,
                Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
                Some(_) => return Err(TarError::Pax),
            };
    }
    Ok(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time {
            seconds: -seconds,
            nanos,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_round_down() {
        for (text, seconds, nanos) in [
            ("1.5", 1, 500_000_000),
            ("-0.5", -1, 500_000_000),
            ("-2", -2, 0),
            ("7", 7, 0),
            ("0.1234567899", 0, 123_456_789),
        ] {
            assert_eq!(
                time(text.as_bytes()).expect("a time"),
                Time { seconds, nanos },
                "{text}"
            );
        }
        for bad in ["", "-", "1.x", "x", "99999999999999999999"] {
            assert!(time(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_binary_and_may_be_empty() {
        let mut overrides = Overrides::default();
        overrides
            .read(b"24 SCHILY.xattr.user.a=\n26 SCHILY.xattr.user.b=\n\0\n")
            .expect("two records");
        let values: Vec<_> = overrides.xattrs.iter().map(|xattr| &*xattr.value).collect();
        assert_eq!(values, [&b""[..], b"\n\0"]);
    }

    #[test]
    fn records_that_lie_about_their_length_are_refused() {
        for bad in [
            &b"9 path=a\n9"[..],
            b"99 path=a\n",
            b"0 ",
            b"3 a\n",
            b"path=a\n",
            b"2 path=a\n",
        ] {
            assert!(Overrides::default().read(bad).is_err(), "{bad:?}");
        }
    }
}
