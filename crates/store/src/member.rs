//! Who is in which team.

use jiff::Timestamp;
use model::{PrincipalName, TeamId, TeamRole, UserId};

use crate::sql::{Row, query};
use crate::{Read, StoreError, Write, row};

/// A user in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The team.
    pub team: TeamId,
    /// The team's name.
    pub team_name: PrincipalName,
    /// The user.
    pub user: UserId,
    /// The user's name.
    pub user_name: PrincipalName,
    /// What the user is there.
    pub role: TeamRole,
    /// Since when.
    pub added_at: Timestamp,
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT members.*, users.name AS user_name, teams.name AS team_name FROM members ",
            "JOIN principals AS users ON users.id = members.user_id ",
            "JOIN principals AS teams ON teams.id = members.team ",
            $tail
        )
    };
}

impl Read {
    /// What a user is in a team; `None` where it is not in it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn member_fetch(&mut self, team: TeamId, user: UserId) -> Result<Option<Member>, StoreError> {
        let found = query(select!("WHERE members.team = $1 AND members.user_id = $2"))
            .bind(team.to_string())
            .bind(user.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a member of a team"))?;
        found.as_ref().map(member).transpose()
    }

    /// Who is in a team, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn member_list_of_team(&mut self, team: TeamId) -> Result<Vec<Member>, StoreError> {
        let rows = query(select!("WHERE members.team = $1 ORDER BY users.name"))
            .bind(team.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the members of a team"))?;
        rows.iter().map(member).collect()
    }

    /// The teams that a user is in, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn member_list_of_user(&mut self, user: UserId) -> Result<Vec<Member>, StoreError> {
        let rows = query(select!("WHERE members.user_id = $1 ORDER BY teams.name"))
            .bind(user.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the teams of a user"))?;
        rows.iter().map(member).collect()
    }
}

impl Write {
    /// Puts a user into a team, or gives it another role there.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn member_put(
        &mut self,
        team: TeamId,
        user: UserId,
        role: TeamRole,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO members (team, user_id, role, added_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (team, user_id) DO UPDATE SET role = excluded.role",
        )
        .bind(team.to_string())
        .bind(user.to_string())
        .bind(role.as_str())
        .bind(at.as_millisecond())
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep a member of a team"))?;
        Ok(())
    }

    /// Takes a user out of a team.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn member_delete(&mut self, team: TeamId, user: UserId) -> Result<(), StoreError> {
        query("DELETE FROM members WHERE team = $1 AND user_id = $2")
            .bind(team.to_string())
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("take a member out of a team"))?;
        Ok(())
    }
}

fn member(row: &Row) -> Result<Member, StoreError> {
    Ok(Member {
        team: row::parsed(row, "team")?,
        team_name: row::parsed(row, "team_name")?,
        user: row::parsed(row, "user_id")?,
        user_name: row::parsed(row, "user_name")?,
        role: row::parsed(row, "role")?,
        added_at: row::time(row, "added_at")?,
    })
}
