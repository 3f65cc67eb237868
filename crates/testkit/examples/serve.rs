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
//! another, and the user is made as it was. It disables the local admin too, in whose name all this is done here; that one
//! is let in again as at the start of a server.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use control::{Caller, Control, Origin, PrincipalSelector, UserSelector};
use model::{Capacity, Role, TeamRole};
use testkit::{Cloud, Fault, Size};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

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
    let keeper = Arc::new(Mutex::new(Keeper {
        control: control.clone(),
        admin: admin.clone(),
    }));
    let given = tokio::spawn(give(tokens, keeper.clone()));
    let looked_after = tokio::spawn(look_after(keeper));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    given.abort();
    looked_after.abort();
    cloud.end().await;
    Ok(())
}

/// Gives out tokens, one connection after the other.
async fn give(tokens: TcpListener, keeper: Arc<Mutex<Keeper>>) {
    while let Ok((stream, _)) = tokens.accept().await {
        if let Err(error) = answer(stream, &keeper).await {
            complain(&error);
        }
    }
}

async fn answer(stream: TcpStream, keeper: &Mutex<Keeper>) -> Result<(), Fault> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let role: Role = line.trim().parse()?;
    let mut keeper = keeper.lock().await;
    keeper.come_in().await?;
    let token = keeper.sign_in(role).await?;
    stream.write_all(token.as_bytes()).await?;
    Ok(())
}

/// Makes what the examples name anew.
async fn look_after(keeper: Arc<Mutex<Keeper>>) {
    let mut rhythm = tokio::time::interval(Duration::from_millis(100));
    loop {
        rhythm.tick().await;
        let mut keeper = keeper.lock().await;
        if let Err(error) = keeper.restore().await {
            complain(&error);
        }
    }
}

/// Who makes what a program removed as it was. One job at a time, so that two do not make the same.
struct Keeper {
    control: Control,
    admin: Caller,
}

impl Keeper {
    /// Becomes the local admin anew, whatever was done to that one.
    async fn come_in(&mut self) -> Result<(), Fault> {
        let token = self.control.admin_token_renew().await?;
        self.admin = self
            .control
            .authenticate(token.reveal(), Origin::default())
            .await?;
        Ok(())
    }

    /// A token of the user that has this role, who is made as before where that is another by now.
    async fn sign_in(&self, role: Role) -> Result<String, Fault> {
        let name = format!("some-{role}");
        let user = self.user_ensure(&name, role).await?;
        self.team_ensure(&name).await?;
        let (_, code) = self.control.user_code(&self.admin, &user).await?;
        let (_, token) = self
            .control
            .login(code.reveal(), "judge".to_owned(), Origin::default())
            .await?;
        Ok(token.reveal().to_owned())
    }

    async fn restore(&mut self) -> Result<(), Fault> {
        for (name, role) in [
            ("ann", Role::Member),
            ("some-member", Role::Member),
            ("some-admin", Role::Admin),
        ] {
            // Removed in between by the one it is looked after for, or the admin was disabled; the next time is soon.
            let made = match self.user_ensure(name, role).await {
                Ok(_) => self.team_ensure(name).await,
                Err(fault) => Err(fault),
            };
            if made.is_err() {
                self.come_in().await?;
            }
        }
        Ok(())
    }

    /// Its key opens VMs that are made without one.
    async fn user_ensure(&self, name: &str, role: Role) -> Result<UserSelector, Fault> {
        let (control, admin) = (&self.control, &self.admin);
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
    async fn team_ensure(&self, owner: &str) -> Result<(), Fault> {
        let (control, admin) = (&self.control, &self.admin);
        let team = PrincipalSelector::Name(TEAM.parse()?);
        if control.team_get(admin, &team).await.is_err() {
            control.team_create(admin, TEAM.parse()?).await?;
        }
        let owner = PrincipalSelector::Name(owner.parse()?);
        control.member_put(admin, &team, &owner, TeamRole::Owner).await?;
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "an example talks to its terminal")]
fn complain(error: &Fault) {
    eprintln!("the keeper of examples: {error}");
}
