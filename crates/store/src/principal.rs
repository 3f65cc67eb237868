//! Users and teams: what can own a VM. They share one name space.

use jiff::Timestamp;
use model::{PrincipalId, PrincipalName, Role, TeamId, UserId};

use crate::sql::{Row, query};
use crate::{Read, StoreError, Write, row};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub name: PrincipalName,
    /// What it is in the installation.
    pub role: Role,
    /// Whether it may come in no more.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Its name.
    pub name: PrincipalName,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A user or a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A person.
    User(User),
    /// Several.
    Team(Team),
}

impl Principal {
    /// Whether it is a user who was disabled.
    pub const fn is_disabled(&self) -> bool {
        match self {
            Self::User(user) => user.disabled,
            Self::Team(_) => false,
        }
    }

    /// Its id.
    pub const fn id(&self) -> PrincipalId {
        match self {
            Self::User(user) => PrincipalId::User(user.id),
            Self::Team(team) => PrincipalId::Team(team.id),
        }
    }

    /// Its name.
    pub const fn name(&self) -> &PrincipalName {
        match self {
            Self::User(user) => &user.name,
            Self::Team(team) => &team.name,
        }
    }

    /// The user, where it is one.
    pub fn into_user(self) -> Option<User> {
        match self {
            Self::User(user) => Some(user),
            Self::Team(_) => None,
        }
    }

    /// The team, where it is one.
    pub fn into_team(self) -> Option<Team> {
        match self {
            Self::Team(team) => Some(team),
            Self::User(_) => None,
        }
    }
}

impl Read {
    /// A user or team by its id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn principal_fetch(&mut self, id: PrincipalId) -> Result<Option<Principal>, StoreError> {
        let found = query("SELECT * FROM principals WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a user or team"))?;
        found.as_ref().map(principal).transpose()
    }

    /// A user or team by its name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn principal_fetch_by_name(
        &mut self,
        name: &PrincipalName,
    ) -> Result<Option<Principal>, StoreError> {
        let found = query("SELECT * FROM principals WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a user or team by its name"))?;
        found.as_ref().map(principal).transpose()
    }

    /// All users, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn user_list(&mut self) -> Result<Vec<User>, StoreError> {
        let rows = query("SELECT * FROM principals WHERE role IS NOT NULL ORDER BY name")
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the users"))?;
        let principals = rows.iter().map(principal).collect::<Result<Vec<_>, _>>()?;
        Ok(principals.into_iter().filter_map(Principal::into_user).collect())
    }

    /// An admin besides this user who may come in.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn admin_fetch_besides(&mut self, user: UserId) -> Result<Option<UserId>, StoreError> {
        let found = query("SELECT id FROM principals WHERE role = $1 AND disabled = 0 AND id <> $2 LIMIT 1")
            .bind(Role::Admin.as_str())
            .bind(user.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("look for another admin"))?;
        found.as_ref().map(|row| row::parsed(row, "id")).transpose()
    }

    /// All teams, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn team_list(&mut self) -> Result<Vec<Team>, StoreError> {
        let rows = query("SELECT * FROM principals WHERE role IS NULL ORDER BY name")
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the teams"))?;
        let teams = rows.iter().map(|row| Ok(principal(row)?.into_team()));
        teams.filter_map(Result::transpose).collect()
    }
}

impl Write {
    /// Keeps a new user or team.
    ///
    /// # Errors
    /// The name or id is taken, or the database refuses.
    pub async fn principal_insert(&mut self, principal: &Principal) -> Result<(), StoreError> {
        let (role, disabled, created_at) = match principal {
            Principal::User(user) => (Some(user.role.as_str()), user.disabled, user.created_at),
            Principal::Team(team) => (None, false, team.created_at),
        };
        query("INSERT INTO principals (id, name, role, disabled, created_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(principal.id().to_string())
            .bind(principal.name().as_str())
            .bind(role)
            .bind(i64::from(disabled))
            .bind(created_at.as_millisecond())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep a new user or team"))?;
        Ok(())
    }

    /// Changes a user's role, and whether it is disabled.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn user_update(&mut self, user: &User) -> Result<(), StoreError> {
        query("UPDATE principals SET role = $1, disabled = $2 WHERE id = $3")
            .bind(user.role.as_str())
            .bind(i64::from(user.disabled))
            .bind(user.id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("change a user"))?;
        Ok(())
    }

    /// Forgets a user or team, with keys, tokens, memberships and what was shared with it. It must own no VM.
    ///
    /// # Errors
    /// It owns a VM still, or the database refuses.
    pub async fn principal_delete(&mut self, id: PrincipalId) -> Result<(), StoreError> {
        query("DELETE FROM principals WHERE id = $1")
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget a user or team"))?;
        Ok(())
    }

    /// Gives to a user what has no owner: VMs and tokens from before there were users.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn ownerless_give(&mut self, user: UserId) -> Result<(), StoreError> {
        for sql in [
            "UPDATE vms SET owner = $1 WHERE owner IS NULL",
            "UPDATE tokens SET user_id = $1 WHERE user_id IS NULL",
        ] {
            query(sql)
                .bind(user.to_string())
                .execute(self.connection())
                .await
                .map_err(StoreError::sql("give away what has no owner"))?;
        }
        Ok(())
    }
}

pub(crate) fn principal(row: &Row) -> Result<Principal, StoreError> {
    let name = row::parsed(row, "name")?;
    let created_at = row::time(row, "created_at")?;
    Ok(match row::parsed(row, "id")? {
        PrincipalId::User(id) => Principal::User(User {
            id,
            name,
            role: row::parsed(row, "role")?,
            disabled: row::flag(row, "disabled")?,
            created_at,
        }),
        PrincipalId::Team(id) => Principal::Team(Team { id, name, created_at }),
    })
}
