//! Teams, and who is in them.

use jiff::Timestamp;
use model::{PrincipalName, Problem, ProblemCode, TeamId, TeamRole, UserId};
use store::{Member, Principal, Read, Team};

use crate::clock::draw;
use crate::keys::{keys_renew, keys_withdraw};
use crate::principal::{page_by_name, principal_find, principal_name_is_free, team_find};
use crate::transfer::vms_give_all;
use crate::{Caller, Control, Error, Operation, Page, PageRequest, PrincipalSelector};

/// A team, as somebody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamView {
    /// Its id.
    pub id: TeamId,
    /// Its name.
    pub name: PrincipalName,
    /// When it was made.
    pub created_at: Timestamp,
    /// What the one who looks is in it; an admin need not be in it.
    pub role: Option<TeamRole>,
}

/// A user in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// The user.
    pub user: UserId,
    /// The user's name.
    pub name: PrincipalName,
    /// What the user is there.
    pub role: TeamRole,
    /// Since when.
    pub added_at: Timestamp,
}

impl Control {
    /// The caller's teams, by name; for an admin all.
    ///
    /// # Errors
    /// The page is none of this list.
    pub async fn team_list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<TeamView>, Error> {
        caller.may_ask_for(Operation::TeamList)?;
        let mut read = self.inner.store.read().await?;
        let mine = read.member_list_of_user(caller.user).await?;
        let role = |team: TeamId| mine.iter().find(|mine| mine.team == team).map(|mine| mine.role);
        let mut teams = read.team_list().await?;
        teams.retain(|team| caller.is_admin() || role(team.id).is_some());
        let teams = teams.iter().map(|team| view(team, role(team.id))).collect();
        page_by_name(caller, Operation::TeamList, "", page, (teams, |team| &team.name))
    }

    /// One team.
    ///
    /// # Errors
    /// There is none that the caller is in.
    pub async fn team_get(&self, caller: &Caller, team: &PrincipalSelector) -> Result<TeamView, Error> {
        let mut read = self.inner.store.read().await?;
        let team = team_find(&mut read, caller, team, Operation::TeamGet).await?;
        view_for(&mut read, caller, &team).await
    }

    /// Makes a team with nobody in it.
    ///
    /// # Errors
    /// The caller is no admin, or a user or team has the name.
    pub async fn team_create(&self, caller: &Caller, name: PrincipalName) -> Result<TeamView, Error> {
        let mut change = self.change_by(caller, Operation::TeamCreate).await?;
        principal_name_is_free(&mut change, &name).await?;
        let team = Team {
            id: TeamId::from_random(draw(self.inner.entropy.as_ref())?),
            name,
            created_at: change.now,
        };
        change.about(team.id);
        change.principal_insert(&Principal::Team(team.clone())).await?;
        self.commit(change).await?;
        tracing::info!(team.id = %team.id, user.id = %caller.user, "team created");
        Ok(view(&team, None))
    }

    /// Removes a team. What it owns goes to `heir`; what its members have open on its VMs ends, unless they may use them
    /// otherwise.
    ///
    /// # Errors
    /// The caller is no owner of it, or it owns VMs and there is no heir, or the heir cannot have them.
    pub async fn team_delete(
        &self,
        caller: &Caller,
        team: &PrincipalSelector,
        heir: Option<&PrincipalSelector>,
    ) -> Result<(), Error> {
        let mut change = self.change_by(caller, Operation::TeamDelete).await?;
        let team = team_find(&mut change, caller, team, Operation::TeamDelete).await?;
        change.about(team.id);
        let opened = change.vm_ids_of_principal(team.id.into()).await?;
        let members = change.member_list_of_team(team.id).await?;
        let members: Vec<_> = members.into_iter().map(|member| member.user).collect();
        vms_give_all(&mut change, caller.user, team.id.into(), heir).await?;
        change.principal_delete(team.id.into()).await?;
        keys_withdraw(&mut change, &opened, &members).await?;
        self.commit(change).await?;
        tracing::info!(team.id = %team.id, user.id = %caller.user, "team removed");
        Ok(())
    }

    /// Who is in a team, by name.
    ///
    /// # Errors
    /// There is none that the caller is in, or the page is none of this list.
    pub async fn member_list(
        &self,
        caller: &Caller,
        team: &PrincipalSelector,
        page: &PageRequest,
    ) -> Result<Page<MemberView>, Error> {
        let mut read = self.inner.store.read().await?;
        let team = team_find(&mut read, caller, team, Operation::MemberList).await?;
        let members = read.member_list_of_team(team.id).await?;
        let members = members.into_iter().map(member_view).collect();
        let of = team.id.to_string();
        page_by_name(
            caller,
            Operation::MemberList,
            &of,
            page,
            (members, |member| &member.name),
        )
    }

    /// Puts a user into a team, or gives it another role there. Its keys open the team's VMs from then on.
    ///
    /// # Errors
    /// The caller is no owner of the team, there is no such user, or the last owner would be none any more.
    pub async fn member_put(
        &self,
        caller: &Caller,
        team: &PrincipalSelector,
        user: &PrincipalSelector,
        role: TeamRole,
    ) -> Result<MemberView, Error> {
        let mut change = self.change_by(caller, Operation::MemberPut).await?;
        let team = team_find(&mut change, caller, team, Operation::MemberPut).await?;
        let user = user_find(&mut change, user).await?;
        change.about(format!("{} in {}", user, team.id));
        if role < TeamRole::Owner {
            an_owner_is_left(&mut change, caller, &team, user).await?;
        }
        let before = change.member_fetch(team.id, user).await?;
        if before.is_some_and(|before| role < before.role) {
            change.withdraws_rights();
        }
        let now = change.now;
        change.member_put(team.id, user, role, now).await?;
        let vms = change.vm_ids_of_principal(team.id.into()).await?;
        keys_renew(&mut change, &vms).await?;
        let member = change
            .member_fetch(team.id, user)
            .await?
            .ok_or_else(|| no_member(&team))?;
        self.commit(change).await?;
        tracing::info!(team.id = %team.id, member.id = %user, %role, user.id = %caller.user, "member put into a team");
        Ok(member_view(member))
    }

    /// Takes a user out of a team. What it has open on the team's VMs ends, unless it may use them otherwise.
    ///
    /// # Errors
    /// The caller is no owner of the team, the user is not in it, or is its last owner.
    pub async fn member_delete(
        &self,
        caller: &Caller,
        team: &PrincipalSelector,
        user: &PrincipalSelector,
    ) -> Result<(), Error> {
        let mut change = self.change_by(caller, Operation::MemberDelete).await?;
        let team = team_find(&mut change, caller, team, Operation::MemberDelete).await?;
        let user = user_find(&mut change, user).await?;
        change.about(format!("{} in {}", user, team.id));
        if change.member_fetch(team.id, user).await?.is_none() {
            return Err(no_member(&team).into());
        }
        an_owner_is_left(&mut change, caller, &team, user).await?;
        change.member_delete(team.id, user).await?;
        let vms = change.vm_ids_of_principal(team.id.into()).await?;
        keys_withdraw(&mut change, &vms, &[user]).await?;
        self.commit(change).await?;
        tracing::info!(team.id = %team.id, member.id = %user, user.id = %caller.user, "member taken out of a team");
        Ok(())
    }
}

fn view(team: &Team, role: Option<TeamRole>) -> TeamView {
    TeamView {
        id: team.id,
        name: team.name.clone(),
        created_at: team.created_at,
        role,
    }
}

async fn view_for(read: &mut Read, caller: &Caller, team: &Team) -> Result<TeamView, Error> {
    let member = read.member_fetch(team.id, caller.user).await?;
    Ok(view(team, member.map(|member| member.role)))
}

fn member_view(member: Member) -> MemberView {
    MemberView {
        user: member.user,
        name: member.user_name,
        role: member.role,
        added_at: member.added_at,
    }
}

async fn user_find(read: &mut Read, selector: &PrincipalSelector) -> Result<UserId, Error> {
    let no_user = || Problem::new(ProblemCode::NotFound, format!("there is no user {selector}"));
    let found = principal_find(read, selector)
        .await
        .map_err(|error| match error.is_fault() {
            true => error,
            false => no_user().into(),
        })?;
    let user = found.into_user().ok_or_else(no_user)?;
    Ok(user.id)
}

/// Refuses to leave a team without an owner, which only an admin could mend. So only an admin may do it.
async fn an_owner_is_left(
    read: &mut Read,
    caller: &Caller,
    team: &Team,
    without: UserId,
) -> Result<(), Error> {
    let members = read.member_list_of_team(team.id).await?;
    let mut owners = members.iter().filter(|member| member.role == TeamRole::Owner);
    let is_left = owners.clone().any(|owner| owner.user != without);
    if caller.is_admin() || is_left || owners.next().is_none() {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::Forbidden,
        format!("that is the last owner of the team {}", team.name),
    )
    .hint("make somebody else its owner first, or ask an admin")
    .into())
}

fn no_member(team: &Team) -> Problem {
    Problem::new(
        ProblemCode::NotFound,
        format!("that user is not in the team {}", team.name),
    )
    .hint(format!("pwctl team get {} shows who is", team.name))
}
