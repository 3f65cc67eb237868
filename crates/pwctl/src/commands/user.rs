use api::client::all_pages;
use api::{ChangeUser, Client, CreateUser, User as ApiUser};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::removal::Removal;
use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Column::{Whole, Wide};
use crate::table::{Table, age};

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// List users: yourself; for admins all
    #[command(visible_alias = "list", after_help = "Example:\n  pwctl user ls")]
    Ls,
    /// Make a user, and print the one-time code to sign in with
    Create(Create),
    /// Remove a user, with keys, tokens and memberships
    #[command(visible_alias = "delete")]
    Rm(Rm),
    /// Let a disabled user in again; its VMs run as before
    #[command(after_help = "Example:\n  pwctl user enable ann")]
    Enable(Named),
    /// Keep a user out: tokens and keys open nothing, and its VMs stop
    #[command(after_help = "Example:\n  pwctl user disable ann")]
    Disable(Named),
    /// Print a new one-time code to sign in with, in the place of the one before
    #[command(after_help = "Example:\n  pwctl user code ann")]
    Code(Named),
    /// Make a user an admin, or a member
    #[command(after_help = "Example:\n  pwctl user role ann admin")]
    Role(Role),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The code is good for a day and for one pwctl login.

Example:
  pwctl user create ann")]
pub(crate) struct Create {
    /// The user's name: up to 63 of a-z, 0-9 and -
    name: String,
    /// What the user is: member or admin [default: member]
    #[arg(long)]
    role: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What the user has open ends. A user who still owns VMs goes only with somebody who gets them. A person is asked first;
elsewhere --yes is needed.

Examples:
  pwctl user rm ann --transfer-to bob --dry-run
  pwctl user rm ann --transfer-to bob --yes")]
pub(crate) struct Rm {
    /// Name or id
    user: String,
    #[command(flatten)]
    removal: Removal,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Name or id
    user: String,
}

#[derive(Debug, Args)]
pub(crate) struct Role {
    /// Name or id
    user: String,
    /// member or admin
    role: String,
}

impl User {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        match self {
            Self::Ls => list(&client, output).await,
            Self::Create(create) => {
                let (name, role) = (create.name, create.role);
                let user = client.user_create(&CreateUser { name, role }).await?;
                code(&client, &user, output)
            }
            Self::Rm(rm) => {
                let user = client.user_get(&rm.user).await?;
                if !rm.removal.is_meant(&client, &user.name, output).await? {
                    return Ok(());
                }
                let heir = rm.removal.transfer_to.as_deref();
                client.user_delete(&user.id.to_string(), heir).await?;
                let items = json!({ "items": [rm.user], "next": null });
                output.many(&items, vec![rm.user.clone()], || format!("{} is gone\n", rm.user))
            }
            Self::Enable(named) => told(&client.user_enable(&named.user).await?, output),
            Self::Disable(named) => told(&client.user_disable(&named.user).await?, output),
            Self::Code(named) => code(&client, &client.user_code(&named.user).await?, output),
            Self::Role(wish) => {
                let role = Some(wish.role);
                let user = client.user_change(&wish.user, &ChangeUser { role }).await?;
                told(&user, output)
            }
        }
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let list = all_pages(async |page| client.user_list(&page).await).await?;
    let names = || list.items.iter().map(|user| user.name.clone()).collect();
    let now = Timestamp::now();
    output.list(&list, names, || {
        let rows = list.items.iter().map(|user| {
            [
                user.name.clone().into(),
                user.role.clone().into(),
                state(user).into(),
                age(&user.created_at, now).into(),
                user.id.to_string().into(),
            ]
        });
        let columns = [
            Whole("NAME"),
            Whole("ROLE"),
            Whole("STATE"),
            Whole("AGE"),
            Wide("ID"),
        ];
        Table::new(columns, rows)
    })
}

const fn state(user: &ApiUser) -> &'static str {
    match user.disabled {
        true => "disabled",
        false => "enabled",
    }
}

fn told(user: &ApiUser, output: &Output) -> Result<(), Failure> {
    output.one(user, &user.name, || {
        format!("{} is {} and {}\n", user.name, user.role, state(user))
    })
}

/// Prints the code alone, so that it can be piped to where it goes.
fn code(client: &Client, user: &ApiUser, output: &Output) -> Result<(), Failure> {
    let code = user.secret.as_ref().ok_or_else(|| Failure::SecretLost {
        what: format!("the code of {}", user.name),
        next: format!("make another: pwctl user code {}", user.name),
    })?;
    output.remark(&format!(
        "{} signs in with this code, once and within a day: pwctl login {}",
        user.name,
        client.url()
    ));
    output.one(user, &user.name, || format!("{code}\n"))
}
