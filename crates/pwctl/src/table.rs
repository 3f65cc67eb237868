//! Text in columns, and values as people read them.

use api::VmStatus;
use jiff::Timestamp;

/// What stands where there is nothing.
const NOTHING: &str = "-";
/// The least that is left of a cell that is cut.
const LEAST: usize = 8;

/// How text for people looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// Whether every column is shown.
    pub(crate) is_wide: bool,
    /// As many columns as the terminal has; without one nothing is cut.
    pub(crate) width: Option<usize>,
    pub(crate) colors: bool,
}

/// A column, by its head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Always whole.
    Whole(&'static str),
    /// Cut where the terminal is too narrow.
    Elastic(&'static str),
    /// Shown in the wide form only.
    Wide(&'static str),
}

impl Column {
    const fn head(self) -> &'static str {
        match self {
            Self::Whole(head) | Self::Elastic(head) | Self::Wide(head) => head,
        }
    }
}

/// How a cell is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    None,
    Good,
    Busy,
    Bad,
}

/// A value in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self {
            text: value.to_string(),
            paint: Paint::None,
        }
    }
}

/// A status, in the colour that says how it is.
pub(crate) fn status(status: &VmStatus) -> Cell {
    let paint = match status.as_str() {
        "RUNNING" => Paint::Good,
        "ERROR" | "UNKNOWN" => Paint::Bad,
        "STOPPED" => Paint::None,
        _ => Paint::Busy,
    };
    Cell {
        text: status.to_string(),
        paint,
    }
}

/// Rows of cells under heads.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(
        columns: [Column; N],
        rows: impl IntoIterator<Item = [Cell; N]>,
    ) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: rows.into_iter().map(Vec::from).collect(),
        }
    }

    /// The text, a line per row.
    pub(crate) fn render(&self, page: Page) -> String {
        let is_shown = |column: &Column| page.is_wide || !matches!(column, Column::Wide(_));
        let shown: Vec<usize> = (0..self.columns.len())
            .filter(|&index| self.columns.get(index).is_some_and(is_shown))
            .collect();
        let columns: Vec<Column> = shown
            .iter()
            .filter_map(|&index| self.columns.get(index).copied())
            .collect();
        let head: Vec<Cell> = columns.iter().map(|column| Cell::from(column.head())).collect();
        let of_row = |row: &Vec<Cell>| {
            shown
                .iter()
                .filter_map(|&index| row.get(index).cloned())
                .collect()
        };
        let rows: Vec<Vec<Cell>> = std::iter::once(head)
            .chain(self.rows.iter().map(of_row))
            .collect();
        let widths = fitted(&columns, &rows, page.width);
        rows.iter().map(|row| line(row, &widths, page.colors)).collect()
    }
}

/// The width of each column: that of its widest cell, less what the terminal lacks.
fn fitted(columns: &[Column], rows: &[Vec<Cell>], limit: Option<usize>) -> Vec<usize> {
    let widest = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index));
        cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..columns.len()).map(widest).collect();
    let gaps = 2 * columns.len().saturating_sub(1);
    let mut excess = limit.map_or(0, |limit| {
        (widths.iter().sum::<usize>() + gaps).saturating_sub(limit)
    });
    while excess > 0 {
        // The widest gives way first, so that short ones stay whole for as long as they can.
        let elastic = columns.iter().zip(widths.iter_mut());
        let elastic =
            elastic.filter(|(column, width)| matches!(column, Column::Elastic(_)) && **width > LEAST);
        let Some((_, width)) = elastic.max_by_key(|(_, width)| **width) else {
            break;
        };
        *width -= 1;
        excess -= 1;
    }
    widths
}

fn line(row: &[Cell], widths: &[usize], colors: bool) -> String {
    let mut text = String::new();
    for (index, (cell, &width)) in row.iter().zip(widths).enumerate() {
        let shown = match cell.text.is_empty() {
            true => NOTHING.to_owned(),
            false => cut(&cell.text, width),
        };
        let blanks = match index + 1 == row.len() {
            true => 0,
            false => width + 2 - shown.chars().count(),
        };
        text.push_str(&painted(&shown, cell.paint, colors));
        text.push_str(&" ".repeat(blanks));
    }
    text + "\n"
}

fn cut(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn painted(text: &str, paint: Paint, colors: bool) -> String {
    let code = match (colors, paint) {
        (false, _) | (true, Paint::None) => return text.to_owned(),
        (true, Paint::Good) => 32,
        (true, Paint::Busy) => 33,
        (true, Paint::Bad) => 31,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
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
    value.map_or_else(|| NOTHING.to_owned(), ToString::to_string)
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

/// How long ago that was, in the largest unit that leaves at least one; what is no time stays as it is.
pub(crate) fn age(at: &str, now: Timestamp) -> String {
    let Ok(at) = at.parse::<Timestamp>() else {
        return at.to_owned();
    };
    let seconds = now.as_second().saturating_sub(at.as_second()).max(0);
    let units = [("y", 365 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60)];
    let unit = units.iter().find(|(_, length)| seconds >= *length);
    unit.map_or_else(
        || format!("{seconds}s"),
        |(unit, length)| format!("{}{unit}", seconds / length),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Page = Page {
        is_wide: false,
        width: None,
        colors: false,
    };

    fn table() -> Table {
        use Column::{Elastic, Whole, Wide};
        let cell = |text: &str| Cell::from(text);
        Table::new(
            [Whole("NAME"), Whole("STATUS"), Wide("ID"), Elastic("IMAGE")],
            [
                [
                    cell("web"),
                    status(&api::Status::Running.into()),
                    cell("vm_1"),
                    cell("docker.io/library/debian:12"),
                ],
                [
                    cell("a"),
                    status(&api::Status::Error.into()),
                    cell("vm_2"),
                    cell(""),
                ],
            ],
        )
    }

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        assert_eq!(
            table().render(PLAIN),
            "NAME  STATUS   IMAGE\nweb   RUNNING  docker.io/library/debian:12\na     ERROR    -\n"
        );
        let wide = Page {
            is_wide: true,
            ..PLAIN
        };
        assert!(table().render(wide).starts_with("NAME  STATUS   ID    IMAGE\n"));
    }

    #[test]
    fn what_does_not_fit_is_cut_where_it_may_be() {
        let narrow = |width| Page {
            width: Some(width),
            ..PLAIN
        };
        let lines = table().render(narrow(30));
        assert!(lines.contains("\nweb   RUNNING  docker.io/libr…\n"), "{lines}");
        assert!(lines.lines().all(|line| line.chars().count() <= 30), "{lines}");
        // Names are never cut.
        assert!(table().render(narrow(4)).contains("web   RUNNING  docker.…\n"));
    }

    #[test]
    fn colours_say_how_it_is_and_take_no_room() {
        let text = table().render(Page {
            colors: true,
            ..PLAIN
        });
        assert!(
            text.contains("\nweb   \x1b[32mRUNNING\x1b[0m  docker"),
            "{text:?}"
        );
        assert!(text.contains("\na     \x1b[31mERROR\x1b[0m    -\n"), "{text:?}");
    }

    #[test]
    fn a_long_value_stays_in_its_column() {
        let text = pairs(&[("name", "web".into()), ("console", "one\ntwo".into())]);
        assert_eq!(text, "name:    web\nconsole: one\n         two\n");
    }

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!(
            [512 << 20, 2 << 30, 1000, 0].map(size),
            ["512M", "2G", "1000", "0"]
        );
        assert_eq!([34_567_890, 1_500_000_000_000].map(size), ["32.9M", "1.3T"]);
        let now: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
        for (at, expected) in [
            ("2026-11-22T08:59:18Z", "42s"),
            ("2026-11-22T08:57:00Z", "3m"),
            ("2026-11-22T06:30:00Z", "2h"),
            ("2026-11-19T09:00:00Z", "3d"),
            ("2024-01-01T00:00:00Z", "2y"),
            ("2026-11-22T09:00:01Z", "0s"),
            ("some day", "some day"),
        ] {
            assert_eq!(age(at, now), expected, "{at}");
        }
    }
}
