//! The service: what is asked of it and how it is.

use model::{ProgramEnd, RestartPolicy, ServiceSeen, ServiceState};

use super::pb;
use crate::guest::{FrameError, Service};

impl From<Service> for pb::Service {
    fn from(service: Service) -> Self {
        let restart = match service.restart {
            RestartPolicy::No => pb::Restart::No,
            RestartPolicy::OnFailure => pb::Restart::OnFailure,
            RestartPolicy::Always => pb::Restart::Always,
        };
        Self {
            arguments: service.arguments,
            restart: restart.into(),
            stop_signal: service.stop_signal,
        }
    }
}

impl TryFrom<pb::Service> for Service {
    type Error = FrameError;

    fn try_from(service: pb::Service) -> Result<Self, FrameError> {
        if service.arguments.is_empty() {
            return Err(FrameError::Empty("service"));
        }
        Ok(Self {
            restart: match service.restart() {
                pb::Restart::No => RestartPolicy::No,
                pb::Restart::OnFailure | pb::Restart::Unspecified => RestartPolicy::OnFailure,
                pb::Restart::Always => RestartPolicy::Always,
            },
            arguments: service.arguments,
            stop_signal: service.stop_signal,
        })
    }
}

impl From<ServiceSeen> for pb::ServiceStatus {
    fn from(seen: ServiceSeen) -> Self {
        let state = match seen.state {
            ServiceState::Running => pb::ServiceState::Running,
            ServiceState::BackingOff => pb::ServiceState::BackingOff,
            ServiceState::Ended => pb::ServiceState::Ended,
            ServiceState::Failed => pb::ServiceState::Failed,
        };
        Self {
            state: state.into(),
            end: seen.exit.map(|end| pb::ProgramEnd {
                end: Some(match end {
                    ProgramEnd::Exited(status) => pb::program_end::End::Exited(status),
                    ProgramEnd::Killed(signal) => pb::program_end::End::Killed(signal),
                }),
            }),
            restarts: seen.restarts,
            message: seen.message.unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::ServiceStatus> for ServiceSeen {
    type Error = FrameError;

    fn try_from(status: pb::ServiceStatus) -> Result<Self, FrameError> {
        Ok(Self {
            state: match status.state() {
                pb::ServiceState::Running => ServiceState::Running,
                pb::ServiceState::BackingOff => ServiceState::BackingOff,
                pb::ServiceState::Ended => ServiceState::Ended,
                pb::ServiceState::Failed => ServiceState::Failed,
                pb::ServiceState::Unspecified => return Err(FrameError::Word("service state", status.state)),
            },
            exit: status.end.and_then(|end| end.end).map(|end| match end {
                pb::program_end::End::Exited(status) => ProgramEnd::Exited(status),
                pb::program_end::End::Killed(signal) => ProgramEnd::Killed(signal),
            }),
            restarts: status.restarts,
            message: Some(status.message).filter(|message| !message.is_empty()),
        })
    }
}
