//! The query of a list of VMs, turned into values, each refused at its own place.

use std::collections::BTreeSet;

use api::vms::MAX_LABEL_FILTERS;
use control::{ListVms, PageRequest, VmSort};
use model::{Problem, ProblemCode, Status};

use crate::vms::at;

pub(crate) fn wanted(query: api::VmQuery) -> Result<ListVms, Problem> {
    if query.label.len() > MAX_LABEL_FILTERS {
        let detail = format!("a list is filtered by {MAX_LABEL_FILTERS} labels at most");
        return Err(invalid("/label", detail));
    }
    Ok(ListVms {
        page: PageRequest {
            limit: query.limit,
            cursor: query.cursor,
        },
        sort: query.sort.as_deref().map_or(Ok(VmSort::default()), sort)?,
        labels: query
            .label
            .iter()
            .map(|label| pair(label))
            .collect::<Result<BTreeSet<_>, _>>()?,
        status: query.status.as_deref().map(status).transpose()?,
        owner: query
            .owner
            .map(|owner| named("/owner", owner.parse()))
            .transpose()?,
        image: query.image.map(|image| at("/image", image.parse())).transpose()?,
        host: query.host.map(|host| named("/host", host.parse())).transpose()?,
        name_prefix: query.name.map(name_prefix).transpose()?,
    })
}

fn sort(word: &str) -> Result<VmSort, Problem> {
    let sort = VmSort {
        by_name: word.ends_with("name"),
        descending: word.starts_with('-'),
    };
    match api::vms::VM_SORTS.contains(&word) {
        true => Ok(sort),
        false => Err(invalid(
            "/sort",
            format!("{word:?} is no order: write {}", api::vms::VM_SORTS.join(", ")),
        )),
    }
}

fn pair(label: &str) -> Result<(String, String), Problem> {
    let pair = label.split_once('=');
    let (name, value) = pair.ok_or_else(|| invalid("/label", format!("{label:?} is not NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn status(word: &str) -> Result<Status, Problem> {
    word.parse().map_err(|()| {
        let known = Status::ALL.map(Status::as_str).join(", ");
        invalid("/status", format!("{word:?} is no status: write {known}"))
    })
}

/// What is neither an id nor a name is a value of the wrong form here, not a thing that is absent.
fn named<T>(pointer: &str, selector: Result<T, Problem>) -> Result<T, Problem> {
    selector.map_err(|problem| invalid(pointer, problem.detail))
}

fn name_prefix(text: String) -> Result<String, Problem> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match text.bytes().all(fits) {
        true => Ok(text),
        false => Err(invalid("/name", format!("no name begins with {text:?}"))
            .hint("names are made of a-z, 0-9 and -")),
    }
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::InvalidValue, detail).at(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<ListVms, Problem> {
        wanted(serde_html_form::from_str(text).unwrap())
    }

    #[test]
    fn every_label_counts_and_a_value_may_hold_anything() {
        let list = query("label=tier%3Dweb&label=note%3Da%3Db&sort=-name&name=we&status=RUNNING").unwrap();
        assert_eq!(
            list.labels,
            [("tier", "web"), ("note", "a=b")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        );
        assert!(list.sort.by_name && list.sort.descending);
        assert_eq!(list.status, Some(Status::Running));
    }

    #[test]
    fn no_more_labels_count_than_a_vm_has() {
        let labels = |count: usize| (0..count).map(|n| format!("label=l{n}=v&")).collect::<String>();
        assert_eq!(query(&labels(64)).unwrap().labels.len(), 64);
        let refused = query(&labels(65)).unwrap_err();
        assert_eq!(
            (refused.code, refused.pointer.as_deref()),
            (ProblemCode::InvalidValue, Some("/label"))
        );
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_at_its_place() {
        for (text, pointer) in [
            ("sort=status", "/sort"),
            ("label=web", "/label"),
            ("status=running", "/status"),
            ("owner=A%20B", "/owner"),
            ("image=A%20B", "/image"),
            ("host=A%20B", "/host"),
            ("name=Web", "/name"),
        ] {
            let problem = query(text).unwrap_err();
            assert_eq!(problem.code, ProblemCode::InvalidValue, "{text}");
            assert_eq!(problem.pointer.as_deref(), Some(pointer), "{text}");
        }
    }
}
