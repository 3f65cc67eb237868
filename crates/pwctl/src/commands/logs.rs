use std::io::{self, Write};

use api::{ClientError, LogQuery, LogRecord};
use clap::Args;
use futures_util::StreamExt;
use jiff::Timestamp;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::when::{When, when};

/// Entries that are there at once are printed at once.
const TOGETHER: usize = 256;

#[derive(Debug, Args)]
#[command(after_help = "\
What the service printed on its standard error is printed there. With --json each entry is a line of JSON.

Examples:
  pwctl logs web --tail 100
  pwctl logs web -f --since 10m")]
pub(crate) struct Logs {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// Go on with what is printed from now on
    #[arg(short, long)]
    follow: bool,
    /// The newest N lines only [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<u64>,
    /// Only what was printed since then: 10m or 2h ago, or a time such as 2026-11-22T09:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<When>,
}

impl Logs {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let query = LogQuery {
            follow: self.follow,
            tail: self.tail,
            since: self.since.map(|since| since.text(Timestamp::now())),
        };
        let records = connect(global)?.vm_logs(&self.vm, &query).await?;
        let mut records = records.ready_chunks(TOGETHER);
        while let Some(together) = records.next().await {
            match print(&together, output) {
                Ok(()) => {}
                // A reader such as head that has seen enough is no failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(source) => return Err(Failure::Output { source }),
            }
            for record in together {
                is_readable(record?)?;
            }
        }
        Ok(())
    }
}

fn is_readable(record: LogRecord) -> Result<(), Failure> {
    match record.kind.as_str() {
        "failed" => Err(Failure::LogBroken {
            message: record.message.unwrap_or_default(),
        }),
        _ => Ok(()),
    }
}

fn print(records: &[Result<LogRecord, ClientError>], output: &Output) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for record in records.iter().flatten() {
        if let Some(document) = output.document(record)? {
            out.write_all(document.as_bytes())?;
            continue;
        }
        match (record.kind.as_str(), record.bytes()) {
            ("line", Some(mut line)) => {
                line.push(b'\n');
                match record.stream.as_deref() {
                    Some("stderr") => {
                        out.flush()?;
                        io::stderr().lock().write_all(&line)?;
                    }
                    Some(_) | None => out.write_all(&line)?,
                }
            }
            ("gap", _) => {
                out.flush()?;
                output.remark(&gap(record.lost_bytes));
            }
            (_, _) => {}
        }
    }
    out.flush()
}

fn gap(bytes: Option<u64>) -> String {
    match bytes {
        Some(bytes) => format!("{bytes} bytes of the log are lost here"),
        None => "a part of the log is lost here".to_owned(),
    }
}
