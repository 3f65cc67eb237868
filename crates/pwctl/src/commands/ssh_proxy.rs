use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::ssh::Target;
use crate::{ssh_config, terminal};

/// Right after a start the neighbour table may still hold the VM for absent; another attempt asks anew.
const ATTEMPTS: u32 = 3;
/// How long one attempt may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// What is read from the VM at once.
const CHUNK: usize = 64 * 1024;

#[derive(Debug, Args)]
#[command(after_help = "\
It is for ssh's ProxyCommand, as config-ssh writes it. It looks the VM's address up and connects from this machine.

Example:
  ssh -o ProxyCommand='pwctl ssh-proxy web' fred@web")]
pub(crate) struct SshProxy {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
}

impl SshProxy {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = connect(global)?;
        let vm = client.vm_get(&self.vm).await?;
        let target = Target::of(&vm)?;
        // ssh looks at its known hosts once the VM has spoken, so they are right by then.
        ssh_config::renew_for(&client, &vm).await?;
        let stream = reach(&vm.name, target.socket()).await?;
        carry(stream).await
    }
}

async fn reach(name: &str, address: SocketAddr) -> Result<TcpStream, Failure> {
    let mut attempt = 1;
    loop {
        let connected = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                // Each key that is typed goes at once; where that cannot be had, it goes a little later.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            Err(source) => {
                return Err(Failure::NoAnswer {
                    name: name.to_owned(),
                    address,
                    source,
                });
            }
        }
    }
}

/// Carries bytes both ways. The end of standard input ends that direction only; the VM's end ends both.
async fn carry(stream: TcpStream) -> Result<(), Failure> {
    let (mut from_vm, mut to_vm) = stream.into_split();
    let up = tokio::spawn(async move {
        let mut typed = terminal::typed();
        while let Some(piece) = typed.recv().await {
            to_vm.write_all(&piece).await?;
        }
        to_vm.shutdown().await
    });
    let mut out = tokio::io::stdout();
    let mut buffer = vec![0; CHUNK];
    loop {
        // A connection that breaks has ended; ssh says what that means for its session.
        let count = from_vm.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            up.abort();
            return Ok(());
        }
        let piece = buffer.get(..count).unwrap_or_default();
        let written = async {
            out.write_all(piece).await?;
            out.flush().await
        };
        match written.await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(source) => return Err(Failure::Output { source }),
        }
    }
}
