use clap::Args;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{or_dash, pairs};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pwctl me")]
pub(crate) struct Me {}

impl Me {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let me = client.me().await?;
        output.one(&me, &me.user.name, || {
            let team = |team: &api::MyTeam| format!("{} ({})", team.name, team.role);
            let teams: Vec<_> = me.teams.iter().map(team).collect();
            pairs(&[
                ("user", me.user.name.clone()),
                ("role", me.user.role.clone()),
                (
                    "teams",
                    or_dash(Some(teams.join(", ")).filter(|teams| !teams.is_empty()).as_ref()),
                ),
                ("server", client.url().to_owned()),
                ("token", me.token.id.to_string()),
                ("scopes", me.token.scopes.join(", ")),
                ("until", or_dash(me.token.expires_at.as_ref())),
            ])
        })
    }
}
