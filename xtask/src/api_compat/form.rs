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

/// The alternatives of a schema; any value that it allows is allowed by one of them.
pub(super) fn alternatives(document: &Value, schema: &Value) -> Result<Vec<Form>, Kind> {
    let mut form = merged(document, resolved(document, schema)?)?;
    for keyword in ["oneOf", "anyOf"] {
        let Some(Value::Array(choices)) = form.remove(keyword) else {
            continue;
        };
        let mut all = Vec::new();
        for choice in &choices {
            for alternative in alternatives(document, choice)? {
                let mut whole = form.clone();
                whole.extend(alternative);
                all.extend(alternatives(document, &Value::Object(whole))?);
            }
        }
        return Ok(all);
    }
    Ok(by_type(form))
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

/// `allOf` merged into the schema around it. Where two members speak of the same keyword it is kept as it is, and so
/// judged as a keyword that is not understood.
fn merged(document: &Value, mut form: Form) -> Result<Form, Kind> {
    let Some(Value::Array(members)) = form.get("allOf") else {
        return Ok(form);
    };
    let members = members
        .iter()
        .map(|member| merged(document, resolved(document, member)?))
        .collect::<Result<Vec<_>, _>>()?;
    let mut whole = form.clone();
    whole.remove("allOf");
    for member in members {
        for (keyword, value) in member {
            match (whole.get_mut(&keyword), value) {
                (None, value) => drop(whole.insert(keyword, value)),
                (Some(Value::Object(known)), Value::Object(more)) if keyword == "properties" => {
                    known.extend(more);
                }
                (Some(Value::Array(known)), Value::Array(more)) if keyword == "required" => {
                    known.extend(more);
                }
                (Some(_), _) if super::schema::is_annotation(&keyword) => {}
                (Some(known), value) if *known == value => {}
                (Some(_), _) => return Ok(form),
            }
        }
    }
    form = whole;
    Ok(form)
}
