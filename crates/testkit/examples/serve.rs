//! A cloud for programs that are no part of this workspace: `cargo run -p testkit --example serve`. On stdout it says
//! where it is (`url URL`) and where tokens are given out (`tokens ADDRESS`), then an empty line; it ends when its stdin
//! does.
//!
//! It has one host, with room for more VMs than any program asks for, and on that VMs that nobody here asked for, which
//! can be adopted or removed. There are neither quotas nor rates. Who and what the examples of the OpenAPI document name is
//! there, and made anew when it is removed: a user `ann`, and a team `ops`.
//!
//! Whoever connects to the address of the tokens and says `admin` or `member`, on a line, gets the token of such a user.
//! A program that tries everything revokes its own token, disables itself and takes its own role away: then it asks for
//! another, and the user is made as it was.

use std::io::{Read, Write};
use std::time::Duration;

use control::{Caller, Control, Origin, PrincipalSelector, UserSelector};
use model::{Capacity, Role, TeamRole};
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
const TEAM: &str = "ops";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me";

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
    let looked_after = tokio::spawn(look_after(control.clone(), admin.clone()));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    given.abort();
    looked_after.abort();
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

/// A token of the user that has this role, who is made as before where that is another by now.
async fn sign_in(control: &Control, admin: &Caller, role: Role) -> Result<String, Fault> {
    let name = format!("some-{role}");
    let user = user_ensure(control, admin, &name, role).await?;
    team_ensure(control, admin, &name).await?;
    let (_, code) = control.user_code(admin, &user).await?;
    let (_, token) = control
        .login(code.reveal(), "judge".to_owned(), Origin::default())
        .await?;
    Ok(token.reveal().to_owned())
}

/// Its key opens VMs that are made without one.
async fn user_ensure(
    control: &Control,
    admin: &Caller,
    name: &str,
    role: Role,
) -> Result<UserSelector, Fault> {
    let user = UserSelector::Name(name.parse()?);
    if control.user_get(admin, &user).await.is_err() {
        control.user_create(admin, name.parse()?, role).await?;
    }
    control.user_change(admin, &user, Some(role)).await?;
    control.user_enable(admin, &user).await?;
    // It has it, or gets it.
    let _ = control.key_create(admin, &user, KEY.parse()?).await;
    Ok(user)
}

/// The team, with a user as its owner.
async fn team_ensure(control: &Control, admin: &Caller, owner: &str) -> Result<(), Fault> {
    let team = PrincipalSelector::Name(TEAM.parse()?);
    if control.team_get(admin, &team).await.is_err() {
        control.team_create(admin, TEAM.parse()?).await?;
    }
    let owner = PrincipalSelector::Name(owner.parse()?);
    control.member_put(admin, &team, &owner, TeamRole::Owner).await?;
    Ok(())
}

/// Makes what the examples name anew.
async fn look_after(control: Control, admin: Caller) {
    let mut rhythm = tokio::time::interval(Duration::from_millis(100));
    loop {
        rhythm.tick().await;
        for (name, role) in [
            ("ann", Role::Member),
            ("some-member", Role::Member),
            ("some-admin", Role::Admin),
        ] {
            // Removed in between by the one it is looked after for; the next time is soon.
            if user_ensure(&control, &admin, name, role).await.is_ok() {
                let _ = team_ensure(&control, &admin, name).await;
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "an example talks to its terminal")]
fn complain(error: &Fault) {
    eprintln!("no token: {error}");
}
