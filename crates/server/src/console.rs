//! `/v1/vms/{vm}/console`.

use api::ConsoleQuery;
use axum::extract::{Path, State};
use axum::response::Response;
use control::{Control, Operation, StreamRequest, VmSelector};

use crate::access::{while_open, withdrawn};
use crate::auth::Signed;
use crate::flows::Flows;
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::relay::{Relays, Upgrade};

pub(crate) async fn of_vm(
    State(control): State<Control>,
    State(relays): State<Relays>,
    State(flows): State<Flows>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Asked(query): Asked<ConsoleQuery>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let vm = control
        .vm_meant(&caller, &vm.parse()?, Operation::VmConsole)
        .await?;
    let upgrade = upgrade.ready()?;
    let open = flows.open(caller.user)?;
    let request = StreamRequest::Console {
        interactive: !query.read_only,
    };
    let stream = control.vm_stream(&caller, &VmSelector::Id(vm), request).await?;
    let withdrawn = while_open(open, withdrawn(&control, &caller, vm, Operation::VmConsole));
    Ok(relays.upgrade(upgrade, stream, withdrawn))
}
