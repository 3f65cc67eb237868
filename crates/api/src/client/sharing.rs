//! Teams, shares and quotas. A method per endpoint, named as its operation.

use serde::de::DeserializeOwned;

use super::{Client, ClientError, REQUEST_LIMIT};
use crate::{
    CreateTeam, Endpoint, HeirQuery, Member, MemberList, PageQuery, PutMember, PutQuota, PutShare, Quota,
    QuotaList, Share, ShareList, Team, TeamList, Transfer, Vm, quotas, shares, teams,
};

/// All of them fail as [`ClientError`] says. `vm`, `team`, `user` and `principal` are ids or names.
impl Client {
    /// One's teams, by name; for admins all.
    pub async fn team_list(&self, page: &PageQuery) -> Result<TeamList, ClientError> {
        self.page_of(&teams::LIST, &[], page).await
    }

    /// Makes a team.
    pub async fn team_create(&self, team: &CreateTeam) -> Result<Team, ClientError> {
        self.call_with(&teams::CREATE, &[], team).await
    }

    /// One team.
    pub async fn team_get(&self, team: &str) -> Result<Team, ClientError> {
        self.call(&teams::GET, &[team]).await
    }

    /// Removes a team.
    pub async fn team_delete(&self, team: &str, heir: &HeirQuery) -> Result<(), ClientError> {
        let request = self.request(&teams::DELETE, &[team])?.query(heir);
        self.send(request.timeout(REQUEST_LIMIT)).await.map(drop)
    }

    /// Who is in a team, by name.
    pub async fn member_list(&self, team: &str, page: &PageQuery) -> Result<MemberList, ClientError> {
        self.page_of(&teams::MEMBERS, &[team], page).await
    }

    /// Puts a user into a team, or gives it another role there.
    pub async fn member_put(
        &self,
        team: &str,
        user: &str,
        member: &PutMember,
    ) -> Result<Member, ClientError> {
        self.call_with(&teams::MEMBER_PUT, &[team, user], member).await
    }

    /// Takes a user out of a team.
    pub async fn member_delete(&self, team: &str, user: &str) -> Result<(), ClientError> {
        self.tell(&teams::MEMBER_DELETE, &[team, user]).await
    }

    /// With whom a VM is shared, by name.
    pub async fn vm_share_list(&self, vm: &str, page: &PageQuery) -> Result<ShareList, ClientError> {
        self.page_of(&shares::LIST, &[vm], page).await
    }

    /// Shares a VM with a user or team, or changes what it may do.
    pub async fn vm_share_put(
        &self,
        vm: &str,
        principal: &str,
        share: &PutShare,
    ) -> Result<Share, ClientError> {
        self.call_with(&shares::PUT, &[vm, principal], share).await
    }

    /// Shares a VM with a user or team no more.
    pub async fn vm_share_delete(&self, vm: &str, principal: &str) -> Result<(), ClientError> {
        self.tell(&shares::DELETE, &[vm, principal]).await
    }

    /// Gives a VM to another owner.
    pub async fn vm_transfer(&self, vm: &str, transfer: &Transfer) -> Result<Vm, ClientError> {
        self.call_with(&shares::TRANSFER, &[vm], transfer).await
    }

    /// The quotas of all users and teams, by name.
    pub async fn quota_list(&self, page: &PageQuery) -> Result<QuotaList, ClientError> {
        self.page_of(&quotas::LIST, &[], page).await
    }

    /// The quota of a user or team; `me` is one's own.
    pub async fn quota_get(&self, principal: &str) -> Result<Quota, ClientError> {
        self.call(&quotas::GET, &[principal]).await
    }

    /// Sets the limits of a user or team, in the place of those before.
    pub async fn quota_put(&self, principal: &str, quota: &PutQuota) -> Result<Quota, ClientError> {
        self.call_with(&quotas::PUT, &[principal], quota).await
    }

    /// Lets the installation's limits hold for a user or team again.
    pub async fn quota_delete(&self, principal: &str) -> Result<(), ClientError> {
        self.tell(&quotas::DELETE, &[principal]).await
    }

    async fn page_of<A: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        values: &[&str],
        page: &PageQuery,
    ) -> Result<A, ClientError> {
        let request = self.request(endpoint, values)?.query(page);
        self.answer(request).await
    }

    /// Calls what answers nothing.
    async fn tell(&self, endpoint: &Endpoint, values: &[&str]) -> Result<(), ClientError> {
        let request = self.request(endpoint, values)?;
        self.send(request.timeout(REQUEST_LIMIT)).await.map(drop)
    }
}
