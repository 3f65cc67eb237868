//! Splits a command into words where the image has no shell to do it.
//!
//! Only what a shell does before anything else: blanks separate, `'…'` and `"…"` keep together, `\` takes the next
//! character as it is. No variables, no patterns, no operators.

/// Pure: the words; `None` when a quote is left open.
pub(super) fn split(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(characters.next()?),
            '\'' | '"' => quoted(&mut characters, character, word.get_or_insert_default())?,
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Some(words)
}

fn quoted(characters: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Option<()> {
    loop {
        match characters.next()? {
            end if end == quote => return Some(()),
            '\\' if quote == '"' => match characters.next()? {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            character => word.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, words: &[&str]) {
        assert_eq!(
            split(command).as_deref(),
            Some(
                words
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .as_slice()
            )
        );
    }

    #[test]
    fn words_as_a_shell_would_cut_them() {
        check("/program", &["/program"]);
        check("  /a  -b\t'c d' ", &["/a", "-b", "c d"]);
        check(r#"/a "x \"y\" \n" z\ w"#, &["/a", r#"x "y" \n"#, "z w"]);
        check("/a '' ''b", &["/a", "", "b"]);
        check("", &[]);
    }

    #[test]
    fn an_open_quote_is_no_command() {
        for open in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(split(open), None, "{open}");
        }
    }
}
