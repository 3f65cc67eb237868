//! Answers that are not those of the rule, each with its reason: `exceptions.txt`, which may only shrink.

use crate::world::{Answer, Persona};

const LIST: &str = include_str!("exceptions.txt");

/// An HTTP status, and the problem code where it is a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    status: u16,
    code: Option<String>,
}

impl Wanted {
    pub(crate) fn is(&self, answer: &Answer) -> bool {
        (self.status, self.code.as_deref()) == (answer.status, answer.body["code"].as_str())
    }
}

impl From<(u16, &str)> for Wanted {
    fn from((status, code): (u16, &str)) -> Self {
        Self {
            status,
            code: Some(code.to_owned()),
        }
    }
}

pub(crate) struct Exceptions(Vec<(String, String, Wanted)>);

impl Exceptions {
    pub(crate) fn read() -> Self {
        let lines = LIST
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(read).collect())
    }

    /// What is wanted of a call in the place of the rule's answer.
    pub(crate) fn take(&mut self, operation: &str, persona: Persona) -> Option<Wanted> {
        let persona = format!("{persona:?}");
        let is_it = |(named, who, _): &(String, String, Wanted)| named == operation && *who == persona;
        let found = self.0.iter().position(is_it)?;
        Some(self.0.remove(found).2)
    }

    /// Lines that no call asked for.
    pub(crate) fn left(self) -> impl Iterator<Item = String> {
        let left = |(operation, persona, _)| {
            format!("exceptions.txt: {operation} {persona} is no call; take it out")
        };
        self.0.into_iter().map(left)
    }
}

fn read(line: &str) -> (String, String, Wanted) {
    let words: Vec<_> = line.split_whitespace().collect();
    let [operation, persona, status, code, _reason, ..] = words.as_slice() else {
        panic!("an exception is OPERATION PERSONA STATUS CODE REASON: {line}");
    };
    let wanted = Wanted {
        status: status.parse().unwrap(),
        code: (*code != "-").then(|| (*code).to_owned()),
    };
    ((*operation).to_owned(), (*persona).to_owned(), wanted)
}
