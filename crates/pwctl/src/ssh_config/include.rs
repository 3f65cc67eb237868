//! The one line of ours in the person's `~/.ssh/config`. Pure.
//!
//! It stands first: an `Include` further down would belong to the `Host` block above it (`ssh_config(5)`).

use std::path::Path;

/// With its whole path: ssh looks for another in the home that the system knows, whatever `HOME` is.
fn ours(config: &Path) -> String {
    format!("Include \"{}\"", config.display())
}

/// The person's file with our line at its top.
pub(super) fn with_include(text: &str, config: &Path) -> String {
    let ours = ours(config);
    match text.lines().any(|line| line.trim_end() == ours) {
        true => text.to_owned(),
        false => format!("{ours}\n{text}"),
    }
}

/// The person's file as it was without us.
pub(super) fn without_include(text: &str, config: &Path) -> String {
    let ours = ours(config);
    let lines = text.split_inclusive('\n');
    lines.filter(|line| line.trim_end() != ours).collect()
}

/// Whether the person means a host of their own by this name. Patterns such as `*` mean no host by itself.
pub(super) fn is_own_host(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line
            .trim()
            .split([' ', '\t', '='])
            .filter(|word| !word.is_empty());
        let is_host = words.next().is_some_and(|word| word.eq_ignore_ascii_case("host"));
        is_host && words.any(|word| word.trim_matches('"') == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_comes_and_goes_and_nothing_else_does() {
        for text in ["", "# mine\nHost a\n    User me", "\n\nHost *\r\n  Port 22\r\n"] {
            let config = Path::new("/home/me/.ssh/pitwall.config");
            let with = with_include(text, config);
            assert_eq!(with, format!("Include \"/home/me/.ssh/pitwall.config\"\n{text}"));
            assert_eq!(with_include(&with, config), with);
            assert_eq!(without_include(&with, config), text);
        }
    }

    #[test]
    fn a_name_that_is_taken_is_found() {
        let text = "Host *\n  User x\nhost web \"db\"\nHost=eq\n#Host no\n  HostName api\n";
        for (name, is_own) in [
            ("web", true),
            ("db", true),
            ("eq", true),
            ("no", false),
            ("api", false),
            ("x", false),
        ] {
            assert_eq!(is_own_host(text, name), is_own, "{name}");
        }
    }
}
