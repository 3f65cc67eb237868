//! The life of a VM: create, stop, start, rm, and what its machine may do by itself.

use model::Status;
use testkit::Cloud;

use crate::support::{
    create, expect, expect_error, expect_settled, host_of, remove, start, stop, traces, until_true,
};

#[tokio::test]
async fn create_let_the_host_finish_expect_running() {
    let cloud = Cloud::start(2).await.unwrap();
    let clean: Vec<_> = cloud.hosts.iter().map(traces).collect();
    let mut hosts = Vec::new();
    for name in ["one", "two"] {
        let vm = create(&cloud, name).await;
        let host = host_of(&cloud, &vm);
        assert!(host.sim.runs(vm.id));
        hosts.push(host.name());
        let address = vm.address.unwrap().to_string();
        let ssh = vm.ssh.unwrap();
        assert_eq!((vm.ssh_port, vm.login.as_deref()), (Some(2222), Some("fred")));
        assert!(vm.host_key.unwrap().starts_with("ssh-ed25519 "));
        assert!(ssh.contains(&format!("fred@{address}")), "{ssh}");
        let nic = host.sim.spec(vm.id).unwrap().nic.unwrap();
        assert_eq!(
            nic.mac.to_string(),
            model::MacAddr::for_vm(address.parse().unwrap()).to_string()
        );
    }
    hosts.sort_unstable();
    assert_eq!(hosts, ["host-0", "host-1"], "the load is shared");
    for name in ["one", "two"] {
        remove(&cloud, name).await;
    }
    assert_eq!(cloud.hosts.iter().map(traces).collect::<Vec<_>>(), clean);
}

#[tokio::test]
async fn address_and_host_key_stay_over_stop_and_start() {
    let cloud = Cloud::start(1).await.unwrap();
    let host = &cloud.hosts[0];
    let bare = host.hands.leftovers();
    let before = create(&cloud, "web").await;
    assert_ne!(host.hands.leftovers(), bare);
    stop(&cloud, "web").await;
    expect(&cloud, "web", Status::Stopped).await;
    assert_eq!(host.hands.leftovers(), bare, "one that is off has no way in");
    assert_eq!(host.sim.leftovers(), Vec::<String>::new());
    start(&cloud, "web").await;
    let after = expect(&cloud, "web", Status::Running).await;
    assert_eq!(
        (&after.address, &after.host_key),
        (&before.address, &before.host_key)
    );
    assert_eq!(host.sim.starts(), 2);
}

#[tokio::test]
async fn a_vmm_that_dies_is_an_error_until_it_is_started_again() {
    let cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    let sim = &cloud.hosts[0].sim;
    sim.print(vm.id, "Oops: something broke\n");
    sim.die(vm.id, 9);
    let reason = expect_error(&cloud, "web", "vmm_died").await.reason.unwrap();
    assert!(
        reason.message.contains("signal 9") && reason.message.contains("something broke"),
        "{reason:?}"
    );
    assert!(
        reason.hint.contains("pwctl start web") && !reason.retried,
        "{reason:?}"
    );
    assert_eq!(sim.starts(), 1);
    start(&cloud, "web").await;
    expect(&cloud, "web", Status::Running).await;
    assert_eq!(sim.starts(), 2);
}

#[tokio::test]
async fn a_guest_that_powered_off_stays_off_until_it_is_started() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    cloud.hosts[0].sim.power_off(vm.id);
    // What is asked follows: one generation more, and the host is told.
    let off = expect_settled(&cloud, "web", Status::Stopped, vm.generation + 1).await;
    for _ in 0..2 {
        cloud.hosts[0].end().await;
        cloud.hosts[0].begin().await.unwrap();
    }
    let sim = cloud.hosts[0].sim.clone();
    start(&cloud, "web").await;
    // Said twice, it is one boot.
    start(&cloud, "web").await;
    let on = expect_settled(&cloud, "web", Status::Running, off.generation + 1).await;
    assert_eq!(
        (sim.starts(), &on.address, &on.host_key),
        (2, &vm.address, &vm.host_key)
    );
    // Neither is it taken for off again, nor does the end of this boot count for less.
    sim.power_off(vm.id);
    expect_settled(&cloud, "web", Status::Stopped, on.generation + 1).await;
    assert_eq!(sim.starts(), 2);
}

#[tokio::test]
async fn a_guest_that_powered_off_while_nobody_was_there_stays_off() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    cloud.end().await;
    cloud.hosts[0].end().await;
    cloud.hosts[0].sim.power_off(vm.id);
    cloud.hosts[0].begin().await.unwrap();
    cloud.begin().await.unwrap();
    expect_settled(&cloud, "web", Status::Stopped, vm.generation + 1).await;
    assert_eq!(cloud.hosts[0].sim.starts(), 1);
}

#[tokio::test]
async fn a_reset_is_a_reboot_with_everything_kept() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let before = create(&cloud, "web").await;
    let sim = cloud.hosts[0].sim.clone();
    sim.reset(before.id);
    until_true("it runs again", || sim.starts() == 2 && sim.runs(before.id)).await;
    let after = expect(&cloud, "web", Status::Running).await;
    assert_eq!(after.generation, before.generation, "nothing else is asked");
    assert_eq!(
        (&after.address, &after.host_key),
        (&before.address, &before.host_key)
    );
    // The same while nobody is there.
    cloud.hosts[0].end().await;
    sim.reset(before.id);
    cloud.hosts[0].begin().await.unwrap();
    until_true("it runs once more", || sim.starts() == 3 && sim.runs(before.id)).await;
    expect(&cloud, "web", Status::Running).await;
}

#[tokio::test]
async fn a_vm_is_removed_in_every_state() {
    let cloud = Cloud::start(1).await.unwrap();
    let host = &cloud.hosts[0];
    let clean = traces(host);
    let vm = create(&cloud, "dead").await;
    host.sim.die(vm.id, 11);
    expect_error(&cloud, "dead", "vmm_died").await;
    create(&cloud, "off").await;
    stop(&cloud, "off").await;
    expect(&cloud, "off", Status::Stopped).await;
    let vm = create(&cloud, "damaged").await;
    std::fs::remove_dir_all(crate::support::record(host, vm.id).parent().unwrap()).unwrap();
    for name in ["dead", "off", "damaged"] {
        remove(&cloud, name).await;
    }
    assert_eq!(traces(host), clean);
    until_true("no machine is left", || host.sim.leftovers().is_empty()).await;
}
