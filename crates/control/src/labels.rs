//! Labels: what people call their VMs besides their names, to find them again.

use std::collections::BTreeMap;

use model::{Problem, ProblemCode};

/// The labels of a VM, by name.
pub type Labels = BTreeMap<String, String>;

const MAX_LABELS: usize = 64;
const MAX_NAME_BYTES: usize = 63;
const MAX_VALUE_BYTES: usize = 255;

/// Refuses labels that a VM cannot have.
pub(crate) fn check(labels: &Labels) -> Result<(), Problem> {
    if labels.len() > MAX_LABELS {
        return Err(invalid(
            "/labels",
            format!(
                "{} labels are too many; a VM has up to {MAX_LABELS}",
                labels.len()
            ),
        ));
    }
    labels.iter().try_for_each(|(name, value)| check_one(name, value))
}

fn check_one(name: &str, value: &str) -> Result<(), Problem> {
    let pointer = format!("/labels/{}", name.replace('~', "~0").replace('/', "~1"));
    if !is_name(name) {
        return Err(
            invalid(&pointer, format!("{name:?} is no name of a label")).hint(format!(
                "a name has 1 to {MAX_NAME_BYTES} of a-z 0-9 . _ / - and begins with a letter or digit"
            )),
        );
    }
    if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
        return Err(invalid(&pointer, "that is no value of a label").hint(format!(
            "a value has at most {MAX_VALUE_BYTES} bytes and no control characters"
        )));
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= MAX_NAME_BYTES
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || b".-_/".contains(&b))
}

/// The labels after a change: those with a value are set, those without one go, the others stay.
pub(crate) fn changed(before: &Labels, wish: &BTreeMap<String, Option<String>>) -> Result<Labels, Problem> {
    let mut labels = before.clone();
    for (name, value) in wish {
        match value {
            Some(value) => drop(labels.insert(name.clone(), value.clone())),
            None => drop(labels.remove(name)),
        }
    }
    check(&labels)?;
    Ok(labels)
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::InvalidValue, detail).at(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn names_and_values_have_their_bounds() {
        let long = "a".repeat(63);
        for name in ["a", "7", "tier", "app.example/part-of_it", &long] {
            assert_eq!(check(&labels(&[(name, "")])), Ok(()), "{name}");
        }
        let too_long = "a".repeat(64);
        for name in ["", "A", "-a", "/a", "a b", "a=b", "ä", &too_long] {
            let refused = check(&labels(&[(name, "")])).unwrap_err();
            assert_eq!(refused.code, ProblemCode::InvalidValue, "{name}");
        }
        assert_eq!(check(&labels(&[("a", &"é".repeat(127))])), Ok(()));
        assert!(check(&labels(&[("a", &"é".repeat(128))])).is_err());
        assert!(check(&labels(&[("a", "two\nlines")])).is_err());
        let pointer = check(&labels(&[("a/B", "")])).unwrap_err().pointer;
        assert_eq!(pointer.as_deref(), Some("/labels/a~1B"));
    }

    #[test]
    fn there_are_not_too_many() {
        let many = |count: usize| (0..count).map(|n| (format!("l{n}"), String::new())).collect();
        assert_eq!(check(&many(64)), Ok(()));
        assert!(check(&many(65)).is_err());
    }

    #[test]
    fn a_change_sets_removes_and_leaves() {
        let before = labels(&[("keep", "1"), ("set", "1"), ("go", "1")]);
        let wish = [
            ("set", Some("2")),
            ("go", None),
            ("new", Some("")),
            ("absent", None),
        ];
        let wish = wish.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        let after = changed(&before, &wish.into()).unwrap();
        assert_eq!(after, labels(&[("keep", "1"), ("new", ""), ("set", "2")]));
    }
}
