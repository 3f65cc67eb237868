//! The in-process link against the suite, and what is its own: the bound on calls that a host does not take.

use link::{Link, LinkError, conformance};
use model::{HostId, VmId};
use wire::link::LogRequest;

fn hosts() -> impl FnMut() -> HostId {
    let mut next = 0;
    move || {
        next += 1;
        HostId::from_random([next; 16])
    }
}

#[tokio::test]
async fn the_suite() {
    if let Err(broken) = conformance::all(&Link::in_process(), hosts()).await {
        panic!("{broken}");
    }
}

#[tokio::test]
async fn a_host_that_takes_no_calls_is_busy() {
    let link = Link::in_process();
    let (host, vm) = (hosts()(), VmId::from_random([1; 16]));
    let _calls = link.serve(host);
    let mut open = Vec::new();
    let refused = loop {
        match link.open_log(host, vm, LogRequest::default()).await {
            Ok(reader) => open.push(reader),
            Err(error) => break error,
        }
        assert!(open.len() < 1000, "calls pile up");
    };
    assert_eq!(refused, LinkError::Busy(host));
}
