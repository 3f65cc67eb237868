//! Where an answer says what another operation needs, and the names alone do not tell (OpenAPI 3.1 section 4.8.20).

use serde_json::json;
use utoipa::openapi::link::{Link, LinkBuilder};

use crate::Endpoint;

/// From an operation's answer to the operation that follows: which parameter is found where.
type Row = (
    &'static str,
    u16,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const FOUND: &[(&str, &str)] = &[
    ("host", "$request.path.host"),
    ("vm", "$response.body#/items/0/id"),
];

const ME: &[(&str, &str)] = &[("user", "$response.body#/user/id")];
const KEY: &[(&str, &str)] = &[
    ("user", "$request.path.user"),
    ("fingerprint", "$response.body#/fingerprint"),
];
const TOKEN: &[(&str, &str)] = &[("user", "$request.path.user"), ("token", "$response.body#/id")];

const LINKS: &[Row] = &[
    ("user_create", 201, "login", &[]),
    ("user_code", 200, "login", &[]),
    ("me", 200, "user_get", ME),
    ("me", 200, "key_list", ME),
    ("me", 200, "key_create", ME),
    ("me", 200, "token_list", ME),
    ("me", 200, "token_create", ME),
    ("key_create", 201, "key_get", KEY),
    ("key_create", 201, "key_delete", KEY),
    ("token_create", 201, "token_get", TOKEN),
    ("token_create", 201, "token_delete", TOKEN),
    ("vm_create", 201, "vm_get", &[("vm", "$response.body#/id")]),
    ("vm_create", 201, "vm_delete", &[("vm", "$response.body#/id")]),
    ("vm_get", 200, "vm_delete", &[("vm", "$response.body#/id")]),
    (
        "host_list",
        200,
        "host_found_list",
        &[("host", "$response.body#/items/0/id")],
    ),
    ("host_found_list", 200, "host_found_adopt", FOUND),
    ("host_found_list", 200, "host_found_delete", FOUND),
];

/// The links of an answer, by their names.
pub(crate) fn from(endpoint: &Endpoint, status: u16) -> Vec<(&'static str, Link)> {
    let rows = LINKS
        .iter()
        .filter(|(operation, of, ..)| (*operation, *of) == (endpoint.operation_id, status));
    let link = |&(_, _, next, parameters): &Row| {
        let link = LinkBuilder::new().operation_id(next);
        let whole = parameters
            .iter()
            .fold(link, |link, (name, place)| link.parameter(*name, *place));
        let whole = match next {
            "login" => whole.request_body(Some(json!({
                "code": "$response.body#/secret",
                "name": "pwctl on laptop",
            }))),
            _ => whole,
        };
        (next, whole.build())
    };
    rows.map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints;

    #[test]
    fn links_lead_from_operations_to_operations() {
        let find = |name: &str| {
            endpoints()
                .find(|endpoint| endpoint.operation_id == name)
                .unwrap()
        };
        for (from, status, next, parameters) in LINKS {
            assert!(
                find(from).answers.iter().any(|answer| answer.status == *status),
                "{from}"
            );
            let needed: Vec<_> = find(next).parameters().collect();
            let given: Vec<_> = parameters.iter().map(|(name, _)| *name).collect();
            assert_eq!(given, needed, "{next}");
        }
    }
}
