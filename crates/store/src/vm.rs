//! VMs as they were asked for, read together with what was seen of them and with the host they are on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{
    Asked, ByteSize, Capacity, HostId, HostName, Power, PrincipalId, PrincipalName, PublicKey, RequestId,
    Right, Seen, UserId, VmBody, VmId, VmName,
};

use crate::life::{bind_life, life};
use crate::sql::{Query, Row, query};
use crate::{Life, Read, StoreError, Write, row};

/// A VM as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// What was asked of it.
    pub asked: Asked,
    /// The request that asked for it as it is now, where somebody did.
    pub request: Option<RequestId>,
    /// Who owns it.
    pub owner: Owner,
    /// What the one who asks for it may do with it, where that was looked up. No row holds it.
    pub access: Option<Right>,
    /// The keys of this VM alone. Those it accepts, in what was asked, are these and the keys of its people.
    pub own_keys: Vec<PublicKey>,
    /// Whether the keys of its owner's account open it.
    pub account_keys: bool,
    /// What its people call it besides its name.
    pub labels: BTreeMap<String, String>,
    /// How long it lives.
    pub life: Life,
    /// The host it is placed on.
    pub host: HostId,
    /// When it was created or adopted.
    pub created_at: Timestamp,
    /// What was seen of it last, whichever placement that speaks of; its stage is never kept.
    pub seen: Option<Seen>,
    /// The host's name.
    pub host_name: HostName,
    /// Whether the host is silent.
    pub host_silent: bool,
}

/// Who owns a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The user or team.
    pub id: PrincipalId,
    /// Its name.
    pub name: PrincipalName,
    /// Whether it is a user who was disabled; then what it owns does not run.
    pub disabled: bool,
}

/// A VM to be kept.
#[derive(Debug, Clone)]
pub struct NewVm<'a> {
    /// What is asked of it.
    pub asked: &'a Asked,
    /// The request that asks for it.
    pub request: Option<&'a RequestId>,
    /// Who owns it.
    pub owner: PrincipalId,
    /// The keys of this VM alone.
    pub own_keys: &'a [PublicKey],
    /// Whether the keys of its owner's account open it.
    pub account_keys: bool,
    /// The host it is placed on.
    pub host: HostId,
    /// What its people call it besides its name.
    pub labels: &'a BTreeMap<String, String>,
    /// How long it lives.
    pub life: &'a Life,
    /// When it was created or adopted.
    pub created_at: Timestamp,
}

impl<'a> NewVm<'a> {
    /// A VM to be kept as it is here; what was seen of it is kept apart.
    pub const fn of(vm: &'a Vm) -> Self {
        Self {
            asked: &vm.asked,
            request: vm.request.as_ref(),
            owner: vm.owner.id,
            own_keys: vm.own_keys.as_slice(),
            account_keys: vm.account_keys,
            host: vm.host,
            labels: &vm.labels,
            life: &vm.life,
            created_at: vm.created_at,
        }
    }
}

/// The rows that [`vm`] reads, with a tail that says which.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT vms.*, seen.seen AS seen, hosts.name AS host_name, hosts.silent AS host_silent, ",
            "owners.name AS owner_name, owners.disabled AS owner_disabled FROM vms ",
            "JOIN hosts ON hosts.id = vms.host JOIN principals AS owners ON owners.id = vms.owner ",
            "LEFT JOIN seen ON seen.vm = vms.id ",
            $tail
        )
    };
}

pub(crate) use select;

impl Read {
    /// A VM by its id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_fetch(&mut self, id: VmId) -> Result<Option<Vm>, StoreError> {
        let found = query(select!("WHERE vms.id = $1"))
            .bind(id.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a VM"))?;
        found.as_ref().map(vm).transpose()
    }

    /// VMs by their ids, those that there are.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_list_by_id(&mut self, ids: &[VmId]) -> Result<Vec<Vm>, StoreError> {
        let mut vms = Vec::with_capacity(ids.len());
        for id in ids {
            vms.extend(self.vm_fetch(*id).await?);
        }
        Ok(vms)
    }

    /// The VM that somebody calls by a name: the one that is not being removed, else the newest that is.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_fetch_by_name(
        &mut self,
        owner: PrincipalId,
        name: &VmName,
    ) -> Result<Option<Vm>, StoreError> {
        const SQL: &str = select!(
            "WHERE vms.owner = $1 AND vms.name = $2 ORDER BY vms.remove, vms.created_at DESC, vms.id DESC LIMIT 1"
        );
        let found = query(SQL)
            .bind(owner.to_string())
            .bind(name.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a VM by its name"))?;
        found.as_ref().map(vm).transpose()
    }

    /// Whether somebody has a VM of a name that was not asked to go.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_name_is_taken(&mut self, owner: PrincipalId, name: &VmName) -> Result<bool, StoreError> {
        let found = query("SELECT 1 FROM vms WHERE owner = $1 AND name = $2 AND remove = 0")
            .bind(owner.to_string())
            .bind(name.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("look for a VM of a name"))?;
        Ok(found.is_some())
    }

    /// So many of the VMs that have a name, whoever owns them: those on their way out last.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_list_by_name(&mut self, name: &VmName, limit: u32) -> Result<Vec<Vm>, StoreError> {
        const SQL: &str =
            select!("WHERE vms.name = $1 ORDER BY vms.remove, vms.created_at DESC, vms.id DESC LIMIT $2");
        let rows = query(SQL)
            .bind(name.as_str())
            .bind(i64::from(limit))
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the VMs of a name"))?;
        rows.iter().map(vm).collect()
    }

    /// The same of those that a user may use. It costs what that user has, and not how many have a VM of that name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_list_by_name_of_user(
        &mut self,
        name: &VmName,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<Vm>, StoreError> {
        const SQL: &str = select!(
            "WHERE vms.id IN (\
             SELECT owned.id FROM vms AS owned WHERE owned.name = $1 AND owned.owner IN (\
             SELECT $2 UNION SELECT team FROM members WHERE user_id = $2) \
             UNION SELECT shared.id FROM shares JOIN vms AS shared ON shared.id = shares.vm \
             WHERE shared.name = $1 AND shares.principal IN (\
             SELECT $2 UNION SELECT team FROM members WHERE user_id = $2)) \
             ORDER BY vms.remove, vms.created_at DESC, vms.id DESC LIMIT $3"
        );
        let rows = query(SQL)
            .bind(name.as_str())
            .bind(user.to_string())
            .bind(i64::from(limit))
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the VMs of a name"))?;
        rows.iter().map(vm).collect()
    }

    /// All VMs, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_list(&mut self) -> Result<Vec<Vm>, StoreError> {
        let rows = query(select!("ORDER BY vms.created_at, vms.id"))
            .long()
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the VMs"))?;
        rows.iter().map(vm).collect()
    }

    /// The VMs of a host, by id: the order of a plan.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_list_of_host(&mut self, host: HostId) -> Result<Vec<Vm>, StoreError> {
        let rows = query(select!("WHERE vms.host = $1 ORDER BY vms.id"))
            .long()
            .bind(host.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the VMs of a host"))?;
        rows.iter().map(vm).collect()
    }

    /// How many VMs are asked for on each host that has any; those that are being removed count until they are gone.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_count_by_host(&mut self) -> Result<BTreeMap<HostId, u64>, StoreError> {
        let rows = query("SELECT host, COUNT(*) AS count FROM vms GROUP BY host")
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("count the VMs of the hosts"))?;
        rows.iter().map(row::count_of_host).collect()
    }

    /// What was asked on each host, summed; those that are being removed count until they are gone.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_sum_by_host(&mut self) -> Result<BTreeMap<HostId, Capacity>, StoreError> {
        let rows = query("SELECT id, booked_cpus, booked_memory_bytes, booked_disk_bytes FROM hosts")
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read what is asked of the hosts"))?;
        rows.iter().map(booked).collect()
    }
}

impl Write {
    /// Keeps a new VM, and adds what is asked of it to the sum of its host.
    ///
    /// # Errors
    /// The name or id is taken, the host is unknown, or the database refuses.
    pub async fn vm_insert(&mut self, new: &NewVm<'_>) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO vms (placement, generation, remove, name, image, cpus, memory_bytes, \
             disk_bytes, power, boot, rootfs, authorized_keys, needs, options, registry_secret, barred, idle_after, \
             request, id, ttl, expires_at, grace, stopped_at, warned, lease, owner, own_keys, account_keys, host, labels, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
             $22, $23, $24, $25, $26, $27, $28, $29, $30, $31)";
        bind_life(bind_asked(query(SQL), new.asked, new.request)?, new.life)?
            .bind(new.owner.to_string())
            .bind(row::keep_document("own_keys", &new.own_keys)?)
            .bind(i64::from(new.account_keys))
            .bind(new.host.to_string())
            .bind(row::keep_document("labels", new.labels)?)
            .bind(new.created_at.as_millisecond())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep a new VM"))?;
        self.vm_labels_insert(new.asked.id, new.labels).await?;
        self.book(new.asked.id, Booking::Add).await
    }

    /// Adds what is asked of a VM to the sum of its host, or takes it away. Summing all of them for each new one would
    /// cost milliseconds among thousands.
    async fn book(&mut self, id: VmId, booking: Booking) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE hosts SET booked_cpus = booked_cpus + $1 * vms.cpus, \
             booked_memory_bytes = booked_memory_bytes + $1 * vms.memory_bytes, \
             booked_disk_bytes = booked_disk_bytes + $1 * vms.disk_bytes \
             FROM vms WHERE vms.id = $2 AND hosts.id = vms.host";
        let sign: i64 = match booking {
            Booking::Add => 1,
            Booking::Subtract => -1,
        };
        query(SQL)
            .bind(sign)
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("book what is asked of a host"))?;
        Ok(())
    }

    /// Gives a VM to somebody.
    ///
    /// # Errors
    /// The new owner has a VM of that name, or the database refuses.
    pub async fn vm_owner_update(&mut self, id: VmId, owner: PrincipalId) -> Result<(), StoreError> {
        query("UPDATE vms SET owner = $1 WHERE id = $2")
            .bind(owner.to_string())
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("give a VM to somebody"))?;
        Ok(())
    }

    /// Changes the keys of a VM alone.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn vm_own_keys_update(&mut self, id: VmId, keys: &[PublicKey]) -> Result<(), StoreError> {
        query("UPDATE vms SET own_keys = $1 WHERE id = $2")
            .bind(row::keep_document("own_keys", &keys)?)
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("change the keys of a VM"))?;
        Ok(())
    }

    /// Changes what is asked of a VM, and which request asked for that.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn vm_asked_update(
        &mut self,
        asked: &Asked,
        request: Option<&RequestId>,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE vms SET placement = $1, generation = $2, remove = $3, name = $4, image = $5, \
             cpus = $6, memory_bytes = $7, disk_bytes = $8, power = $9, boot = $10, rootfs = $11, \
             authorized_keys = $12, needs = $13, options = $14, registry_secret = $15, barred = $16, idle_after = $17, \
             request = $18 WHERE id = $19";
        self.book(asked.id, Booking::Subtract).await?;
        bind_asked(query(SQL), asked, request)?
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("change what is asked of a VM"))?;
        self.book(asked.id, Booking::Add).await
    }

    /// Forgets a VM that is gone, with what was seen of it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn vm_delete(&mut self, id: VmId) -> Result<(), StoreError> {
        self.book(id, Booking::Subtract).await?;
        query("DELETE FROM vms WHERE id = $1")
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget a VM"))?;
        Ok(())
    }
}

/// Binds `$1` to `$19`: everything asked, the request that asked for it, then the id.
/// What happens to the sum of a host.
#[derive(Debug, Clone, Copy)]
enum Booking {
    Add,
    Subtract,
}

fn bind_asked(query: Query, asked: &Asked, request: Option<&RequestId>) -> Result<Query, StoreError> {
    let body = &asked.body;
    Ok(query
        .bind(row::keep("placement", asked.placement)?)
        .bind(row::keep("generation", asked.generation)?)
        .bind(i64::from(asked.remove))
        .bind(body.name.to_string())
        .bind(body.image.to_string())
        .bind(i64::from(body.cpus))
        .bind(row::keep("memory_bytes", body.memory.bytes())?)
        .bind(row::keep("disk_bytes", body.disk.bytes())?)
        .bind(power_text(body.power))
        .bind(row::keep("boot", body.boot)?)
        .bind(row::keep("rootfs", body.rootfs)?)
        .bind(row::keep_document("authorized_keys", &body.authorized_keys)?)
        .bind(row::keep_document("needs", &body.needs)?)
        .bind(row::keep_document("options", &body.options)?)
        .bind(
            body.registry_secret
                .map(|secret| row::keep_document("registry_secret", &secret))
                .transpose()?,
        )
        .bind(row::keep_document("barred", &body.barred)?)
        .bind(
            body.idle_after
                .map(|seconds| row::keep("idle_after", seconds))
                .transpose()?,
        )
        .bind(request.map(ToString::to_string))
        .bind(asked.id.to_string()))
}

pub(crate) fn vm(row: &Row) -> Result<Vm, StoreError> {
    Ok(Vm {
        asked: asked(row)?,
        request: row::parsed_or_none(row, "request")?,
        owner: Owner {
            id: row::parsed(row, "owner")?,
            name: row::parsed(row, "owner_name")?,
            disabled: row::flag(row, "owner_disabled")?,
        },
        access: None,
        own_keys: row::document(row, "own_keys")?,
        account_keys: row::flag(row, "account_keys")?,
        labels: row::document(row, "labels")?,
        life: life(row)?,
        host: row::parsed(row, "host")?,
        created_at: row::time(row, "created_at")?,
        seen: row::document_or_none(row, "seen")?,
        host_name: row::parsed(row, "host_name")?,
        host_silent: row::flag(row, "host_silent")?,
    })
}

fn asked(row: &Row) -> Result<Asked, StoreError> {
    let body = VmBody {
        name: row::parsed(row, "name")?,
        image: row::parsed(row, "image")?,
        cpus: row::small(row, "cpus")?,
        memory: ByteSize::from_bytes(row::number(row, "memory_bytes")?),
        disk: ByteSize::from_bytes(row::number(row, "disk_bytes")?),
        power: power(&row::text(row, "power")?)?,
        boot: row::number(row, "boot")?,
        rootfs: row::number(row, "rootfs")?,
        authorized_keys: row::document(row, "authorized_keys")?,
        needs: row::document(row, "needs")?,
        options: row::document(row, "options")?,
        barred: row::document(row, "barred")?,
        idle_after: row::number_or_none(row, "idle_after")?,
        registry_secret: row::document_or_none(row, "registry_secret")?,
    };
    Ok(Asked {
        id: row::parsed(row, "id")?,
        placement: row::number(row, "placement")?,
        generation: row::number(row, "generation")?,
        remove: row::flag(row, "remove")?,
        body,
    })
}

fn booked(row: &Row) -> Result<(HostId, Capacity), StoreError> {
    let capacity = Capacity {
        cpus: row::small(row, "booked_cpus")?,
        memory_bytes: row::number(row, "booked_memory_bytes")?,
        disk_bytes: row::number(row, "booked_disk_bytes")?,
    };
    Ok((row::parsed(row, "id")?, capacity))
}

const fn power_text(power: Power) -> &'static str {
    match power {
        Power::On => "on",
        Power::Off => "off",
    }
}

/// A word that is no power.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither on nor off")]
struct NoPower(String);

fn power(text: &str) -> Result<Power, StoreError> {
    match text {
        "on" => Ok(Power::On),
        "off" => Ok(Power::Off),
        other => Err(row::damaged("power")(NoPower(other.to_owned()))),
    }
}
