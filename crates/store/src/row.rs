//! Between columns and typed values: one place that says what a column may hold.

use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use model::HostId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::sql::Row;

/// A text that is none of the words it may be; `FromStr` errors need not be `'static` errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotOne(String);

pub(crate) fn text(row: &Row, column: &'static str) -> Result<String, StoreError> {
    row.text(column).map(str::to_owned).map_err(damaged(column))
}

pub(crate) fn text_or_none(row: &Row, column: &'static str) -> Result<Option<String>, StoreError> {
    let text = row.text_or_none(column).map_err(damaged(column))?;
    Ok(text.map(str::to_owned))
}

pub(crate) fn number(row: &Row, column: &'static str) -> Result<u64, StoreError> {
    let value = row.number(column).map_err(damaged(column))?;
    u64::try_from(value).map_err(damaged(column))
}

pub(crate) fn number_or_none(row: &Row, column: &'static str) -> Result<Option<u64>, StoreError> {
    let value = row.number_or_none(column).map_err(damaged(column))?;
    value.map(u64::try_from).transpose().map_err(damaged(column))
}

pub(crate) fn small(row: &Row, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(number(row, column)?).map_err(damaged(column))
}

pub(crate) fn flag(row: &Row, column: &'static str) -> Result<bool, StoreError> {
    Ok(number(row, column)? != 0)
}

pub(crate) fn time(row: &Row, column: &'static str) -> Result<Timestamp, StoreError> {
    let millisecond = row.number(column).map_err(damaged(column))?;
    Timestamp::from_millisecond(millisecond).map_err(damaged(column))
}

pub(crate) fn time_or_none(row: &Row, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let millisecond = row.number_or_none(column).map_err(damaged(column))?;
    let time = millisecond.map(Timestamp::from_millisecond).transpose();
    time.map_err(damaged(column))
}

/// A host and its count.
pub(crate) fn count_of_host(row: &Row) -> Result<(HostId, u64), StoreError> {
    Ok((parsed(row, "host")?, number(row, "count")?))
}

/// The greatest number of the rows that are due by their number and time. One whose clock ran ahead goes with those behind
/// it, so that it holds nothing up.
pub(crate) fn last_due(
    rows: &[Row],
    is_due: impl Fn(u64, Timestamp) -> bool,
) -> Result<Option<u64>, StoreError> {
    let mut last = None;
    for row in rows {
        let sequence = number(row, "sequence")?;
        if is_due(sequence, time(row, "at")?) {
            last = Some(sequence);
        }
    }
    Ok(last)
}

pub(crate) fn parsed<T>(row: &Row, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr<Err: Display>,
{
    parse(row.text(column).map_err(damaged(column))?, column)
}

pub(crate) fn parsed_or_none<T>(row: &Row, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: FromStr<Err: Display>,
{
    let text = row.text_or_none(column).map_err(damaged(column))?;
    text.map(|text| parse(text, column)).transpose()
}

pub(crate) fn document<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(row.text(column).map_err(damaged(column))?).map_err(damaged(column))
}

pub(crate) fn document_or_none<T: DeserializeOwned>(
    row: &Row,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    let text = row.text_or_none(column).map_err(damaged(column))?;
    text.map(|text| serde_json::from_str(text).map_err(damaged(column)))
        .transpose()
}

/// The column's value of a number. Both databases keep signed 64 bits.
pub(crate) fn keep(column: &'static str, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|source| StoreError::Unkeepable {
        column,
        source: source.into(),
    })
}

/// The column's text of a document.
pub(crate) fn keep_document(column: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Unkeepable {
        column,
        source: source.into(),
    })
}

fn parse<T: FromStr<Err: Display>>(text: &str, column: &'static str) -> Result<T, StoreError> {
    text.parse()
        .map_err(|error: T::Err| damaged(column)(NotOne(error.to_string())))
}

pub(crate) fn damaged<E: Error + Send + Sync + 'static>(column: &'static str) -> impl Fn(E) -> StoreError {
    move |source| StoreError::Damaged {
        column,
        source: Box::new(source),
    }
}
