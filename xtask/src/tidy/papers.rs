//! Whether the papers say what is there: links lead somewhere, and the tables of settings and reasons are whole.
//! Pure: texts in, faults out.

/// A sentence of the papers that is not, or no longer, true.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{page} links to {target}, which is not there")]
    DeadLink { page: String, target: String },
    #[error("{page} says nothing of {name}, which {source_file} has")]
    Missing {
        page: String,
        name: String,
        source_file: String,
    },
}

/// The targets of a page's links to files, relative to the page, without anchors.
pub(super) fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|file| !file.is_empty() && !file.contains("://"))
}

/// The stable texts of the reason codes, in the list of `model`.
pub(super) fn reason_codes(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let (_, text) = line.trim().split_once(" = \"")?;
        text.strip_suffix("\";")
    })
}

/// The keys of the settings, with their sections: `host.bundle`.
pub(super) fn settings(defaults: &toml::Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in defaults {
        match value.as_table() {
            Some(section) => keys.extend(section.keys().map(|inner| format!("{key}.{inner}"))),
            None => keys.push(key.clone()),
        }
    }
    keys
}

/// The names that no row of a page begins with.
pub(super) fn without_a_row<'a, N: AsRef<str>>(
    page: &'a str,
    names: impl IntoIterator<Item = N> + 'a,
) -> impl Iterator<Item = String> + 'a {
    let has_row = |name: &str| {
        let row = format!("| `{name}` |");
        page.lines().any(|line| line.starts_with(&row))
    };
    names
        .into_iter()
        .filter(move |name| !has_row(name.as_ref()))
        .map(|name| name.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_and_others_left_out() {
        let page = "[a](docs/a.md), [b](b.md#part)\n[c](https://example.org/c) [d](#part)";
        assert_eq!(links(page).collect::<Vec<_>>(), ["docs/a.md", "b.md"]);
    }

    #[test]
    fn codes_are_read_from_their_list() {
        let source = "    /// No.\n    NotFound = \"not_found\";\n    let x = 1;\n";
        assert_eq!(reason_codes(source).collect::<Vec<_>>(), ["not_found"]);
    }

    #[test]
    fn settings_are_named_with_their_section() {
        let defaults = toml::from_str("listen = ''\n[host]\nname = ''").unwrap();
        let mut keys = settings(&defaults);
        keys.sort();
        assert_eq!(keys, ["host.name", "listen"]);
    }

    #[test]
    fn a_name_without_a_row_is_found() {
        let page = "| `a` | one |\n`b` is mentioned only\n| `cd` | three |";
        let missing: Vec<_> = without_a_row(page, ["a", "b", "c"]).collect();
        assert_eq!(missing, ["b", "c"]);
    }
}
