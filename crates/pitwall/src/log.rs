//! Where the program's own words go: log lines and complaints to standard error, data to standard output.

use std::error::Error;
use std::io::Write;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};
use crate::roles::RoleError;

/// Starts logging to standard error.
pub(crate) fn start(settings: &Settings) -> Result<(), RoleError> {
    let filter = EnvFilter::try_new(&settings.log_filter).map_err(RoleError::LogFilter)?;
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Json => logger.json().init(),
        LogFormat::Pretty => logger
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
    }
    Ok(())
}

/// Prints why the program ends, with the whole chain of causes.
pub(crate) fn complain(error: &dyn Error) {
    let mut text = format!("pitwall: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because: {error}"));
        cause = error.source();
    }
    // With nobody to read standard error there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a line of data to standard output.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
