//! The options of a VM, and how its service is.

use model::{ProgramEnd, RestartPolicy, ServiceAsk, ServiceSeen, ServiceState, VmOptions};

use super::{field, text};
use crate::WireError;
use crate::proto::host as raw;

pub(super) fn raw(options: &VmOptions) -> raw::VmOptions {
    let service = &options.service;
    raw::VmOptions {
        service: Some(raw::Service {
            enabled: service.enabled,
            command: service
                .command
                .clone()
                .map(|arguments| raw::Command { arguments }),
            restart: service.restart.to_string(),
        }),
        user_cas: options.user_cas.iter().map(ToString::to_string).collect(),
        image_keys: options.image_keys,
        console: options.console,
    }
}

pub(super) fn read(options: raw::VmOptions) -> Result<VmOptions, WireError> {
    Ok(VmOptions {
        service: options.service.map(service).transpose()?.unwrap_or_default(),
        user_cas: options
            .user_cas
            .iter()
            .map(|key| text("body.options.user_cas", key))
            .collect::<Result<_, _>>()?,
        image_keys: options.image_keys,
        console: options.console,
    })
}

fn service(service: raw::Service) -> Result<ServiceAsk, WireError> {
    Ok(ServiceAsk {
        enabled: service.enabled,
        command: service.command.map(|command| command.arguments),
        restart: match service.restart.as_str() {
            "" => RestartPolicy::default(),
            word => text("body.options.service.restart", word)?,
        },
    })
}

pub(super) fn raw_service(seen: &ServiceSeen) -> raw::ServiceReport {
    use raw::service_report::End;
    let state = match seen.state {
        ServiceState::Running => raw::ServiceState::Running,
        ServiceState::BackingOff => raw::ServiceState::BackingOff,
        ServiceState::Ended => raw::ServiceState::Ended,
        ServiceState::Failed => raw::ServiceState::Failed,
    };
    raw::ServiceReport {
        state: state.into(),
        end: seen.exit.map(|end| match end {
            ProgramEnd::Exited(status) => End::Exited(status),
            ProgramEnd::Killed(signal) => End::Killed(signal),
        }),
        restarts: seen.restarts,
        message: seen.message.clone(),
    }
}

pub(super) fn read_service(report: raw::ServiceReport) -> Result<ServiceSeen, WireError> {
    use raw::service_report::End;
    Ok(ServiceSeen {
        state: match report.state() {
            raw::ServiceState::Running => ServiceState::Running,
            raw::ServiceState::BackingOff => ServiceState::BackingOff,
            raw::ServiceState::Ended => ServiceState::Ended,
            raw::ServiceState::Failed => ServiceState::Failed,
            raw::ServiceState::Unspecified => return Err(field("vms.service.state", &report.state)),
        },
        exit: report.end.map(|end| match end {
            End::Exited(status) => ProgramEnd::Exited(status),
            End::Killed(signal) => ProgramEnd::Killed(signal),
        }),
        restarts: report.restarts,
        message: report.message,
    })
}
