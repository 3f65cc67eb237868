//! Ends and begins: of the orchestrator, of the whole host, of control, and of what was remembered.

use std::fs;

use api::PutQuota;
use model::{Power, Status};
use testkit::{Cloud, Step, until};

use crate::support::{
    ask, create, expect, expect_error, record, remove, start, stop, traces, until_true, wish,
};

#[tokio::test]
async fn a_host_that_starts_again_takes_its_vms_over_and_restarts_nothing() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let on = create(&cloud, "on").await;
    let off = create(&cloud, "off").await;
    stop(&cloud, "off").await;
    expect(&cloud, "off", Status::Stopped).await;
    cloud.hosts[0].end().await;
    let starts = cloud.hosts[0].sim.starts();
    assert!(
        cloud.hosts[0].sim.runs(on.id),
        "the end of the orchestrator ends no VM"
    );
    cloud.hosts[0].begin().await.unwrap();
    stop(&cloud, "on").await;
    expect(&cloud, "on", Status::Stopped).await;
    assert_eq!(cloud.hosts[0].sim.starts(), starts);
    start(&cloud, "on").await;
    start(&cloud, "off").await;
    let vms = [
        expect(&cloud, "on", Status::Running).await,
        expect(&cloud, "off", Status::Running).await,
    ];
    for (now, then) in vms.iter().zip([on, off]) {
        assert_eq!((&now.address, &now.host_keys), (&then.address, &then.host_keys));
    }
}

#[tokio::test]
async fn a_host_that_ends_in_the_middle_of_a_boot_finishes_it_once() {
    for step in [Step::Ensure, Step::Control] {
        let mut cloud = Cloud::start(1).await.unwrap();
        let sim = cloud.hosts[0].sim.clone();
        let before = sim.steps_taken();
        sim.hang_at(step);
        ask(&cloud, "web").await;
        until_true("it hangs", || sim.steps_taken() > before).await;
        if step == Step::Control {
            expect(&cloud, "web", Status::Booting).await;
        }
        cloud.hosts[0].end().await;
        sim.release();
        cloud.hosts[0].begin().await.unwrap();
        expect(&cloud, "web", Status::Running).await;
        assert_eq!(sim.starts(), 1, "hung at {step:?}");
        remove(&cloud, "web").await;
    }
}

#[tokio::test]
async fn a_host_that_was_rebooted_starts_what_should_run_without_control() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let on = create(&cloud, "on").await;
    let off = create(&cloud, "off").await;
    let quit = create(&cloud, "quit").await;
    stop(&cloud, "off").await;
    expect(&cloud, "off", Status::Stopped).await;
    cloud.hosts[0].sim.power_off(quit.id);
    expect(&cloud, "quit", Status::Stopped).await;
    cloud.end().await;
    let host = &mut cloud.hosts[0];
    let sim = host.sim.clone();
    host.end().await;
    sim.forget_everything();
    host.begin().await.unwrap();
    until_true("what should run runs", || sim.runs(on.id)).await;
    assert!(!sim.runs(off.id) && !sim.runs(quit.id));
    assert_eq!(sim.starts(), 4);
    cloud.begin().await.unwrap();
    let again = expect(&cloud, "on", Status::Running).await;
    assert_eq!((again.address, again.host_keys), (on.address, on.host_keys));
    for name in ["off", "quit"] {
        expect(&cloud, name, Status::Stopped).await;
    }
    assert_eq!(sim.starts(), 4);
}

/// A quota is asked when somebody asks for more. A host that starts again asks for nothing, whether control is there or not.
#[tokio::test]
async fn a_quota_of_nothing_keeps_no_vm_from_running_after_a_reboot() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let web = create(&cloud, "web").await;
    let nothing = PutQuota {
        vms: Some(0),
        cpus: Some(0),
        memory_bytes: Some(0),
        disk_bytes: Some(0),
        running: Some(0),
    };
    cloud
        .client()
        .unwrap()
        .quota_put("admin", &nothing)
        .await
        .unwrap();
    let sim = cloud.hosts[0].sim.clone();
    for times in 2..4 {
        let host = &mut cloud.hosts[0];
        host.end().await;
        sim.forget_everything();
        assert!(!sim.runs(web.id));
        host.begin().await.unwrap();
        until_true("it runs again", || sim.runs(web.id) && sim.starts() == times).await;
        expect(&cloud, "web", Status::Running).await;
        cloud.end().await;
        cloud.begin().await.unwrap();
        expect(&cloud, "web", Status::Running).await;
    }
    let refused = cloud
        .client()
        .unwrap()
        .vm_create(&wish("more"))
        .await
        .unwrap_err();
    assert!(refused.is_code("quota_exceeded"), "{refused:?}");
}

#[tokio::test]
async fn control_learns_what_happened_while_it_was_away() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let sim = cloud.hosts[0].sim.clone();
    let dead = create(&cloud, "dead").await;
    let quit = create(&cloud, "quit").await;
    create(&cloud, "well").await;
    cloud.end().await;
    sim.die(dead.id, 9);
    sim.power_off(quit.id);
    until_true("the host saw it", || sim.leftovers().len() == 1).await;
    cloud.begin().await.unwrap();
    expect_error(&cloud, "dead", "vmm_died").await;
    expect(&cloud, "quit", Status::Stopped).await;
    expect(&cloud, "well", Status::Running).await;
    assert_eq!(sim.starts(), 3);
}

#[tokio::test]
async fn a_silent_host_makes_its_vms_unknown_until_it_speaks_again() {
    let mut cloud = Cloud::start(2).await.unwrap();
    let vms = [create(&cloud, "one").await, create(&cloud, "two").await];
    cloud.hosts[0].end().await;
    let (silent, heard) = match vms[0].host.as_deref() {
        Some("host-0") => ("one", "two"),
        _ => ("two", "one"),
    };
    expect(&cloud, silent, Status::Unknown).await;
    expect(&cloud, heard, Status::Running).await;
    // Asked to go while nobody listens; it goes once somebody does.
    cloud.client().unwrap().vm_delete(silent).await.unwrap();
    expect(&cloud, silent, Status::Deleting).await;
    cloud.hosts[0].begin().await.unwrap();
    crate::support::gone(&cloud, silent).await;
    assert_eq!(cloud.hosts[0].sim.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_database_of_before_the_last_two_vms_destroys_nothing() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let old = create(&cloud, "old").await;
    let (database, backup) = (cloud.database(), cloud.hosts[0].state().join("backup.db"));
    cloud.end().await;
    fs::copy(&database, &backup).unwrap();
    cloud.begin().await.unwrap();
    let lost = [create(&cloud, "lost-one").await, create(&cloud, "lost-two").await];
    stop(&cloud, "old").await;
    expect(&cloud, "old", Status::Stopped).await;
    start(&cloud, "old").await;
    expect(&cloud, "old", Status::Running).await;
    let sim = cloud.hosts[0].sim.clone();
    let starts = sim.starts();
    cloud.end().await;
    fs::copy(&backup, &database).unwrap();
    cloud.begin().await.unwrap();

    let client = cloud.client().unwrap().clone();
    let listed = || client.host_found_list("host-0");
    let found = until("both are found", listed, |found| found.items.len() == 2)
        .await
        .unwrap();
    let mut names: Vec<_> = found.items.iter().map(|vm| vm.name.clone().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["lost-one", "lost-two"]);
    assert!(
        found
            .items
            .iter()
            .all(|vm| vm.adoptable && vm.status.known() == Some(Status::Running))
    );
    expect(&cloud, "old", Status::Running).await;
    let adopted = client
        .host_found_adopt("host-0", &lost[0].id.to_string(), &api::Adopt { name: None })
        .await
        .unwrap();
    assert_eq!(adopted.name, "lost-one");
    let adopted = expect(&cloud, "lost-one", Status::Running).await;
    assert_eq!(
        (&adopted.address, &adopted.host_keys),
        (&lost[0].address, &lost[0].host_keys)
    );
    client
        .host_found_delete("host-0", &lost[1].id.to_string())
        .await
        .unwrap();
    until_true("the other one is gone", || !sim.runs(lost[1].id)).await;
    assert_eq!(sim.starts(), starts);
    assert!(sim.runs(old.id) && sim.runs(lost[0].id));

    // Control works on: what is there obeys, and what is new is made.
    stop(&cloud, "old").await;
    expect(&cloud, "old", Status::Stopped).await;
    create(&cloud, "new").await;
    for name in ["old", "lost-one", "new"] {
        remove(&cloud, name).await;
    }
    assert_eq!(sim.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_memory_of_a_running_vm_is_mended_from_the_plan() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let host = &cloud.hosts[0];
    let clean = traces(host);
    let vm = create(&cloud, "web").await;
    let host = &mut cloud.hosts[0];
    host.end().await;
    fs::write(record(host, vm.id), "{\"id\":").unwrap();
    host.begin().await.unwrap();
    let again = expect(&cloud, "web", Status::Running).await;
    assert_eq!(again.address, vm.address);
    assert_eq!(cloud.hosts[0].sim.starts(), 1);
    remove(&cloud, "web").await;
    assert_eq!(traces(&cloud.hosts[0]), clean);
}

#[tokio::test]
async fn a_damaged_memory_of_a_vm_that_does_not_run_is_shown_and_mended_by_a_start() {
    for then in [Power::On, Power::Off] {
        let mut cloud = Cloud::start(1).await.unwrap();
        let clean = traces(&cloud.hosts[0]);
        let vm = create(&cloud, "web").await;
        let host = &mut cloud.hosts[0];
        host.end().await;
        host.sim.forget_everything();
        fs::write(record(host, vm.id), "").unwrap();
        host.begin().await.unwrap();
        let reason = expect_error(&cloud, "web", "state_damaged").await.reason.unwrap();
        assert!(reason.hint.contains("pwctl rm web"), "{reason:?}");
        if then == Power::On {
            start(&cloud, "web").await;
            let again = expect(&cloud, "web", Status::Running).await;
            assert_eq!((again.address, again.host_keys), (vm.address, vm.host_keys));
        }
        remove(&cloud, "web").await;
        assert_eq!(traces(&cloud.hosts[0]), clean);
    }
}
