//! Durations as people write them: `90s`, `30m`, `8h`, `7d`, `1h30m`.

/// The units, by their letters, in seconds.
const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];

/// The seconds that a duration has.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration: write it as 90s, 30m, 8h, 7d or 1h30m");
    let (mut sum, mut number) = (0_u64, None);
    for letter in text.chars() {
        if let Some(digit) = letter.to_digit(10) {
            let so_far: u64 = number.unwrap_or(0);
            let longer = so_far
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(digit.into()));
            number = Some(longer.ok_or_else(wrong)?);
            continue;
        }
        let unit = UNITS.iter().find(|(unit, _)| *unit == letter);
        let (Some(count), Some((_, unit))) = (number.take(), unit) else {
            return Err(wrong());
        };
        let part = count.checked_mul(*unit);
        sum = part.and_then(|part| sum.checked_add(part)).ok_or_else(wrong)?;
    }
    match number.is_none() && sum > 0 {
        true => Ok(sum),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, expected) in [
            ("90s", 90),
            ("30m", 1800),
            ("8h", 28_800),
            ("7d", 604_800),
            ("1h30m", 5400),
        ] {
            assert_eq!(seconds(text), Ok(expected));
        }
        for text in [
            "",
            "8",
            "h",
            "8x",
            "0s",
            "8h30",
            "-1h",
            "99999999999999999999s",
            "99999999999999999w",
        ] {
            assert!(seconds(text).unwrap_err().contains("is not a duration"), "{text}");
        }
    }
}
