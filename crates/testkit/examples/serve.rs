//! A cloud for programs that are no part of this workspace: `cargo run -p testkit --example serve`. On stdout it says
//! where it is (`url URL`) and where tokens are given out (`tokens ADDRESS`), then an empty line; it ends when its stdin
//! does.
//!
//! It has one host, with room for more VMs than any program asks for, and on that VMs that nobody here asked for, which
//! can be adopted or removed. There are neither quotas nor rates.
//!
//! Whoever connects to the address of the tokens and says `admin` or `member`, on a line, gets the token of such a user.
//! A program that tries everything revokes its own token, disables itself and takes its own role away: then it asks for
//! another, and the user is made as it was.

use std::io::{Read, Write};

use control::{Caller, Control, Origin, UserSelector};
use model::{Capacity, PrincipalName, Role};
use testkit::{Cloud, Fault, Size};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// More than a program can use up in an hour, and less than an overflow in a sum.
const ROOM: Capacity = Capacity {
    cpus: 1 << 24,
    memory_bytes: 1 << 50,
    disk_bytes: 1 << 54,
};
/// VMs that are found on the host.
const FOUND: usize = 40;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let size = Size {
        capacity: ROOM,
        ..Size::default()
    };
    let mut cloud = Cloud::start_sized(size, 1).await?;
    cloud.find(FOUND).await?;
    let tokens = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut out = std::io::stdout().lock();
    let url = cloud.client()?.url();
    writeln!(out, "url {url}\ntokens {}\n", tokens.local_addr()?)?;
    out.flush()?;
    let (control, admin) = cloud.control()?;
    let given = tokio::spawn(give(tokens, control.clone(), admin.clone()));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    given.abort();
    cloud.end().await;
    Ok(())
}

/// Gives out tokens, one connection after the other.
async fn give(tokens: TcpListener, control: Control, admin: Caller) {
    while let Ok((stream, _)) = tokens.accept().await {
        if let Err(error) = answer(stream, &control, &admin).await {
            complain(&error);
        }
    }
}

async fn answer(stream: TcpStream, control: &Control, admin: &Caller) -> Result<(), Fault> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let role: Role = line.trim().parse()?;
    let token = sign_in(control, admin, role).await?;
    stream.write_all(token.as_bytes()).await?;
    Ok(())
}

/// A token of the user that has this role, which is made as it was where it is another by now.
async fn sign_in(control: &Control, admin: &Caller, role: Role) -> Result<String, Fault> {
    let name: PrincipalName = format!("some-{role}").parse()?;
    let user = UserSelector::Name(name.clone());
    if control.user_get(admin, &user).await.is_err() {
        control.user_create(admin, name, role).await?;
    }
    control.user_change(admin, &user, Some(role)).await?;
    control.user_enable(admin, &user).await?;
    let (_, code) = control.user_code(admin, &user).await?;
    let (_, token) = control
        .login(code.reveal(), "judge".to_owned(), Origin::default())
        .await?;
    Ok(token.reveal().to_owned())
}

#[expect(clippy::print_stderr, reason = "an example talks to its terminal")]
fn complain(error: &Fault) {
    eprintln!("no token: {error}");
}
