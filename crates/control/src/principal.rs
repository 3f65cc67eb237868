//! Finding users and teams.
//!
//! Whoever names a user or team exactly may give it something; what they are and who is in them is another matter. To
//! somebody who is not in a team the team does not exist.

use model::{PrincipalId, PrincipalName, Problem, ProblemCode, TeamRole};
use store::{Principal, Read, Team};

use crate::auth::LOCAL_ADMIN;
use crate::page::Paging;
use crate::rights::Need;
use crate::{Caller, Error, Operation, Page, PageRequest, PrincipalSelector};

/// Names that mean something else, and what.
const RESERVED: [(&str, &str); 2] = [
    ("me", "means whoever asks"),
    (
        LOCAL_ADMIN,
        "is the local admin's name, whom each start brings back",
    ),
];

/// The user or team that is meant, whoever asks.
///
/// # Errors
/// There is none.
pub(crate) async fn principal_find(
    read: &mut Read,
    selector: &PrincipalSelector,
) -> Result<Principal, Error> {
    let found = match selector {
        PrincipalSelector::Id(id) => read.principal_fetch(*id).await?,
        PrincipalSelector::Name(name) => read.principal_fetch_by_name(name).await?,
    };
    found.ok_or_else(|| no_principal(selector).into())
}

/// The team that is meant, if the caller may do this with it.
///
/// # Errors
/// There is none that the caller is in, or the caller is too little in it.
pub(crate) async fn team_find(
    read: &mut Read,
    caller: &Caller,
    selector: &PrincipalSelector,
    operation: Operation,
) -> Result<Team, Error> {
    caller.may_ask_for(operation)?;
    let no_team = || {
        Problem::new(ProblemCode::NotFound, format!("there is no team {selector}"))
            .hint("pwctl team ls shows your teams")
    };
    let found = match selector {
        PrincipalSelector::Id(id) => read.principal_fetch(*id).await?,
        PrincipalSelector::Name(name) => read.principal_fetch_by_name(name).await?,
    };
    let team = found.and_then(Principal::into_team).ok_or_else(no_team)?;
    if caller.is_admin() {
        return Ok(team);
    }
    let member = read
        .member_fetch(team.id, caller.user)
        .await?
        .ok_or_else(no_team)?;
    match operation.need() {
        Need::Team(needed) if member.role < needed => Err(not_its_owner(&team).into()),
        Need::Team(_) | Need::Vm(_) | Need::SignedIn | Need::Account | Need::Holder | Need::Admin => Ok(team),
    }
}

/// The user or team that is meant, if it is the caller, a team of the caller's, or the caller an admin.
///
/// # Errors
/// To anybody else there is none.
pub(crate) async fn holder_find(
    read: &mut Read,
    caller: &Caller,
    selector: &PrincipalSelector,
    operation: Operation,
) -> Result<Principal, Error> {
    caller.may_ask_for(operation)?;
    let found = principal_find(read, selector).await?;
    let holds = caller.is_admin()
        || match found.id() {
            PrincipalId::User(user) => user == caller.user,
            PrincipalId::Team(team) => read.member_fetch(team, caller.user).await?.is_some(),
        };
    match holds {
        true => Ok(found),
        false => Err(no_principal(selector).into()),
    }
}

/// Refuses a name that a user or team has, or that means something else.
///
/// # Errors
/// It is so.
pub(crate) async fn principal_name_is_free(read: &mut Read, name: &PrincipalName) -> Result<(), Error> {
    if let Some((_, meaning)) = RESERVED.iter().find(|(reserved, _)| *reserved == name.as_str()) {
        return Err(Problem::new(
            ProblemCode::InvalidValue,
            format!("{name} {meaning}, so nobody else is called so"),
        )
        .at("/name")
        .into());
    }
    match read.principal_fetch_by_name(name).await? {
        Some(_) => Err(Problem::new(
            ProblemCode::NameTaken,
            format!("there is a user or team named {name} already"),
        )
        .hint("users and teams share one name space; choose another name")
        .at("/name")
        .into()),
        None => Ok(()),
    }
}

/// The page that is wanted of a list that is short and in the order of its names.
pub(crate) fn page_by_name<T>(
    caller: &Caller,
    list: Operation,
    of: &str,
    page: &PageRequest,
    (items, name): (Vec<T>, fn(&T) -> &PrincipalName),
) -> Result<Page<T>, Error> {
    let (paging, behind) = Paging::of::<String>(caller, list, &of, page)?;
    paging.page_of_all(items, behind.as_ref(), |item| name(item).to_string())
}

fn no_principal(selector: &PrincipalSelector) -> Problem {
    Problem::new(
        ProblemCode::NotFound,
        format!("there is no user or team {selector}"),
    )
    .hint("write its name exactly")
}

fn not_its_owner(team: &Team) -> Problem {
    Problem::new(
        ProblemCode::Forbidden,
        format!("only a {} of the team {} may do this", TeamRole::Owner, team.name),
    )
    .hint(format!("pwctl team get {} shows who that is", team.name))
}
