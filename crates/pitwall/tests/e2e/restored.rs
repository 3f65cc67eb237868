//! A database from before the last VMs were made destroys nothing.

use serde_json::Value;

use crate::env::{Host, field, until};

#[test]
fn a_database_restored_from_before_the_last_two_vms_finds_them_running() {
    let mut host = Host::up();
    host.create_debian("kept");
    host.terminate();
    let database = host.state().join("pitwall.db");
    let backup = host.state().join("backup.db");
    std::fs::copy(&database, &backup).unwrap();
    host.start(&["up"]);
    host.wait_until_up();
    host.create_debian("later-one");
    host.create_debian("later-two");
    let boot = |host: &Host, address: &str| {
        let probe = format!("exec 3<>/dev/tcp/{address}/2222; head -c 7 <&3");
        host.command("bash").args(["-c", &probe]).output().unwrap().stdout == b"SSH-2.0"
    };
    let ids: Vec<_> = ["later-one", "later-two"]
        .map(|name| field(&host.get(name), "id"))
        .into();
    let addresses: Vec<_> = ["later-one", "later-two"]
        .map(|name| field(&host.get(name), "address"))
        .into();
    let mut vmms = host.vmms();
    vmms.sort_unstable();
    host.terminate();
    std::fs::copy(&backup, &database).unwrap();
    for leftover in ["pitwall.db-wal", "pitwall.db-shm"] {
        let _ = std::fs::remove_file(host.state().join(leftover));
    }

    host.start(&["up"]);
    host.wait_until_up();
    let found = until("both are found", std::time::Duration::from_secs(60), || {
        let found: Value = serde_json::from_str(&host.pwctl_ok(&["host", "found", "--json"])).unwrap();
        (found["items"].as_array()?.len() == 2).then_some(found)
    });
    for id in &ids {
        assert!(found.to_string().contains(id.as_str()), "{found}");
    }
    let mut now = host.vmms();
    now.sort_unstable();
    assert_eq!(now, vmms, "nothing was ended");
    host.wait_for_status("kept", "RUNNING");
    assert!(addresses.iter().all(|address| boot(&host, address)));

    host.pwctl_ok(&["host", "adopt", &ids[0]]);
    host.wait_for_status("later-one", "RUNNING");
    host.pwctl_ok(&["host", "rm", &ids[1]]);
    until("the other is gone", std::time::Duration::from_secs(60), || {
        (host.vmms().len() == 2).then_some(())
    });
    host.create_debian("new");
    host.ssh_ok("new", "true");
    host.ssh_ok("later-one", "true");
    host.ssh_ok("kept", "true");
}
