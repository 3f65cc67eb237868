//! The host network, in network namespaces of the tests' own.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop a test")]

#[path = "support/namespace.rs"]
mod namespace;
#[path = "support/tap.rs"]
mod tap;

use std::net::Ipv4Addr;
use std::sync::Arc;

use model::{MacAddr, Subnet};
use namespace::{Namespace, connect, host_with_outside, in_fresh_namespace, picture, run, same, serve};
use orchestrator::hands::{RootHands, SimHands};
use orchestrator::network::{Network, NetworkConfig};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const FIRST: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);
const SECOND: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 4);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);

async fn setup() -> Network {
    Network::setup(NetworkConfig::default(), Arc::new(RootHands))
        .await
        .unwrap()
}

async fn teardown() {
    Network::teardown(NetworkConfig::default(), Arc::new(RootHands))
        .await
        .unwrap();
}

async fn vm(network: &Network, address: Ipv4Addr) -> Namespace {
    let mac = MacAddr::for_vm(address);
    let tap = network.attach(address, mac).await.unwrap();
    tap::vm(&tap, address, mac)
}

fn rules(program: &str) -> usize {
    run(&format!("{program} -S"))
        .lines()
        .filter(|line| line.contains("--comment pitwall"))
        .count()
}

#[test]
fn vms_reach_the_outside_and_nobody_else() {
    in_fresh_namespace("vms_reach_the_outside_and_nobody_else", async {
        let outside = host_with_outside();
        let network = setup().await;
        let (first, second) = (vm(&network, FIRST).await, vm(&network, SECOND).await);
        let (outer, inner, other) = (outside.serves(), first.serves(), second.serves());
        let host = serve();

        let known = run("ip neigh show nud permanent");
        for (address, mac) in [(FIRST, "06:70:ac:1e:00:03"), (SECOND, "06:70:ac:1e:00:04")] {
            let entry = format!("{address} dev pwbr0 lladdr {mac} PERMANENT");
            assert!(
                known.contains(&entry),
                "the host would have to ask for {address}: {known}"
            );
        }
        assert_eq!(
            first.connects(OUTSIDE, outer).as_deref(),
            Some("192.0.2.2"),
            "outside, masqueraded"
        );
        assert_eq!(connect(FIRST, inner).as_deref(), Some("172.30.0.1"), "host to VM");
        assert_eq!(
            connect(SECOND, other).as_deref(),
            Some("172.30.0.1"),
            "host to the other VM"
        );
        assert_eq!(first.connects(SECOND, other), None, "VM to VM");
        assert_eq!(first.connects(GATEWAY, host), None, "VM to a service of the host");
        assert_eq!(
            first.connects(HOST, host),
            None,
            "VM to a service on another address of the host"
        );
        first.run("ping -c1 -W1 172.30.0.1");

        let ports = run("bridge -d link show");
        assert_eq!(ports.matches("isolated on").count(), 2, "{ports}");

        outside.run("ip route add 172.30.0.0/16 via 192.0.2.2");
        assert_eq!(outside.connects(FIRST, inner), None, "from outside to a VM");
        // Even a route of its own through the gateway leads no VM to another.
        first.run("ip route add 172.30.0.4/32 via 172.30.0.1");
        assert_eq!(
            first.connects(SECOND, other),
            None,
            "VM to VM through the gateway"
        );
    });
}

#[test]
fn forged_senders_get_nowhere() {
    in_fresh_namespace("forged_senders_get_nowhere", async {
        let outside = host_with_outside();
        let network = setup().await;
        let vm = vm(&network, FIRST).await;
        let port = outside.serves();
        assert!(vm.connects(OUTSIDE, port).is_some());

        vm.run("ip addr add 172.30.0.9/16 dev eth0");
        vm.run("ip route replace default via 172.30.0.1 src 172.30.0.9");
        assert_eq!(vm.connects(OUTSIDE, port), None, "another address");
        vm.run("ip route replace default via 172.30.0.1 src 172.30.0.3");
        assert!(vm.connects(OUTSIDE, port).is_some());

        vm.run("ip link set eth0 address 06:70:00:00:00:01");
        assert_eq!(vm.connects(OUTSIDE, port), None, "another MAC");
        let neighbour = run("ip neigh show 172.30.0.9");
        assert!(
            !neighbour.contains("lladdr"),
            "the host believed a forged ARP answer: {neighbour}"
        );
    });
}

#[test]
fn a_subnet_that_is_in_use_is_refused_with_a_free_one() {
    in_fresh_namespace("a_subnet_that_is_in_use_is_refused_with_a_free_one", async {
        let _outside = host_with_outside();
        run("ip route add 172.30.4.0/24 via 192.0.2.1");
        let before = picture();
        let refused = Network::setup(NetworkConfig::default(), Arc::new(RootHands))
            .await
            .err()
            .unwrap();
        let text = refused.to_string();
        let proposal = text.rsplit("--subnet ").next().unwrap();
        assert!(text.contains("172.30.4.0/24 through eth0"), "{text}");
        same(&before, &picture());
        let config = NetworkConfig {
            subnet: proposal.parse::<Subnet>().unwrap(),
            ..NetworkConfig::default()
        };
        Network::setup(config.clone(), Arc::new(RootHands)).await.unwrap();
        Network::teardown(config, Arc::new(RootHands)).await.unwrap();
        same(&before, &picture());
    });
}

#[test]
fn everything_may_be_repeated_and_nothing_is_left() {
    in_fresh_namespace("everything_may_be_repeated_and_nothing_is_left", async {
        let outside = host_with_outside();
        let before = picture();
        let network = setup().await;
        let vm = vm(&network, FIRST).await;
        let port = outside.serves();
        let once = picture();
        drop(network);

        let network = setup().await;
        same(&once, &picture());
        assert_eq!(network.attached().await, [FIRST]);
        assert!(vm.connects(OUTSIDE, port).is_some(), "a restart cut a VM off");
        assert_eq!(
            network.attach(FIRST, MacAddr::for_vm(FIRST)).await.unwrap(),
            "pw-0-3"
        );
        network.attach(SECOND, MacAddr::for_vm(SECOND)).await.unwrap();
        for _ in 0..2 {
            network.detach(SECOND).await.unwrap();
        }
        same(&once, &picture());
        network.tend().await;
        same(&once, &picture());

        for _ in 0..2 {
            teardown().await;
            same(&before, &picture());
        }
    });
}

#[test]
fn what_somebody_took_away_is_put_back() {
    in_fresh_namespace("what_somebody_took_away_is_put_back", async {
        let outside = host_with_outside();
        let network = setup().await;
        let vm = vm(&network, FIRST).await;
        let port = outside.serves();
        let before = picture();
        for harm in [
            "nft flush ruleset",
            "nft delete chain ip pitwall through_host",
            "sysctl -qw net.ipv4.ip_forward=0",
        ] {
            run(harm);
            network.tend().await;
            same(&before, &picture());
        }
        run("ip link del pwbr0");
        network.tend().await;
        let ports = run("ip -o link show master pwbr0");
        assert!(ports.contains("pw-0-3"), "{ports}");
        let neighbours = run("ip neigh show nud permanent");
        assert!(neighbours.contains("172.30.0.3 dev pwbr0"), "{neighbours}");
        assert!(vm.connects(OUTSIDE, port).is_some());
        teardown().await;
    });
}

/// A host on which another tool drops what is forwarded, as Docker does.
async fn another_tool(program: &'static str) {
    let outside = host_with_outside();
    run("sysctl -qw net.ipv4.ip_forward=1");
    run(&format!("{program} -N DOCKER-USER"));
    run(&format!("{program} -A FORWARD -j DOCKER-USER"));
    run(&format!("{program} -P FORWARD DROP"));
    let before = picture();
    let network = setup().await;
    let vm = vm(&network, FIRST).await;
    let port = outside.serves();
    assert!(vm.connects(OUTSIDE, port).is_some(), "admitted at first");
    assert_eq!(rules(program), 2);

    run(&format!("{program} -F DOCKER-USER"));
    assert_eq!(vm.connects(OUTSIDE, port), None, "the tool rewrote its chain");
    for _ in 0..3 {
        network.tend().await;
        assert_eq!(rules(program), 2);
    }
    assert!(vm.connects(OUTSIDE, port).is_some(), "admitted again");
    teardown().await;
    same(&before, &picture());
}

#[test]
fn a_tool_that_drops_is_passed_in_nft() {
    in_fresh_namespace("a_tool_that_drops_is_passed_in_nft", another_tool("iptables-nft"));
}

#[test]
fn a_tool_that_drops_is_passed_in_legacy() {
    in_fresh_namespace(
        "a_tool_that_drops_is_passed_in_legacy",
        another_tool("iptables-legacy"),
    );
}

#[test]
fn a_forward_policy_alone_is_passed_and_foreign_tables_are_told_of() {
    in_fresh_namespace(
        "a_forward_policy_alone_is_passed_and_foreign_tables_are_told_of",
        async {
            let outside = host_with_outside();
            run("iptables-nft -P FORWARD DROP");
            run("nft add table inet own");
            run("nft add chain inet own way { type filter hook forward priority 5 ; policy drop ; }");
            let before = picture();
            let network = setup().await;
            assert_eq!(rules("iptables-nft"), 2);
            assert!(
                network
                    .warnings()
                    .iter()
                    .any(|warning| warning.contains("inet own way")),
                "{:?}",
                network.warnings()
            );
            run("nft delete table inet own");
            let vm = vm(&network, FIRST).await;
            assert!(vm.connects(OUTSIDE, outside.serves()).is_some());
            drop(before);
            teardown().await;
            assert_eq!(rules("iptables-nft"), 0);
        },
    );
}

#[tokio::test]
async fn a_failure_at_any_request_leaves_nothing_behind() {
    async fn story(hands: &Arc<SimHands>) -> Result<(), orchestrator::network::NetworkError> {
        let network = Network::setup(NetworkConfig::default(), hands.clone()).await?;
        let done = async {
            network.attach(FIRST, MacAddr::for_vm(FIRST)).await?;
            network.attach(SECOND, MacAddr::for_vm(SECOND)).await?;
            network.detach(SECOND).await?;
            network.detach(FIRST).await
        };
        let outcome = done.await;
        if outcome.is_err() {
            for address in network.attached().await {
                network.detach(address).await?;
            }
        }
        Network::teardown(NetworkConfig::default(), hands.clone()).await?;
        outcome
    }
    let calm = Arc::new(SimHands::default());
    story(&calm).await.unwrap();
    assert_eq!(calm.leftovers(), [""; 0]);
    for request in 0..calm.performed() {
        let hands = Arc::new(SimHands::default());
        hands.fail_at(request);
        let outcome = story(&hands).await;
        if outcome.is_err() {
            Network::teardown(NetworkConfig::default(), hands.clone())
                .await
                .unwrap();
        }
        assert_eq!(
            hands.leftovers(),
            [""; 0],
            "after a failure at request {request}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_failed_setup_takes_its_own_steps_back() {
    for request in 0..9 {
        let hands = Arc::new(SimHands::default());
        hands.fail_at(request);
        let outcome = Network::setup(NetworkConfig::default(), hands.clone())
            .await
            .map(drop);
        let left = hands.leftovers();
        assert!(
            outcome.is_ok() || left.is_empty(),
            "request {request}: {outcome:?} left {left:?}"
        );
    }
}

#[tokio::test]
async fn a_failed_attach_takes_its_own_steps_back() {
    for request in 0..6 {
        let hands = Arc::new(SimHands::default());
        let network = Network::setup(NetworkConfig::default(), hands.clone())
            .await
            .unwrap();
        let before = hands.leftovers();
        hands.fail_at(request);
        let outcome = network.attach(FIRST, MacAddr::for_vm(FIRST)).await;
        assert!(
            outcome.is_ok() || hands.leftovers() == before,
            "request {request}: {outcome:?}"
        );
    }
}
