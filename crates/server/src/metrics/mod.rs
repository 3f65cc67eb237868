//! What is counted, and the page that shows it to Prometheus.
//!
//! Counters and durations are kept as things happen; VMs and hosts are counted, and the process looked at, when the page is
//! read. The page has a listener of its own, since it has no sign-in.
//!
//! What always holds: labels have few values, all from our own lists. A path stands as its route, a method that the API does
//! not have as `other`, and no label names a user, a VM or a host.

mod names;
mod page;
mod process;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use control::{Census, Meter};
use http::{Method, StatusCode};
use prometheus::{
    Counter, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use page::serve_metrics;

use self::process::Process;

/// From a request that touches nothing to the longest that may hang, in seconds.
const REQUEST_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// From a disk with a battery to one that is failing, in seconds.
const COMMIT_BUCKETS: &[f64] = &[
    0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// A metric could not be made or shown.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be made")]
pub struct MetricsError(#[from] prometheus::Error);

/// What is counted; clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    request_duration: HistogramVec,
    in_flight: IntGauge,
    connections: IntGauge,
    connections_refused: IntCounter,
    limited: IntCounterVec,
    vms: IntGaugeVec,
    hosts: IntGaugeVec,
    plans: IntCounter,
    reports: IntCounter,
    followers: IntGauge,
    commit_duration: Histogram,
    census_failures: IntCounter,
    resident: IntGauge,
    cpu: Counter,
    open_files: IntGauge,
    /// Held while the page is made, so that two readers do not mix their counts.
    making: Mutex<()>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(…)")
    }
}

fn opts((name, help): (&str, &str)) -> Opts {
    Opts::new(name, help)
}

impl Metrics {
    /// Metrics in which nothing was counted yet.
    ///
    /// # Errors
    /// Two metrics have one name, which a test rules out.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        macro_rules! registered {
            ($metric:expr) => {{
                let metric = $metric?;
                registry.register(Box::new(metric.clone()))?;
                metric
            }};
        }
        let build = registered!(IntGaugeVec::new(opts(names::BUILD), &["version"]));
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self(Arc::new(Inner {
            request_duration: registered!(HistogramVec::new(
                HistogramOpts::from(opts(names::REQUEST_DURATION)).buckets(REQUEST_BUCKETS.to_vec()),
                &["method", "route", "status"],
            )),
            in_flight: registered!(IntGauge::with_opts(opts(names::REQUESTS_IN_FLIGHT))),
            connections: registered!(IntGauge::with_opts(opts(names::CONNECTIONS))),
            connections_refused: registered!(IntCounter::with_opts(opts(names::CONNECTIONS_REFUSED))),
            limited: registered!(IntCounterVec::new(opts(names::REQUESTS_LIMITED), &["by"])),
            vms: registered!(IntGaugeVec::new(opts(names::VMS), &["status"])),
            hosts: registered!(IntGaugeVec::new(opts(names::HOSTS), &["state"])),
            plans: registered!(IntCounter::with_opts(opts(names::PLANS_PUBLISHED))),
            reports: registered!(IntCounter::with_opts(opts(names::REPORTS_TAKEN))),
            followers: registered!(IntGauge::with_opts(opts(names::FOLLOWERS))),
            commit_duration: registered!(Histogram::with_opts(
                HistogramOpts::from(opts(names::COMMIT_DURATION)).buckets(COMMIT_BUCKETS.to_vec()),
            )),
            census_failures: registered!(IntCounter::with_opts(opts(names::CENSUS_FAILURES))),
            resident: registered!(IntGauge::with_opts(opts(names::RESIDENT_MEMORY))),
            cpu: registered!(Counter::with_opts(opts(names::CPU))),
            open_files: registered!(IntGauge::with_opts(opts(names::OPEN_FILES))),
            making: Mutex::default(),
            registry,
        })))
    }

    /// Counts a request as under way for as long as what it gives lives.
    pub(crate) fn request_begins(&self) -> Under {
        Under::new(&self.0.in_flight)
    }

    /// Counts a connection as open for as long as what it gives lives.
    pub(crate) fn connection_opens(&self) -> Under {
        Under::new(&self.0.connections)
    }

    pub(crate) fn connection_refused(&self) {
        self.0.connections_refused.inc();
    }

    pub(crate) fn request_limited(&self, by: &str) {
        self.0.limited.with_label_values(&[by]).inc();
    }

    pub(crate) fn request_answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let labels = [method_word(method), route, status_class(status)];
        let duration = self.0.request_duration.with_label_values(&labels);
        duration.observe(took.as_secs_f64());
    }

    /// The page in Prometheus' text format (version 0.0.4). Without a census it shows no VMs and hosts.
    fn text(&self, census: Option<&Census>) -> Result<Vec<u8>, MetricsError> {
        let _making = self.0.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.vms.reset();
        self.0.hosts.reset();
        match census {
            None => self.0.census_failures.inc(),
            Some(census) => {
                for (status, count) in &census.vms {
                    self.0.vms.with_label_values(&[status.as_str()]).set(*count);
                }
                for (state, count) in &census.hosts {
                    self.0.hosts.with_label_values(&[state.as_str()]).set(*count);
                }
            }
        }
        let process = Process::now();
        self.0.resident.set(process.resident_bytes);
        self.0.open_files.set(process.open_files);
        self.0
            .cpu
            .inc_by((process.cpu_seconds - self.0.cpu.get()).max(0.0));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Meter for Metrics {
    fn plan_published(&self, _bytes: usize) {
        self.0.plans.inc();
    }

    fn report_taken(&self) {
        self.0.reports.inc();
    }

    fn committed(&self, took: Duration) {
        self.0.commit_duration.observe(took.as_secs_f64());
    }

    fn follower_came(&self) {
        self.0.followers.inc();
    }

    fn follower_left(&self) {
        self.0.followers.dec();
    }
}

/// Something that is under way until this is dropped.
pub(crate) struct Under(IntGauge);

impl Under {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Clients may write any word for a method.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.text(None).unwrap()).unwrap()
    }

    #[test]
    fn what_clients_choose_makes_no_new_labels() {
        let metrics = Metrics::new().unwrap();
        let took = Duration::from_millis(3);
        for number in 0..100 {
            let method = Method::from_bytes(format!("WORD{number}").as_bytes()).unwrap();
            metrics.request_answered(&method, "-", StatusCode::NOT_FOUND, took);
        }
        let text = text(&metrics);
        let counts: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("pitwall_http_request_duration_seconds_count"))
            .collect();
        let expected =
            r#"pitwall_http_request_duration_seconds_count{method="other",route="-",status="4xx"} 100"#;
        assert_eq!(counts, [expected]);
    }

    #[test]
    fn what_is_under_way_ends_with_its_guard() {
        let metrics = Metrics::new().unwrap();
        let under = metrics.request_begins();
        assert!(text(&metrics).contains("pitwall_http_requests_in_flight 1"));
        drop(under);
        assert!(text(&metrics).contains("pitwall_http_requests_in_flight 0"));
    }
}
