//! The names under which a broker knows the post, fixed since the system's first version so that whoever listened
//! then still hears.

use model::{HostId, Status};

/// The durable topic exchange that everything passes.
pub const EXCHANGE: &str = "pitwall.orchestration";

/// Where the health of hosts is told.
pub const HEALTH: &str = "orchestrator.health";

/// Where plans for a host go.
pub fn plan(host: HostId) -> String {
    format!("orchestrator.plan.{host}")
}

/// Where reports of a host come from.
pub fn report(host: HostId) -> String {
    format!("orchestrator.report.{host}")
}

/// Where a change to a status is told.
pub fn status(status: Status) -> String {
    format!("orchestrator.vm.status.{status}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_known_ones() {
        let host = HostId::from_random([0; 16]);
        assert_eq!(plan(host), "orchestrator.plan.host_00000000000000000000000000");
        assert_eq!(
            report(host),
            "orchestrator.report.host_00000000000000000000000000"
        );
        assert_eq!(status(Status::Running), "orchestrator.vm.status.RUNNING");
    }
}
