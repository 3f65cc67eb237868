//! Points in time as people write them: a time, or how long ago.

use jiff::{SignedDuration, Timestamp};

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    At(Timestamp),
    Ago(SignedDuration),
}

/// Reads one.
pub(crate) fn when(text: &str) -> Result<When, String> {
    if let Ok(time) = text.parse() {
        return Ok(When::At(time));
    }
    match text.parse::<SignedDuration>() {
        Ok(ago) if !ago.is_negative() => Ok(When::Ago(ago)),
        Ok(_) | Err(_) => {
            Err("write how long ago, such as 10m or 2h, or a time such as 2026-11-22T09:00:00Z".into())
        }
    }
}

impl When {
    /// The time it is, as the API takes it.
    pub(crate) fn text(self, now: Timestamp) -> String {
        match self {
            Self::At(time) => time.to_string(),
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_time_or_a_while_ago() {
        let now: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("10m", "2026-11-22T08:50:00Z"),
            ("90s", "2026-11-22T08:58:30Z"),
            ("2h30m", "2026-11-22T06:30:00Z"),
            ("2026-11-21T00:00:00+01:00", "2026-11-20T23:00:00Z"),
        ] {
            assert_eq!(when(text).unwrap().text(now), expected, "{text}");
        }
        for bad in ["", "yesterday", "-10m", "10"] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }
}
