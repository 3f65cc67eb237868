//! Operations: their names, parameters, bodies and answers.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::breakage::{Breakage, Kind};
use super::form::resolved;
use super::schema::{Flow, Judge};

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// Where in the document a response lists the problem codes that it may carry.
const PROBLEM_CODES: &str = "x-problem-codes";

/// All that a client of the old document would notice of the new one.
pub(super) fn breakages(old: &Value, new: &Value) -> Vec<Breakage> {
    let mut pair = Pair {
        old,
        new,
        breakages: Vec::new(),
    };
    for (path, item) in entries(old.get("paths")) {
        for (method, operation) in entries(Some(item)) {
            if METHODS.contains(&method.as_str()) {
                let place = format!("{} {path}", method.to_uppercase());
                let new_item = new.get("paths").and_then(|paths| paths.get(path));
                match new_item.and_then(|item| item.get(method)) {
                    Some(new_operation) => {
                        let new_item = new_item.unwrap_or(&Value::Null);
                        pair.operation(&place, (item, operation), (new_item, new_operation));
                    }
                    None => pair.say(&place, Kind::OperationRemoved),
                }
            }
        }
    }
    pair.breakages
}

fn entries(object: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.and_then(Value::as_object).into_iter().flatten()
}

struct Pair<'a> {
    old: &'a Value,
    new: &'a Value,
    breakages: Vec<Breakage>,
}

impl Pair<'_> {
    fn say(&mut self, place: &str, kind: Kind) {
        self.breakages.push(Breakage {
            place: place.to_owned(),
            kind,
        });
    }

    /// Each operation with the path item around it.
    fn operation(
        &mut self,
        place: &str,
        (old_item, old): (&Value, &Value),
        (new_item, new): (&Value, &Value),
    ) {
        let name = |operation: &Value| operation["operationId"].as_str().unwrap_or_default().to_owned();
        if name(old) != name(new) {
            let (old, new) = (name(old), name(new));
            self.say(place, Kind::OperationId { old, new });
        }
        if !security_holds(self.security(self.old, old), self.security(self.new, new)) {
            self.say(place, Kind::Security);
        }
        let old_parameters = self.parameters_of(self.old, place, old_item, old);
        let new_parameters = self.parameters_of(self.new, place, new_item, new);
        self.parameters(place, &old_parameters, &new_parameters);
        self.body(
            &format!("{place} request"),
            old.get("requestBody"),
            new.get("requestBody"),
        );
        self.answers(place, old, new);
    }

    /// What an operation asks of its caller; its own word counts before the document's (OpenAPI 3.1 section 4.8.10).
    fn security<'v>(&self, document: &'v Value, operation: &'v Value) -> Option<&'v Value> {
        operation.get("security").or_else(|| document.get("security"))
    }

    fn parameters(&mut self, place: &str, old: &[Value], new: &[Value]) {
        for parameter in old {
            let place = format!("{place} {}", parameter_name(parameter));
            match new
                .iter()
                .find(|new| parameter_name(new) == parameter_name(parameter))
            {
                Some(new) => self.parameter(&place, parameter, new),
                None => self.say(&place, Kind::ParameterRemoved),
            }
        }
        for parameter in new {
            let is_new = old
                .iter()
                .all(|old| parameter_name(old) != parameter_name(parameter));
            if is_new && is_required(parameter) {
                let place = format!("{place} {}", parameter_name(parameter));
                self.say(&place, Kind::ParameterRequired);
            }
        }
    }

    /// An operation's own parameters, and those of its path item that it does not list itself (OpenAPI 3.1 section
    /// 4.8.9).
    fn parameters_of(
        &mut self,
        document: &Value,
        place: &str,
        item: &Value,
        operation: &Value,
    ) -> Vec<Value> {
        let listed = |thing: &Value| thing.get("parameters").and_then(Value::as_array).cloned();
        let all = [listed(operation), listed(item)].into_iter().flatten().flatten();
        let mut parameters: Vec<Value> = Vec::new();
        for parameter in all {
            match resolved(document, &parameter) {
                Ok(parameter) => {
                    let parameter = Value::Object(parameter);
                    let name = parameter_name(&parameter);
                    if parameters.iter().all(|known| parameter_name(known) != name) {
                        parameters.push(parameter);
                    }
                }
                Err(kind) => self.say(place, kind),
            }
        }
        parameters
    }

    fn parameter(&mut self, place: &str, old: &Value, new: &Value) {
        if is_required(new) && !is_required(old) {
            self.say(place, Kind::ParameterRequired);
        }
        if old.get("style") != new.get("style") || old.get("explode") != new.get("explode") {
            self.say(place, Kind::ParameterStyle);
        }
        self.schema(place, Flow::Request, old.get("schema"), new.get("schema"));
    }

    fn body(&mut self, place: &str, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(new)) if is_required(new) => self.say(place, Kind::BodyRequired),
            (Some(_), None) => self.say(place, Kind::BodyRemoved),
            (Some(old), Some(new)) => {
                if is_required(new) && !is_required(old) {
                    self.say(place, Kind::BodyRequired);
                }
                self.media_types(place, Flow::Request, old, new);
            }
            (None, _) => {}
        }
    }

    fn answers(&mut self, place: &str, old: &Value, new: &Value) {
        for (status, old) in entries(old.get("responses")) {
            let place = format!("{place} {status}");
            let Some(new) = new["responses"].get(status) else {
                self.say(&place, Kind::StatusRemoved);
                continue;
            };
            for code in problem_codes(old).difference(&problem_codes(new)) {
                self.say(&place, Kind::ProblemCodeRemoved(code.clone()));
            }
            for (name, old) in entries(old.get("headers")) {
                self.header(&format!("{place} {name}"), old, new["headers"].get(name));
            }
            self.media_types(&place, Flow::Answer, old, new);
        }
    }

    fn header(&mut self, place: &str, old: &Value, new: Option<&Value>) {
        let Some(new) = new else {
            return self.say(place, Kind::HeaderRemoved);
        };
        match (resolved(self.old, old), resolved(self.new, new)) {
            (Ok(old), Ok(new)) => {
                let (old, new) = (Value::Object(old), Value::Object(new));
                if is_required(&old) && !is_required(&new) {
                    self.say(place, Kind::HeaderOptional);
                }
                self.schema(place, Flow::Answer, old.get("schema"), new.get("schema"));
            }
            (Err(kind), _) | (_, Err(kind)) => self.say(place, kind),
        }
    }

    fn media_types(&mut self, place: &str, flow: Flow, old: &Value, new: &Value) {
        for (media_type, old) in entries(old.get("content")) {
            let place = format!("{place} {media_type}");
            match new["content"].get(media_type) {
                Some(new) => self.schema(&place, flow, old.get("schema"), new.get("schema")),
                None => self.say(&place, Kind::MediaTypeRemoved),
            }
        }
    }

    fn schema(&mut self, place: &str, flow: Flow, old: Option<&Value>, new: Option<&Value>) {
        let anything = Value::Object(Map::new());
        let judge = Judge::new(self.old, self.new, flow);
        let found = judge.breakages(place, old.unwrap_or(&anything), new.unwrap_or(&anything));
        self.breakages.extend(found);
    }
}

fn parameter_name(parameter: &Value) -> String {
    let part = |key: &str| parameter[key].as_str().unwrap_or_default();
    format!("{} parameter `{}`", part("in"), part("name"))
}

fn is_required(thing: &Value) -> bool {
    thing["required"] == Value::Bool(true)
}

fn problem_codes(response: &Value) -> BTreeSet<String> {
    let codes = response.get(PROBLEM_CODES).and_then(Value::as_array);
    let codes = codes.into_iter().flatten().filter_map(Value::as_str);
    codes.map(str::to_owned).collect()
}

/// Whether whoever could sign in before still can: one of the new ways asks for no more than each old one.
fn security_holds(old: Option<&Value>, new: Option<&Value>) -> bool {
    let ways = |security: Option<&Value>| -> Vec<Map<String, Value>> {
        let listed = security.and_then(Value::as_array);
        let listed = listed.into_iter().flatten().filter_map(Value::as_object);
        let ways: Vec<_> = listed.cloned().collect();
        // No list and an empty one both ask for nothing.
        if ways.is_empty() { vec![Map::new()] } else { ways }
    };
    let new = ways(new);
    let asks_no_more = |old: &Map<String, Value>, new: &Map<String, Value>| {
        new.iter().all(|(scheme, scopes)| {
            let had = old.get(scheme).and_then(Value::as_array);
            let scopes = scopes.as_array();
            had.is_some_and(|had| scopes.into_iter().flatten().all(|scope| had.contains(scope)))
        })
    };
    ways(old)
        .iter()
        .all(|old| new.iter().any(|new| asks_no_more(old, new)))
}
