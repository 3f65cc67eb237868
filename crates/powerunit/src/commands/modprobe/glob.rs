//! Patterns of module aliases: `*`, `?` and `[a-z]`, as fnmatch(3) without flags has them.

/// Pure: whether all of the text fits the pattern.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // Where the last star was, and how much of the text it had taken.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix(b"*") {
            star = Some((rest, text));
            pattern = rest;
        } else if let Some(step) = one(pattern, text) {
            (pattern, text) = step;
        } else if pattern.is_empty() && text.is_empty() {
            return true;
        } else {
            let Some((rest, [_, longer @ ..])) = star else {
                return false;
            };
            star = Some((rest, longer));
            (pattern, text) = (rest, longer);
        }
    }
}

/// One character of the text against one of the pattern; gives what follows.
fn one<'a>(pattern: &'a [u8], text: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (first, text) = text.split_first()?;
    match pattern {
        [b'?', rest @ ..] => Some((rest, text)),
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&byte| byte == b']')?;
            let (set, rest) = rest.split_at_checked(end)?;
            is_in(set, *first).then_some((rest.get(1..)?, text))
        }
        [byte, rest @ ..] if byte == first => Some((rest, text)),
        _ => None,
    }
}

fn is_in(set: &[u8], byte: u8) -> bool {
    match set {
        [from, b'-', to, rest @ ..] => (*from..=*to).contains(&byte) || is_in(rest, byte),
        [one, rest @ ..] => *one == byte || is_in(rest, byte),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_aliases_fit_what_the_kernel_asks_for() {
        for (pattern, text, expected) in [
            ("rtnl_link_wireguard", "rtnl_link_wireguard", true),
            ("fs_overlay", "fs_over", false),
            ("virtio:d00000004v*", "virtio:d00000004v00001AF4", true),
            ("pci:v*d*sv*bc02sc00i*", "pci:v8086d100Esv1sd2bc02sc00i00", true),
            ("pci:v*d*sv*bc02sc01i*", "pci:v8086d100Esv1sd2bc02sc00i00", false),
            (
                "cpu:type:x86,ven*fam*mod*:feature:*[0-9A-F]E*",
                "cpu:type:x86,ven0fam6mod1:feature:,009E,",
                true,
            ),
            ("x?z", "xyz", true),
            ("x?z", "xz", false),
            ("[ab", "a", false),
            ("*", "", true),
            ("**a", "bba", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
