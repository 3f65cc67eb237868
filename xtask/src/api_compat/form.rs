//! A schema brought into a form that can be compared: references followed, `allOf` merged, and each choice (`oneOf`,
//! `anyOf`, a list of types) written out as alternatives of one type each.

use serde_json::{Map, Value};

use super::breakage::Kind;

/// The keywords of one alternative.
pub(super) type Form = Map<String, Value>;

/// What a reference stands for. A keyword beside it (OpenAPI 3.1 section 4.3) overrides the target's.
pub(super) fn resolved(document: &Value, schema: &Value) -> Result<Form, Kind> {
    let mut form = match schema {
        Value::Object(form) => form.clone(),
        // `false` allows nothing; JSON Schema 2020-12 section 4.3.2 says it thus.
        Value::Bool(false) => Form::from_iter([("not".to_owned(), Value::Object(Form::new()))]),
        Value::Bool(true) | Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Form::new()
        }
    };
    let Some(reference) = form.remove("$ref") else {
        return Ok(form);
    };
    let pointer = reference.as_str().unwrap_or_default();
    let target = pointer
        .strip_prefix('#')
        .and_then(|pointer| document.pointer(pointer));
    let target = target.ok_or_else(|| Kind::Dangling(pointer.to_owned()))?;
    let mut whole = resolved(document, target)?;
    whole.extend(form);
    Ok(whole)
}

/// The alternatives of a schema; any value that it allows is allowed by one of them. A choice that contradicts what stands
/// beside it is left as it is, and so judged as a keyword that is not understood.
pub(super) fn alternatives(document: &Value, schema: &Value) -> Result<Vec<Form>, Kind> {
    let whole = merged(document, resolved(document, schema)?)?;
    for keyword in ["oneOf", "anyOf"] {
        let mut form = whole.clone();
        let Some(Value::Array(choices)) = form.remove(keyword) else {
            continue;
        };
        let mut all = Vec::new();
        for choice in &choices {
            for alternative in alternatives(document, choice)? {
                let Some(both) = joined(alternative, form.clone()) else {
                    return Ok(by_type(whole));
                };
                all.extend(alternatives(document, &Value::Object(both))?);
            }
        }
        return Ok(all);
    }
    Ok(by_type(whole))
}

fn by_type(form: Form) -> Vec<Form> {
    let of_type = |kind: &Value| {
        let mut alternative = form.clone();
        alternative.retain(|keyword, _| speaks_of(keyword, kind));
        alternative.insert("type".to_owned(), kind.clone());
        alternative
    };
    match form.get("type") {
        None => vec![form],
        Some(Value::Array(types)) => types.iter().map(of_type).collect(),
        Some(kind) => vec![of_type(kind)],
    }
}

/// Whether a keyword says anything of values of a type (JSON Schema 2020-12 validation, section 6).
fn speaks_of(keyword: &str, kind: &Value) -> bool {
    let kinds: &[&str] = match keyword {
        "minLength" | "maxLength" | "pattern" => &["string"],
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            &["integer", "number"]
        }
        "format" => &["string", "integer", "number"],
        "items" | "minItems" | "maxItems" | "uniqueItems" => &["array"],
        "properties"
        | "required"
        | "additionalProperties"
        | "propertyNames"
        | "minProperties"
        | "maxProperties" => &["object"],
        _ => return true,
    };
    kinds.iter().any(|known| kind == known)
}

/// `allOf` merged into the schema around it. Where two members contradict each other it is kept as it is, and so judged
/// as a keyword that is not understood.
fn merged(document: &Value, form: Form) -> Result<Form, Kind> {
    let Some(Value::Array(members)) = form.get("allOf") else {
        return Ok(form);
    };
    let members = members
        .iter()
        .map(|member| merged(document, resolved(document, member)?))
        .collect::<Result<Vec<_>, _>>()?;
    let mut around = form.clone();
    around.remove("allOf");
    let whole = members.into_iter().try_fold(around, joined);
    Ok(whole.unwrap_or(form))
}

/// What both say together; `None` where they say different things of one keyword or one property. Of two annotations the
/// first counts.
fn joined(mut one: Form, other: Form) -> Option<Form> {
    for (keyword, value) in other {
        match (one.get_mut(&keyword), value) {
            (None, value) => drop(one.insert(keyword, value)),
            (Some(known), value) if *known == value => {}
            (Some(Value::Object(known)), Value::Object(more)) if keyword == "properties" => {
                let differs = |(name, schema)| known.get(name).is_some_and(|known| known != schema);
                if more.iter().any(differs) {
                    return None;
                }
                known.extend(more);
            }
            (Some(Value::Array(known)), Value::Array(more)) if keyword == "required" => known.extend(more),
            (Some(_), _) if super::schema::is_annotation(&keyword) => {}
            (Some(_), _) => return None,
        }
    }
    Some(one)
}
