//! With whom VMs are shared, and what that and owning them lets somebody do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{PrincipalId, PrincipalName, Right, UserId, VmId};

use crate::sql::{Builder, Row, query};
use crate::{Read, StoreError, Write, row};

/// A VM is shared with somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The VM.
    pub vm: VmId,
    /// With whom.
    pub principal: PrincipalId,
    /// Its name.
    pub principal_name: PrincipalName,
    /// What that one may do.
    pub right: Right,
    /// Since when.
    pub added_at: Timestamp,
}

impl Read {
    /// The most that a user may do with a VM, as its owner, in a team or by a share; `None` where that is nothing. What
    /// admins may do is another matter.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn right_fetch(&mut self, vm: VmId, user: UserId) -> Result<Option<Right>, StoreError> {
        const SQL: &str = "\
            SELECT 'own' AS access FROM vms WHERE id = $1 AND owner = $2 \
            UNION ALL \
            SELECT CASE members.role WHEN 'owner' THEN 'own' ELSE 'manage' END FROM vms \
            JOIN members ON members.team = vms.owner WHERE vms.id = $1 AND members.user_id = $2 \
            UNION ALL \
            SELECT access FROM shares WHERE vm = $1 AND (principal = $2 \
            OR principal IN (SELECT team FROM members WHERE user_id = $2))";
        let rows = query(SQL)
            .bind(vm.to_string())
            .bind(user.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read what somebody may do with a VM"))?;
        let rights = rows
            .iter()
            .map(|row| row::parsed(row, "access"))
            .collect::<Result<Vec<Right>, _>>()?;
        Ok(rights.into_iter().max())
    }

    /// The same of several VMs. Those that the user may do nothing with are left out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn right_list(
        &mut self,
        vms: &[VmId],
        user: UserId,
    ) -> Result<BTreeMap<VmId, Right>, StoreError> {
        if vms.is_empty() {
            return Ok(BTreeMap::new());
        }
        let user = user.to_string();
        let mut query = Builder::new("SELECT vms.id, 'own' AS access FROM vms WHERE vms.owner = ");
        query.push_bind(&user);
        among(query.push(" AND vms.id IN "), vms);
        query.push(
            " UNION ALL SELECT vms.id, CASE members.role WHEN 'owner' THEN 'own' ELSE 'manage' END FROM vms \
             JOIN members ON members.team = vms.owner WHERE members.user_id = ",
        );
        query.push_bind(&user);
        among(query.push(" AND vms.id IN "), vms);
        query.push(" UNION ALL SELECT vm, access FROM shares WHERE (principal = ");
        query.push_bind(&user);
        query.push(" OR principal IN (SELECT team FROM members WHERE user_id = ");
        query.push_bind(&user);
        among(query.push(")) AND vm IN "), vms);
        let rows = query
            .build()
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read what somebody may do with some VMs"))?;
        let mut rights = BTreeMap::new();
        for row in &rows {
            let (vm, right): (VmId, Right) = (row::parsed(row, "id")?, row::parsed(row, "access")?);
            let most = rights.entry(vm).or_insert(right);
            *most = right.max(*most);
        }
        Ok(rights)
    }

    /// With whom a VM is shared, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn share_list_of_vm(&mut self, vm: VmId) -> Result<Vec<Share>, StoreError> {
        let rows = query(
            "SELECT shares.*, principals.name AS principal_name FROM shares \
             JOIN principals ON principals.id = shares.principal WHERE shares.vm = $1 ORDER BY principals.name",
        )
        .bind(vm.to_string())
        .fetch_all(self.connection())
        .await
        .map_err(StoreError::sql("read with whom a VM is shared"))?;
        rows.iter().map(share).collect()
    }

    /// The VMs that somebody's keys open: those it owns or that are shared with it, and those of its teams.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_ids_of_principal(&mut self, principal: PrincipalId) -> Result<Vec<VmId>, StoreError> {
        const SQL: &str = "\
            WITH of_principal (id) AS (SELECT $1 UNION SELECT team FROM members WHERE user_id = $1) \
            SELECT id FROM vms WHERE owner IN (SELECT id FROM of_principal) \
            UNION SELECT vm FROM shares WHERE principal IN (SELECT id FROM of_principal)";
        let rows = query(SQL)
            .bind(principal.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the VMs of somebody"))?;
        rows.iter().map(|row| row::parsed(row, "id")).collect()
    }

    /// The VMs that somebody owns, those on their way out included, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_ids_of_owner(&mut self, owner: PrincipalId) -> Result<Vec<VmId>, StoreError> {
        let rows = query("SELECT id FROM vms WHERE owner = $1 ORDER BY created_at, id")
            .bind(owner.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read what somebody owns"))?;
        rows.iter().map(|row| row::parsed(row, "id")).collect()
    }

    /// How many VMs somebody owns, those on their way out included.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_count_of_owner(&mut self, owner: PrincipalId) -> Result<u64, StoreError> {
        let row = query("SELECT COUNT(*) AS vms FROM vms WHERE owner = $1")
            .bind(owner.to_string())
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::sql("count the VMs of somebody"))?;
        let count = row.number("vms").map_err(row::damaged("vms"))?;
        u64::try_from(count).map_err(row::damaged("vms"))
    }
}

impl Write {
    /// Shares a VM with somebody, or changes what that one may do.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn share_put(
        &mut self,
        vm: VmId,
        principal: PrincipalId,
        right: Right,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO shares (vm, principal, access, added_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (vm, principal) DO UPDATE SET access = excluded.access",
        )
        .bind(vm.to_string())
        .bind(principal.to_string())
        .bind(right.as_str())
        .bind(at.as_millisecond())
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("share a VM"))?;
        Ok(())
    }

    /// Shares a VM with somebody no more.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn share_delete(&mut self, vm: VmId, principal: PrincipalId) -> Result<(), StoreError> {
        query("DELETE FROM shares WHERE vm = $1 AND principal = $2")
            .bind(vm.to_string())
            .bind(principal.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("end a share"))?;
        Ok(())
    }
}

fn among(query: &mut Builder, vms: &[VmId]) {
    query
        .push("(")
        .push_list(vms.iter().map(ToString::to_string))
        .push(")");
}

fn share(row: &Row) -> Result<Share, StoreError> {
    Ok(Share {
        vm: row::parsed(row, "vm")?,
        principal: row::parsed(row, "principal")?,
        principal_name: row::parsed(row, "principal_name")?,
        right: row::parsed(row, "access")?,
        added_at: row::time(row, "added_at")?,
    })
}
