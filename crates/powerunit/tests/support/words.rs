//! A command as text, for programs that want a shell's line.

use std::process::Command;

/// The program and its arguments, each in quotes.
pub(crate) fn shell_words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}
