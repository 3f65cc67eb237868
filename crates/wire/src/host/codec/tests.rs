//! What is written is read, and what is no message is refused or passed over.

use super::*;
use model::{
    HostId, InstallationId, ProgramEnd, RestartPolicy, SecretId, ServiceAsk, ServiceSeen, ServiceState, VmId,
};

const SAMPLE_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh";

fn sample_body() -> VmBody {
    VmBody {
        name: "web".parse().unwrap(),
        image: "debian:12".parse().unwrap(),
        cpus: 2,
        memory: ByteSize::from_mib(512),
        disk: ByteSize::from_mib(2048),
        power: Power::On,
        boot: 3,
        rootfs: 1,
        authorized_keys: vec![],
        needs: [Feature::OCI_IMAGE].into(),
        options: VmOptions {
            service: ServiceAsk {
                enabled: true,
                command: Some(vec!["serve".into(), "--all".into()]),
                restart: RestartPolicy::Always,
            },
            user_cas: vec![SAMPLE_KEY.parse().unwrap()],
            image_keys: true,
            console: true,
        },
        barred: ["SHA256:aaaa".to_owned()].into(),
        idle_after: Some(3600),
        registry_secret: Some(SecretRef {
            id: SecretId::from_random([5; 16]),
            version: 2,
        }),
    }
}

fn sample_plan() -> HostPlan {
    let vm = |byte, body: Option<VmBody>| VmPlan {
        id: VmId::from_random([byte; 16]),
        placement: 1,
        generation: 4,
        remove: false,
        request: body.is_some().then(|| "from-a-test".parse().unwrap()),
        body,
    };
    HostPlan {
        installation: InstallationId::from_random([1; 16]),
        host: HostId::from_random([2; 16]),
        number: 9,
        vms: vec![vm(3, Some(sample_body())), vm(4, None)],
    }
}

fn sample_report() -> HostReport {
    let seen = Seen {
        placement: 1,
        accepted: 4,
        settled: 3,
        phase: Phase::Failed,
        boot: 3,
        rootfs: 1,
        reason: Some(Reason::lasting(
            ReasonCode::VmmDied,
            "QEMU ended by signal 9",
            "pwctl start web",
        )),
        stage: Some(Stage {
            what: "pulling".into(),
            done: 1,
            total: 2,
        }),
        address: Some([172, 30, 0, 3].into()),
        ssh_port: Some(2222),
        login: Some("fred".into()),
        host_keys: vec!["ssh-ed25519 AAAA".into()],
        image_digest: Some(model::Digest::from_sha256([9; 32])),
        service: Some(ServiceSeen {
            state: ServiceState::BackingOff,
            exit: Some(ProgramEnd::Killed(9)),
            restarts: 2,
            message: None,
        }),
        powered_off: true,
        idle: Idle::Soon,
    };
    HostReport {
        installation: None,
        host: HostId::from_random([2; 16]),
        name: "here".parse().unwrap(),
        version: "0.1.0".into(),
        start: 7,
        number: 8,
        plan: 9,
        refusal: Some(Refusal {
            plan: 5,
            code: RefusalCode::OlderPlan,
            message: "5 is older than 9".into(),
        }),
        vms: vec![VmReport {
            id: VmId::from_random([3; 16]),
            seen,
            found: true,
            body: Some(sample_body()),
        }],
        capacity: Some(Capacity {
            cpus: 2,
            memory_bytes: 1,
            disk_bytes: 2,
        }),
        images: Some(vec![]),
        features: None,
    }
}

#[test]
fn messages_round_trip() {
    assert_eq!(HostPlan::decode(&sample_plan().encode()).unwrap(), sample_plan());
    assert_eq!(
        HostReport::decode(&sample_report().encode()).unwrap(),
        sample_report()
    );
}

#[test]
fn an_older_host_and_a_word_of_a_newer_one_count_as_active() {
    let mut report = raw::HostReport::decode(sample_report().encode().as_slice()).unwrap();
    for said in [0, 77] {
        report.vms[0].idle = said;
        let read = HostReport::decode(&report.encode_to_vec()).unwrap();
        assert_eq!(read.vms[0].seen.idle, Idle::Active, "{said}");
    }
}

/// An older host's plan as it reads one of ours, and ours as an older control plane sends it.
#[test]
fn a_plan_without_requests_is_taken() {
    let mut plan = raw::HostPlan::decode(sample_plan().encode().as_slice()).unwrap();
    plan.vms[0].request = None;
    let read = HostPlan::decode(&plan.encode_to_vec()).unwrap();
    assert_eq!(read.vms[0].request, None);
    assert!(!read.contradicts(&sample_plan()));
}

#[test]
fn a_wrong_field_is_named() {
    let mut plan = raw::HostPlan::decode(sample_plan().encode().as_slice()).unwrap();
    plan.vms[0].id = "nonsense".into();
    let error = HostPlan::decode(&plan.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "the message's field vms.id holds \"nonsense\"");
    let mut plan = raw::HostPlan::decode(sample_plan().encode().as_slice()).unwrap();
    for no_id in [String::new(), "x".repeat(65), "a\nb".into()] {
        plan.vms[0].request = Some(no_id);
        let error = HostPlan::decode(&plan.encode_to_vec()).unwrap_err();
        assert!(error.to_string().contains("vms.request"), "{error}");
    }
    assert!(matches!(
        HostPlan::decode(b""),
        Err(WireError::Missing("installation"))
    ));
}

#[test]
fn a_body_left_out_is_no_contradiction_and_another_body_is() {
    let plan = sample_plan();
    let mut lean = plan.clone();
    lean.vms[0].body = None;
    lean.vms[0].request = None;
    assert!(!plan.contradicts(&lean));
    let mut other = plan.clone();
    other.vms[0].body.as_mut().unwrap().cpus = 4;
    assert!(plan.contradicts(&other));
    let mut shorter = plan.clone();
    shorter.vms.pop();
    assert!(plan.contradicts(&shorter));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_or_taken_but_never_panic(bytes: Vec<u8>) {
        let _ = HostPlan::decode(&bytes);
        let _ = HostReport::decode(&bytes);
    }

    #[test]
    fn a_cut_message_never_panics(cut in 0usize..400) {
        let bytes = sample_report().encode();
        let _ = HostReport::decode(&bytes[..cut.min(bytes.len())]);
    }
}
