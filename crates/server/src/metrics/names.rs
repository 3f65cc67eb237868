//! Every metric: its name and what it says. No label holds the name of a user or VM.

/// Requests by route, method and class of status, with how long they took until their answer began.
pub(super) const REQUEST_DURATION: (&str, &str) = (
    "pitwall_http_request_duration_seconds",
    "How long requests took until their answers began",
);
pub(super) const REQUESTS_IN_FLIGHT: (&str, &str) = (
    "pitwall_http_requests_in_flight",
    "Requests whose answers have not begun",
);
pub(super) const CONNECTIONS: (&str, &str) = ("pitwall_http_connections", "Connections that are open");
pub(super) const CONNECTIONS_REFUSED: (&str, &str) = (
    "pitwall_http_connections_refused_total",
    "Connections that were closed unheard because too many are open",
);
pub(super) const REQUESTS_LIMITED: (&str, &str) = (
    "pitwall_http_requests_limited_total",
    "Requests that were refused because of a rate, by whose it was",
);
pub(super) const VMS: (&str, &str) = ("pitwall_vms", "VMs by status");
pub(super) const HOSTS: (&str, &str) = (
    "pitwall_hosts",
    "Hosts by state: reporting, silent, or obeying another installation",
);
pub(super) const PLANS_PUBLISHED: (&str, &str) =
    ("pitwall_plans_published_total", "Plans that were sent to hosts");
pub(super) const REPORTS_TAKEN: (&str, &str) = (
    "pitwall_reports_taken_total",
    "Reports of hosts that were taken in",
);
pub(super) const FOLLOWERS: (&str, &str) = ("pitwall_event_followers", "Those who follow events");
pub(super) const COMMIT_DURATION: (&str, &str) = (
    "pitwall_store_commit_duration_seconds",
    "How long the database took to make a change last",
);
pub(super) const CENSUS_FAILURES: (&str, &str) = (
    "pitwall_census_failures_total",
    "Times that VMs and hosts could not be counted for this page",
);
pub(super) const BUILD: (&str, &str) = ("pitwall_build_info", "The version that runs");
pub(super) const RESIDENT_MEMORY: (&str, &str) = (
    "process_resident_memory_bytes",
    "Memory of the process that is in RAM",
);
pub(super) const CPU: (&str, &str) = (
    "process_cpu_seconds_total",
    "Processor time of the process, its own and the kernel's for it",
);
pub(super) const OPEN_FILES: (&str, &str) = ("process_open_fds", "File descriptors that are open");
