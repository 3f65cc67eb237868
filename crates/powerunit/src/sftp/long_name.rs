//! One line of a listing as `ls -l` writes it: what OpenSSH's `sftp` shows for `ls -l`, unread by programs (section 7
//! of the draft).

use std::io::Write;

/// Half a year: older files, and files of the future, show their year instead of the time of day.
const RECENT: u32 = 365 * 24 * 3600 / 2;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What the line tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct LongName<'a> {
    /// Type and permissions, as in stat(2).
    pub(super) mode: u32,
    pub(super) links: u64,
    pub(super) user: &'a str,
    pub(super) group: &'a str,
    /// In bytes.
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) modified: u32,
    pub(super) name: &'a [u8],
}

impl LongName<'_> {
    /// The line, with times in UTC, which is what a machine without a zone file has.
    pub(super) fn line(&self, now: u32) -> Vec<u8> {
        let mut line = Vec::with_capacity(80);
        line.extend_from_slice(&permissions(self.mode));
        let _ = write!(line, "  {:>3} ", self.links);
        let _ = write!(line, "{:<8} {:<8} {:>8} ", self.user, self.group, self.size);
        let _ = write!(line, "{} ", date(self.modified, now));
        line.extend_from_slice(self.name);
        line
    }
}

/// `drwxr-xr-x`, with the letters of ls(1) for set-user-id, set-group-id and sticky.
fn permissions(mode: u32) -> [u8; 10] {
    let kind = match mode & 0o170_000 {
        0o040_000 => b'd',
        0o120_000 => b'l',
        0o020_000 => b'c',
        0o060_000 => b'b',
        0o010_000 => b'p',
        0o140_000 => b's',
        _ => b'-',
    };
    let may = |bit: u32, letter: u8| if mode & bit == 0 { b'-' } else { letter };
    let run = |bit: u32, special: u32, both: u8, alone: u8| match (mode & bit != 0, mode & special != 0) {
        (true, true) => both,
        (false, true) => alone,
        (true, false) => b'x',
        (false, false) => b'-',
    };
    [
        kind,
        may(0o400, b'r'),
        may(0o200, b'w'),
        run(0o100, 0o4000, b's', b'S'),
        may(0o040, b'r'),
        may(0o020, b'w'),
        run(0o010, 0o2000, b's', b'S'),
        may(0o004, b'r'),
        may(0o002, b'w'),
        run(0o001, 0o1000, b't', b'T'),
    ]
}

fn date(time: u32, now: u32) -> String {
    let (year, month, day) = civil(time / 86_400);
    let month = usize::try_from(month)
        .ok()
        .and_then(|month| MONTHS.get(month))
        .unwrap_or(&"");
    if time <= now && now.saturating_sub(time) < RECENT {
        let (hour, minute) = (time / 3600 % 24, time / 60 % 60);
        format!("{month} {day:>2} {hour:02}:{minute:02}")
    } else {
        format!("{month} {day:>2}  {year}")
    }
}

/// Year, month from 0 and day of the month, of a day counted from 1970-01-01. Years here begin in March, so that the
/// leap day is the last one; 719,468 days lie between 0000-03-01 and 1970-01-01, and 400 years have 146,097.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "seconds of 32 bits make at most 49,710 days, and nothing below exceeds 800,000"
)]
fn civil(days: u32) -> (u32, u32, u32) {
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let month = (from_march + 2) % 12;
    let year = cycle * 400 + year + u32::from(month < 2);
    (year, month, day - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 05:47:47 UTC.
    const NOW: u32 = 1_795_326_467;

    #[test]
    fn a_line_as_ls_writes_it() {
        let file = LongName {
            mode: 0o100_644,
            links: 1,
            user: "root",
            group: "a-long-group",
            size: 1234,
            modified: NOW - 60,
            name: b"caf\xe9",
        };
        assert_eq!(
            file.line(NOW),
            b"-rw-r--r--    1 root     a-long-group     1234 Nov 22 05:46 caf\xe9"
        );
    }

    #[test]
    fn permissions_have_the_letters_of_ls() {
        let text = |mode| String::from_utf8(permissions(mode).to_vec()).unwrap();
        assert_eq!(text(0o041_777), "drwxrwxrwt");
        assert_eq!(text(0o104_755), "-rwsr-xr-x");
        assert_eq!(text(0o102_640), "-rw-r-S---");
        assert_eq!(text(0o120_777), "lrwxrwxrwx");
        assert_eq!(text(0o020_000), "c---------");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0, NOW), "Jan  1  1970");
        assert_eq!(date(951_782_400, NOW), "Feb 29  2000");
        assert_eq!(date(951_868_800, NOW), "Mar  1  2000");
        assert_eq!(date(NOW + 1, NOW), "Nov 22  2026", "a file of the future");
        assert_eq!(date(u32::MAX, NOW), "Feb  7  2106");
        assert_eq!(date(NOW, NOW), "Nov 22 05:47");
    }
}
