use clap::Args;
use serde_json::json;

use crate::args::Global;
use crate::connect::connect_openly;
use crate::failure::Failure;
use crate::output::Output;

const OWN: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pwctl version")]
pub(crate) struct Version {}

impl Version {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let server = match connect_openly(global) {
            Ok(client) => client.version().await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        let known = server.as_ref().ok();
        output.one(&json!({ "pwctl": OWN, "server": known }), OWN, || match known {
            None => format!("pwctl  {OWN}\n"),
            Some(server) => format!(
                "pwctl  {OWN}\nserver {} (API {}, pwctl {} and later)\n",
                server.version, server.api, server.oldest_pwctl
            ),
        })?;
        server.map(drop)
    }
}
