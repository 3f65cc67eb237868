//! QEMU passes the suite, with real processes and guests of a few instructions.

#[path = "support/guest.rs"]
mod guest;
#[path = "support/host.rs"]
mod host;
#[path = "support/microvm.rs"]
mod microvm;

use std::time::{Duration, Instant};

use driver::conformance::{self, Fixture, Guest};
use driver::{Driver, DriverError, GuestWish, Kernel, Observation, SpecFault};
use host::QemuHost;
use model::ReasonCode;

#[tokio::test(flavor = "multi_thread")]
async fn qemu_passes() {
    let Some(host) = QemuHost::new() else { return };
    if let Err(broken) = conformance::run(&host).await {
        panic!("{broken}: {:?}", std::error::Error::source(&broken));
    }
}

#[tokio::test]
async fn the_probe_is_quick_and_says_why() {
    let Some(host) = QemuHost::new() else { return };
    let driver = host.qemu(None);
    let begin = Instant::now();
    let verdict = driver.probe().await.unwrap();
    println!("{verdict:?} after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert!(verdict.vmm.contains("QEMU"), "{verdict:?}");
    assert!(!verdict.why.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_powered_off_while_nobody_looked_is_no_death() {
    let Some(host) = QemuHost::new() else { return };
    let spec = host.spec(Guest::PowersOff);
    let before = host.qemu(None);
    // It is killed here the moment it has started its guest, as pitwall may be.
    before.ensure(&spec).await.unwrap();
    drop(before);
    let exit = host.qemu(None).wait_ended(spec.id).await;
    assert_eq!(exit.wish, Some(GuestWish::Off), "{exit:?}");
    host.qemu(None).destroy(spec.id).await.unwrap();
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_told_from_a_power_off_whether_or_not_somebody_looked() {
    let Some(host) = QemuHost::new() else { return };
    for looks in [true, false] {
        let mut spec = host.spec(Guest::PowersOff);
        spec.kernel = Some(Kernel {
            vmlinux: host.file("resets", &microvm::resets()),
            ..spec.kernel.unwrap()
        });
        let mut driver = host.qemu(None);
        driver.ensure(&spec).await.unwrap();
        if !looks {
            driver = host.qemu(None);
        }
        let exit = driver.wait_ended(spec.id).await;
        assert_eq!(exit.wish, Some(GuestWish::Reset), "{exit:?}");
        driver.destroy(spec.id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_not_the_guests_wish() {
    let Some(host) = QemuHost::new() else { return };
    let mut spec = host.spec(Guest::PowersOff);
    spec.kernel = Some(Kernel {
        vmlinux: host.file("panics", &microvm::panics()),
        ..spec.kernel.unwrap()
    });
    let driver = host.qemu(None);
    driver.ensure(&spec).await.unwrap();
    let exit = driver.wait_ended(spec.id).await;
    assert_eq!(exit.wish, None, "{exit:?}");
    assert!(exit.console_tail.contains("Kernel panic"), "{exit:?}");
    driver.destroy(spec.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_qemu_refuses_is_told_in_its_words_and_leaves_nothing() {
    let Some(host) = QemuHost::new() else { return };
    let mut spec = host.spec(Guest::Idles);
    spec.kernel = Some(Kernel {
        vmlinux: host.path("missing"),
        ..spec.kernel.unwrap()
    });
    let driver = host.qemu(None);
    let error = driver.ensure(&spec).await.unwrap_err();
    assert!(error.to_string().contains("could not open kernel"), "{error}");
    assert_eq!(error.reason().code, ReasonCode::VmmFailed);
    assert_eq!(driver.observe(spec.id).await.unwrap(), Observation::Absent);
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test]
async fn a_missing_program_and_a_deep_directory_are_told_before_anything_is_made() {
    let Some(host) = QemuHost::new() else { return };
    let error = host
        .qemu(Some("no-such-qemu"))
        .ensure(&host.spec(Guest::Idles))
        .await
        .unwrap_err();
    assert_eq!(error.reason().code, ReasonCode::HostNotReady, "{error}");

    let deep = host.deeper(&"d".repeat(90));
    let error = deep.ensure(&host.spec(Guest::Idles)).await.unwrap_err();
    assert!(
        matches!(
            error,
            DriverError::Spec {
                source: SpecFault::SocketPath { .. },
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_ended_with_force() {
    let Some(host) = QemuHost::new() else { return };
    let spec = host.spec(Guest::Idles);
    let driver = host.qemu(None);
    driver.ensure(&spec).await.unwrap();
    host.signal(spec.id, "-STOP");
    driver.stop(spec.id, Duration::from_millis(200)).await.unwrap();
    let Observation::Ended(exit) = driver.observe(spec.id).await.unwrap() else {
        panic!("it runs")
    };
    assert_eq!(exit.signal, Some(9));
    driver.destroy(spec.id).await.unwrap();
}
