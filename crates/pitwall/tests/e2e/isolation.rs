//! What VMs may see of each other and of the host.

use crate::env::Host;

#[test]
fn two_vms_of_one_image_share_nothing_and_cannot_reach_each_other() {
    let host = Host::up();
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| host.create_debian("one"));
        let two = scope.spawn(|| host.create_debian("two"));
        (one.join(), two.join())
    });
    one.unwrap();
    two.unwrap();
    host.ssh_ok("one", "echo of-one > /root/mark; echo of-one > /etc/motd");
    assert_eq!(host.ssh("two", "cat /root/mark").status.code(), Some(1));
    assert_ne!(host.ssh_ok("two", "cat /etc/motd"), "of-one\n");

    let address = |vm: &str| crate::env::field(&host.get(vm), "address");
    let (one, two) = (address("one"), address("two"));
    assert_ne!(one, two);
    for (from, to) in [("one", &two), ("two", &one)] {
        let reached = host.ssh(from, &format!("timeout 3 bash -c 'echo > /dev/tcp/{to}/2222'"));
        assert!(!reached.status.success(), "{from} reaches {to}");
        assert!(
            !host.ssh(from, &format!("ping -c 1 -W 2 {to}")).status.success(),
            "{from} pings {to}"
        );
    }
    // The same probe succeeds where it should: the host reaches both, and both reach what is outside.
    for to in [&one, &two] {
        let reached = host
            .command("bash")
            .args(["-c", &format!("echo > /dev/tcp/{to}/2222")])
            .status()
            .unwrap();
        assert!(reached.success(), "the host does not reach {to}");
    }
    host.ssh_ok("one", "ping -c 1 -W 5 198.51.100.1");
    // A service of the host, here the API's own kind, is not for guests.
    for address in ["172.30.0.1", "198.51.100.2"] {
        let mut service = host
            .command("python3")
            .args(["-m", "http.server", "--bind", address, "8123"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        crate::env::until("the service listens", std::time::Duration::from_secs(20), || {
            let probe = host
                .command("bash")
                .args(["-c", &format!("echo > /dev/tcp/{address}/8123")])
                .output()
                .unwrap();
            probe.status.success().then_some(())
        });
        let reached = host.ssh(
            "one",
            &format!("timeout 3 bash -c 'echo > /dev/tcp/{address}/8123'"),
        );
        service.kill().unwrap();
        service.wait().unwrap();
        assert!(!reached.status.success(), "a guest reaches {address} of the host");
    }
}
