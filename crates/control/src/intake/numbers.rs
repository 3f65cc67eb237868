//! Numbers of a report, before they are believed.

use wire::host::HostReport;

/// No number that rises by one comes near this in the life of an installation (one per nanosecond takes 146 years).
/// A host that reports more is broken, and raising our own above would leave no room to rise.
const LIMIT: u64 = 1 << 62;

/// Whether all numbers of a report leave room to rise above them.
pub(super) fn are_possible(report: &HostReport) -> bool {
    let capacity = report.capacity.unwrap_or_default();
    let refused = report.refusal.as_ref().map_or(0, |refusal| refusal.plan);
    let own = [
        report.start,
        report.number,
        report.plan,
        refused,
        capacity.memory_bytes,
        capacity.disk_bytes,
    ];
    own.iter().all(|number| *number < LIMIT)
        && report.vms.iter().all(|vm| {
            let seen = &vm.seen;
            let of_body = vm.body.as_ref().map_or([0; 4], |body| {
                [body.boot, body.rootfs, body.memory.bytes(), body.disk.bytes()]
            });
            [
                seen.placement,
                seen.accepted,
                seen.settled,
                seen.boot,
                seen.rootfs,
            ]
            .iter()
            .chain(&of_body)
            .all(|number| *number < LIMIT)
        })
}
