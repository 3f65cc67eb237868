//! Text for people: columns as wide as their widest cell, and pairs of label and value.

/// A table: the first row is its head.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<_> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Lines of `label: value`, the values below each other; a value of several lines stays in its column.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(label, _)| label.len() + 2).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in pairs {
        let value = value.trim_end().replace('\n', &format!("\n{:width$}", ""));
        text.push_str(&format!("{:width$}{value}\n", format!("{label}:")));
    }
    text
}

/// The value, or a dash where there is none.
pub(crate) fn or_dash(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// Bytes in the largest unit that leaves at least one, with a decimal where there is one.
pub(crate) fn size(bytes: u64) -> String {
    let (mut whole, mut rest, mut unit) = (bytes, 0, "");
    for next in ["K", "M", "G", "T"] {
        if whole < 1024 {
            break;
        }
        (rest, whole, unit) = (whole % 1024, whole / 1024, next);
    }
    match rest * 10 / 1024 {
        0 => format!("{whole}{unit}"),
        tenths => format!("{whole}.{tenths}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [
            row(["NAME", "STATUS", "ADDRESS"]),
            row(["web", "RUNNING", "172.30.0.3"]),
            row(["a", "INIT", ""]),
        ];
        assert_eq!(
            columns(&rows),
            "NAME  STATUS   ADDRESS\nweb   RUNNING  172.30.0.3\na     INIT\n"
        );
    }

    #[test]
    fn a_long_value_stays_in_its_column() {
        let text = pairs(&[("name", "web".into()), ("console", "one\ntwo".into())]);
        assert_eq!(text, "name:    web\nconsole: one\n         two\n");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [512 << 20, 2 << 30, 1000, 0].map(size),
            ["512M", "2G", "1000", "0"]
        );
        assert_eq!([34_567_890, 1_500_000_000_000].map(size), ["32.9M", "1.3T"]);
    }
}
