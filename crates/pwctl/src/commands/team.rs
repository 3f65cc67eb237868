use api::client::all_pages;
use api::{Client, CreateTeam, HeirQuery, Member, PutMember, Team as ApiTeam};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::removal::Removal;
use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Column::{Whole, Wide};
use crate::table::{Table, age, or_dash};

#[derive(Debug, Subcommand)]
pub(crate) enum Team {
    /// List your teams; for admins all
    #[command(visible_alias = "list", after_help = "Example:\n  pwctl team ls")]
    Ls,
    /// List who is in a team
    #[command(visible_alias = "members", after_help = "Example:\n  pwctl team get ops")]
    Get(Named),
    /// Make a team, for admins
    #[command(after_help = "Example:\n  pwctl team create ops")]
    Create(Named),
    /// Remove a team
    #[command(visible_alias = "delete")]
    Rm(Rm),
    /// Put a user into a team, or give it another role there
    Add(Add),
    /// Take a user out of a team; what it has open on the team's VMs ends
    #[command(after_help = "Example:\n  pwctl team remove ops ann")]
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The team's name
    team: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A team that owns VMs goes only with somebody who gets them. A person is asked first; elsewhere --yes is needed.

Examples:
  pwctl team rm ops --transfer-to ann --dry-run
  pwctl team rm ops --transfer-to ann --yes")]
pub(crate) struct Rm {
    /// Name or id
    team: String,
    #[command(flatten)]
    removal: Removal,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Members manage the team's VMs. Owners may also delete, share and transfer them, and say who is in the team.

Examples:
  pwctl team add ops ann
  pwctl team add ops ann --owner")]
pub(crate) struct Add {
    /// The team's name or id
    team: String,
    /// The user's name or id
    user: String,
    /// As an owner of the team
    #[arg(long)]
    owner: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The team's name or id
    team: String,
    /// The user's name or id
    user: String,
}

impl Team {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        match self {
            Self::Ls => list(&client, output).await,
            Self::Get(named) => members(&client, &named.team, output).await,
            Self::Create(named) => {
                let team = client.team_create(&CreateTeam { name: named.team }).await?;
                output.one(&team, &team.name, || {
                    format!(
                        "{} is a team; put somebody into it: pwctl team add {0} USER\n",
                        team.name
                    )
                })
            }
            Self::Rm(rm) => {
                let team = client.team_get(&rm.team).await?;
                if !rm.removal.is_meant(&client, &team.name, output).await? {
                    return Ok(());
                }
                let heir = HeirQuery {
                    transfer_to: rm.removal.transfer_to,
                };
                client.team_delete(&team.id.to_string(), &heir).await?;
                gone(&rm.team, "is gone", output)
            }
            Self::Add(add) => {
                let role = if add.owner { "owner" } else { "member" };
                let wish = PutMember {
                    role: role.to_owned(),
                };
                let member = client.member_put(&add.team, &add.user, &wish).await?;
                output.one(&member, &member.user, || {
                    format!("{} is {} of {}\n", member.user, member.role, add.team)
                })
            }
            Self::Remove(remove) => {
                client.member_delete(&remove.team, &remove.user).await?;
                let what = format!("is not in {} any more", remove.team);
                gone(&remove.user, &what, output)
            }
        }
    }
}

fn gone(name: &str, what: &str, output: &Output) -> Result<(), Failure> {
    let items = json!({ "items": [name], "next": null });
    output.many(&items, vec![name.to_owned()], || format!("{name} {what}\n"))
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let list = all_pages(async |page| client.team_list(&page).await).await?;
    let names = || list.items.iter().map(|team| team.name.clone()).collect();
    output.list(&list, names, || team_table(&list.items))
}

async fn members(client: &Client, team: &str, output: &Output) -> Result<(), Failure> {
    let list = all_pages(async |page| client.member_list(team, &page).await).await?;
    let names = || list.items.iter().map(|member| member.user.clone()).collect();
    output.list(&list, names, || member_table(&list.items))
}

fn team_table(teams: &[ApiTeam]) -> Table {
    let now = Timestamp::now();
    let rows = teams.iter().map(|team| {
        [
            team.name.clone().into(),
            or_dash(team.role.as_ref()).into(),
            age(&team.created_at, now).into(),
            team.id.into(),
        ]
    });
    Table::new([Whole("NAME"), Whole("YOU ARE"), Whole("AGE"), Wide("ID")], rows)
}

fn member_table(members: &[Member]) -> Table {
    let now = Timestamp::now();
    let rows = members.iter().map(|member| {
        [
            member.user.clone().into(),
            member.role.clone().into(),
            age(&member.added_at, now).into(),
            member.user_id.into(),
        ]
    });
    Table::new([Whole("USER"), Whole("ROLE"), Whole("SINCE"), Wide("ID")], rows)
}
