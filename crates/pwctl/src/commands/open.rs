use std::process::{Command, Stdio};

use clap::Args;
use serde_json::json;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::terminal;

#[derive(Debug, Args)]
#[command(after_help = "\
The address is printed. On a terminal the browser is started as well: $BROWSER, else xdg-open.

Examples:
  pwctl open web
  pwctl open web --port 8080 --print")]
pub(crate) struct Open {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// Where its web server listens [default: 80, with --https 443]
    #[arg(long, short)]
    port: Option<u16>,
    /// It speaks TLS
    #[arg(long)]
    https: bool,
    /// Start no browser
    #[arg(long)]
    print: bool,
}

impl Open {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let vm = connect(global)?.vm_get(&self.vm).await?;
        let Some(address) = vm.address else {
            return Err(Failure::NoWayIn { name: vm.name });
        };
        let host = match address.is_ipv6() {
            true => format!("[{address}]"),
            false => address.to_string(),
        };
        let scheme = if self.https { "https" } else { "http" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let url = format!("{scheme}://{host}{port}/");
        output.one(&json!({ "url": url }), &url, || format!("{url}\n"))?;
        if !self.print && terminal::is_interactive() && !browse(&url) {
            output.remark("no browser could be started; open the address by hand");
        }
        Ok(())
    }
}

/// Starts a browser; whether one could be started.
fn browse(url: &str) -> bool {
    let named = std::env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let mut browser = Command::new(named.unwrap_or_else(|| "xdg-open".to_owned()));
    browser
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .is_ok()
}
