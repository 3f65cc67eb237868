//! What was found on hosts: adopting it, or asking for it to go. Neither restarts anything.

use model::{
    Asked, ByteSize, HostId, ImageRefError, NameError, Power, Problem, ProblemCode, VmBody, VmId, VmName,
};
use store::{Found, Life, NewVm, Owner, Vm};

use crate::change::Change;
use crate::create::{announce_new, name_is_free};
use crate::host::host_find;
use crate::page::Paging;
use crate::{
    Caller, Control, Error, EventKind, FoundView, HostSelector, Operation, Page, PageRequest, VmView,
};

impl Control {
    /// What was found on a host, by id.
    ///
    /// # Errors
    /// There is no such host, or the cursor is none of this list.
    pub async fn host_found(
        &self,
        caller: &Caller,
        host: &HostSelector,
        page: &PageRequest,
    ) -> Result<Page<FoundView>, Error> {
        caller.may_ask_for(Operation::HostFoundList)?;
        let mut read = self.inner.store.read().await?;
        let host = host_find(&mut read, host).await?;
        let (paging, behind) =
            Paging::of::<String>(caller, Operation::HostFoundList, &host.id.to_string(), page)?;
        let observed_at = self.inner.heard.at(&host);
        let found = read.found_list_of_host(host.id).await?;
        let page = paging.page_of_all(found, behind.as_ref(), |found| found.vm.to_string())?;
        Ok(page.map(|found| FoundView {
            vm: found.vm,
            host: host.id,
            host_name: host.name.clone(),
            seen: found.seen,
            body: found.body,
            observed_at,
        }))
    }

    /// Asks from now on for what was found, just as its host holds it: same boot, same root file system, same power,
    /// so nothing is restarted. `name` gives it another name.
    ///
    /// # Errors
    /// It was not found there, another VM has the name, or the host cannot tell any more what it is.
    pub async fn found_adopt(
        &self,
        caller: &Caller,
        host: &HostSelector,
        vm: VmId,
        name: Option<VmName>,
    ) -> Result<VmView, Error> {
        let mut change = self.change_by(caller, Operation::HostFoundAdopt).await?;
        change.about(vm);
        let found = found_find(&mut change, host, vm).await?;
        let Some(mut body) = found.body.clone() else {
            return Err(Problem::new(
                ProblemCode::WrongStatus,
                format!("{vm} cannot be adopted: its host cannot read any more what was asked of it"),
            )
            .hint("remove it (pwctl host rm)")
            .into());
        };
        body.name = name.unwrap_or(body.name);
        name_is_free(&mut change, caller.user.into(), &body.name, "/name").await?;
        body.boot = body.boot.max(found.seen.boot);
        body.rootfs = body.rootfs.max(found.seen.rootfs);
        let adopted = self.found_ask(caller, change, &found, body, false).await?;
        tracing::info!(vm.id = %vm, host.id = %found.host, token.id = %caller.token, "found vm adopted");
        Ok(adopted)
    }

    /// Asks for what was found to go.
    ///
    /// # Errors
    /// It was not found there.
    pub async fn found_remove(
        &self,
        caller: &Caller,
        host: &HostSelector,
        vm: VmId,
    ) -> Result<VmView, Error> {
        let mut change = self.change_by(caller, Operation::HostFoundDelete).await?;
        change.about(vm);
        let found = found_find(&mut change, host, vm).await?;
        let body = match found.body.clone() {
            Some(body) => body,
            None => stand_in(vm)?,
        };
        let removed = self.found_ask(caller, change, &found, body, true).await?;
        tracing::info!(vm.id = %vm, host.id = %found.host, token.id = %caller.token, "found vm asked to go");
        Ok(removed)
    }

    /// Keeps the wish for one that was found; it is the caller's from now on. Its generation is above the one its host holds, its placement the one
    /// it has there.
    async fn found_ask(
        &self,
        caller: &Caller,
        mut change: Change,
        found: &Found,
        body: VmBody,
        remove: bool,
    ) -> Result<VmView, Error> {
        let asked = Asked {
            id: found.vm,
            placement: found.seen.placement,
            generation: found.seen.accepted + 1,
            remove,
            body,
        };
        let host = host_find(&mut change, &found.host.into()).await?;
        let adopted = EventKind::Adopted {
            name: asked.body.name.clone(),
            host: found.host,
        };
        let vm = Vm {
            own_keys: asked.body.authorized_keys.clone(),
            asked,
            request: caller.origin.request.clone(),
            owner: Owner {
                id: caller.user.into(),
                name: caller.name.clone(),
                disabled: false,
            },
            access: None,
            account_keys: true,
            labels: [].into(),
            life: Life::default(),
            host: found.host,
            created_at: change.now,
            seen: Some(found.seen.clone()),
            host_name: host.name,
            host_silent: host.silent,
        };
        change.vm_insert(&NewVm::of(&vm)).await?;
        change
            .seen_put(&[(found.vm, found.seen.clone())], vm.created_at)
            .await?;
        change.found_delete(found.host, found.vm).await?;
        announce_new(&mut change, &vm, &adopted).await?;
        self.commit(change).await?;
        Ok(self.view(vm))
    }
}

async fn found_find(change: &mut Change, host: &HostSelector, vm: VmId) -> Result<Found, Error> {
    let host = host_find(change, host).await?;
    if change
        .vm_fetch(vm)
        .await?
        .is_some_and(|known| known.host != host.id)
    {
        return Err(Problem::new(
            ProblemCode::WrongStatus,
            format!("{vm} is asked for on another host, so this one's copy cannot be taken on"),
        )
        .into());
    }
    let asked_here = change.vm_fetch(vm).await?.is_some();
    let found = change.found_fetch(host.id, vm).await?.filter(|_| !asked_here);
    found.ok_or_else(|| not_found(host.id, vm).into())
}

fn not_found(host: HostId, vm: VmId) -> Problem {
    Problem::new(
        ProblemCode::NotFound,
        format!("nothing was found on {host} under the id {vm}"),
    )
    .hint("pwctl host found shows what was")
}

/// The stand-in wish cannot be made.
#[derive(Debug, thiserror::Error)]
enum StandIn {
    /// Its name.
    #[error("the stand-in for a damaged VM has no name")]
    Name(#[source] NameError),
    /// Its image.
    #[error("the stand-in for a damaged VM has no image")]
    Image(#[source] ImageRefError),
}

/// A wish for one whose own cannot be read, so that its removal can be said. It is never made: it only ever stands in
/// a plan with `remove`.
fn stand_in(vm: VmId) -> Result<VmBody, Error> {
    let name = vm.to_string().replace('_', "-");
    Ok(VmBody {
        name: name
            .parse()
            .map_err(|error| Error::internal(StandIn::Name(error)))?,
        image: "unknown"
            .parse()
            .map_err(|error| Error::internal(StandIn::Image(error)))?,
        cpus: 1,
        memory: ByteSize::from_bytes(0),
        disk: ByteSize::from_bytes(0),
        power: Power::Off,
        boot: 0,
        rootfs: 0,
        authorized_keys: Vec::new(),
        needs: [].into(),
        options: model::VmOptions::default(),
        registry_secret: None,
        barred: [].into(),
        idle_after: None,
    })
}
