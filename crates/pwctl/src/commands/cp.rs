use clap::Args;

use crate::args::Global;
use crate::connect::connect;
use crate::copy::{Side, down, out, up, upload};
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "\
One of both is NAME:PATH. Into a folder that exists the source is copied under its own name; else it gets the
name that is given. Of a folder written with /. at its end, what is in it is copied. In the VM the files are root's.
- is a tar archive on standard input or output.

Examples:
  pwctl cp site.conf web:/etc/nginx/conf.d
  pwctl cp web:/var/log ./web-logs
  tar c . | pwctl cp - web:/srv")]
pub(crate) struct Cp {
    /// What is copied: PATH, NAME:PATH or -
    source: Side,
    /// Where to: PATH, NAME:PATH or -
    destination: Side,
}

impl Cp {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = connect(global)?;
        match (self.source, self.destination) {
            (Side::Here(source), Side::Vm { vm, path }) => up(&client, &source, &vm, &path).await,
            (Side::Pipe, Side::Vm { vm, path }) => upload(&client, &vm, &path).await,
            (Side::Vm { vm, path }, Side::Here(destination)) => down(&client, &vm, &path, &destination).await,
            (Side::Vm { vm, path }, Side::Pipe) => out(&client, &vm, &path).await,
            (Side::Vm { .. }, Side::Vm { .. }) | (Side::Here(_) | Side::Pipe, Side::Here(_) | Side::Pipe) => {
                Err(Failure::Sides)
            }
        }
    }
}
