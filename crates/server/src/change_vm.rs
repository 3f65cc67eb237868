//! The merge patch of a VM, turned into values, each refused at its own place.

use control::{ChangeService, ChangeVm};
use model::Problem;

use crate::vms::{at, keys};

pub(crate) fn understood(wish: api::ChangeVm) -> Result<ChangeVm, Problem> {
    let lines =
        |pointer: &str, lines: Option<Vec<String>>| lines.map(|lines| keys(pointer, &lines)).transpose();
    Ok(ChangeVm {
        keys: lines("/keys", wish.keys)?,
        labels: wish.labels,
        user_cas: lines("/user_cas", wish.user_cas)?,
        image_keys: wish.image_keys,
        console: wish.console,
        service: service(wish.service.unwrap_or_default())?,
    })
}

fn service(wish: api::ChangeService) -> Result<ChangeService, Problem> {
    let restart = wish.restart.map(|word| at("/service/restart", word.parse()));
    Ok(ChangeService {
        enabled: wish.enabled,
        command: wish.command,
        restart: restart.transpose()?,
    })
}
