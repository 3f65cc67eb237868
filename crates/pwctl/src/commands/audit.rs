use api::client::pages_up_to;
use api::{AuditEntry, AuditList, AuditQuery, Client};
use clap::Args;
use jiff::Timestamp;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole, Wide};
use crate::table::{Table, or_dash};
use crate::when::{When, when};

/// How an id of a user begins.
const USER_ID: &str = "user_";

#[derive(Debug, Args)]
#[command(after_help = "\
Newest first: what was done, and what was refused. Admins see all of it, others what they did themselves.

Examples:
  pwctl audit
  pwctl audit --since 2h --operation vm_delete
  pwctl audit --user admin --outcome ok -n 10 -o wide")]
pub(crate) struct Audit {
    /// Only what this user did
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only this, such as vm_delete or login
    #[arg(long, value_name = "WHAT")]
    operation: Option<String>,
    /// Only what was done to this, as entries name it: mostly an id
    #[arg(long, value_name = "WHAT")]
    target: Option<String>,
    /// Only what ended so: ok, or the code of a refusal
    #[arg(long, value_name = "CODE")]
    outcome: Option<String>,
    /// Only from then on: 10m or 2h ago, or a time such as 2026-11-22T09:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<When>,
    /// Only before then
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<When>,
    /// The newest N entries only; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

impl Audit {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let query = self.query(&client).await?;
        let list = entries(&client, &query, self.limit).await?;
        let names = || list.items.iter().map(|entry| entry.operation.clone()).collect();
        output.list(&list, names, || table(&list.items))
    }

    async fn query(&self, client: &Client) -> Result<AuditQuery, Failure> {
        let now = Timestamp::now();
        Ok(AuditQuery {
            user: match &self.user {
                Some(user) => Some(user_id(client, user).await?),
                None => None,
            },
            operation: self.operation.clone(),
            target: self.target.clone(),
            outcome: self.outcome.clone(),
            since: self.since.map(|since| since.text(now)),
            until: self.until.map(|until| until.text(now)),
            ..AuditQuery::default()
        })
    }
}

/// Entries keep the ids of users, which outlive them; people write names.
async fn user_id(client: &Client, user: &str) -> Result<String, Failure> {
    match user.starts_with(USER_ID) {
        true => Ok(user.to_owned()),
        false => Ok(client.user_get(user).await?.id.to_string()),
    }
}

/// The newest that fit, page by page; with a limit of 0 all of them.
async fn entries(client: &Client, query: &AuditQuery, limit: usize) -> Result<AuditList, Failure> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let list = pages_up_to(limit, async |page| {
        let page = AuditQuery {
            limit: page.limit,
            cursor: page.cursor,
            ..query.clone()
        };
        client.audit_list(&page).await
    });
    Ok(list.await?)
}

fn table(entries: &[AuditEntry]) -> Table {
    let rows = entries.iter().map(|entry| {
        let user = entry.user_name.clone();
        [
            entry.at.clone().into(),
            or_dash(user.or_else(|| entry.user.map(|id| id.to_string())).as_ref()).into(),
            entry.operation.clone().into(),
            or_dash(entry.target.as_ref()).into(),
            entry.outcome.clone().into(),
            or_dash(entry.address.as_ref()).into(),
            or_dash(entry.token.as_ref()).into(),
            or_dash(entry.request_id.as_ref()).into(),
        ]
    });
    Table::new(
        [
            Whole("AT"),
            Whole("WHO"),
            Whole("WHAT"),
            Elastic("TO"),
            Whole("OUTCOME"),
            Wide("FROM"),
            Wide("TOKEN"),
            Wide("REQUEST"),
        ],
        rows,
    )
}
