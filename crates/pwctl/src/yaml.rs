//! A JSON value as YAML 1.2, in block style.
//!
//! A text is written plain only where no reader can take it for anything else; every other text is written as JSON
//! writes it, which YAML 1.2 reads the same.

use serde_json::Value;

/// The document, with a line's end.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut text, value, 0),
        Value::Array(list) if !list.is_empty() => block(&mut text, value, 0),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            text = scalar(value) + "\n";
        }
    }
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    let margin = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                text.push_str(&format!("{margin}{}:", plain_or_quoted(key)));
                inner(text, value, depth);
            }
        }
        Value::Array(list) => {
            for value in list {
                let mut item = String::new();
                if is_block(value) {
                    block(&mut item, value, depth + 1);
                    // The first line of what is in it stands beside the dash.
                    text.push_str(&format!("{margin}- {}", item.trim_start_matches(' ')));
                } else {
                    text.push_str(&format!("{margin}- {}\n", scalar(value)));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn inner(text: &mut String, value: &Value, depth: usize) {
    if is_block(value) {
        text.push('\n');
        block(text, value, depth + 1);
    } else {
        text.push_str(&format!(" {}\n", scalar(value)));
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A value that takes one line.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => plain_or_quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

fn plain_or_quoted(text: &str) -> String {
    // Words that YAML 1.1 or 1.2 takes for something else than text.
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-@+ ".contains(c))
        && !text.ends_with(' ')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    match is_plain {
        true => text.to_owned(),
        false => Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_reads_well_and_nothing_is_mistaken() {
        let value = json!({
            "items": [{ "name": "web", "keys": ["a b", "no", "1"], "none": [] }, { "reason": null }, [1, { "a": {} }]],
            "next": "x: y", "key": "line\nline", "empty": "", "time": "2026-11-22T09:00:00Z", "tilde": "~"
        });
        assert_eq!(
            document(&value),
            "empty: \"\"\nitems:\n  - keys:\n      - a b\n      - \"no\"\n      - \"1\"\n    name: web\n    none: []\n  - reason: null\n  - - 1\n    - a: {}\n\
             key: \"line\\nline\"\nnext: \"x: y\"\ntilde: \"~\"\ntime: \"2026-11-22T09:00:00Z\"\n"
        );
        assert_eq!(document(&json!({})), "{}\n");
        assert_eq!(document(&json!("web")), "web\n");
    }
}
