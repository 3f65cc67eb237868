//! Commands that an image may lack, and people and the kernel need: one face of this program each, chosen by the name
//! that it was started under.
//!
//! powerunit lays links with these names where an image has none (`init::beneath`). They lead to `/proc/1/exe`, which
//! only root may follow.

mod modprobe;
mod power;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Every name that leads here.
pub(crate) const NAMES: [&str; 5] = ["poweroff", "reboot", "halt", "shutdown", "modprobe"];

/// Runs the command that these words start, if they start one of ours.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut words = words.into_iter();
    let name = words.next()?;
    let name = Path::new(&name).file_name().and_then(OsStr::to_str)?;
    let name = NAMES.into_iter().find(|known| *known == name)?;
    let arguments: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    Some(match name {
        "modprobe" => modprobe::main(&arguments),
        name => power::main(name, &arguments),
    })
}

/// Says what went wrong as every command does: `name: sentence`.
#[expect(
    clippy::print_stderr,
    reason = "a person typed the command, or its log is read"
)]
fn complain(name: &str, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{name}: {}", crate::chain::chain(error));
    ExitCode::FAILURE
}
