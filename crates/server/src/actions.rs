//! `/v1/vms/{vm}/restart`, `rebuild`, `resize`, `extend` and `lease`.

use axum::extract::{Path, State};
use control::Control;
use model::ByteSize;

use crate::auth::Signed;
use crate::body::Body;
use crate::if_match::{Answer, shown};
use crate::vms::{at, credentials};

pub(crate) async fn restart(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
) -> Answer {
    let vm = control.vm_restart(&caller, &vm.parse()?).await?;
    Ok(shown(vm))
}

pub(crate) async fn rebuild(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Body(wish): Body<api::RebuildVm>,
) -> Answer {
    let wish = control::RebuildVm {
        image: wish.image.map(|image| at("/image", image.parse())).transpose()?,
        registry_auth: wish.registry_auth.map(credentials),
    };
    let vm = control.vm_rebuild(&caller, &vm.parse()?, wish).await?;
    Ok(shown(vm))
}

pub(crate) async fn extend(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Body(wish): Body<api::ExtendVm>,
) -> Answer {
    let vm = control.vm_extend(&caller, &vm.parse()?, wish.seconds).await?;
    Ok(shown(vm))
}

pub(crate) async fn lease(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
) -> Answer {
    let vm = control.vm_lease(&caller, &vm.parse()?).await?;
    Ok(shown(vm))
}

pub(crate) async fn resize(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Body(wish): Body<api::ResizeVm>,
) -> Answer {
    let wish = control::ResizeVm {
        cpus: wish.cpus,
        memory: wish.memory_bytes.map(ByteSize::from_bytes),
        disk: wish.disk_bytes.map(ByteSize::from_bytes),
        restart: wish.restart,
    };
    let vm = control.vm_resize(&caller, &vm.parse()?, wish).await?;
    Ok(shown(vm))
}
