//! What somebody has open on a VM ends when the right to it is taken away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::frame::End;
use api::{
    ChangeUser, ChangeVm, Client, ClientConfig, CreateTeam, CreateUser, CreateVm, LogQuery, PageQuery,
    PutMember, PutShare,
};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{LIMIT, Running, all, problem, program, start, until};

/// From the answer that took it away until the end is told.
const AT_MOST: Duration = Duration::from_secs(2);

fn client(running: &Running, token: Option<String>) -> Client {
    let config = ClientConfig {
        url: format!("http://{}", running.address),
        token,
        user_agent: "test/1".into(),
    };
    Client::new(config).unwrap()
}

/// The token of a new user who signed in.
async fn sign_in(running: &Running, name: &str, role: Option<&str>) -> String {
    let wish = CreateUser {
        name: name.into(),
        role: role.map(str::to_owned),
    };
    let user = running.client.user_create(&wish).await.unwrap();
    let nobody = client(running, None);
    let token = nobody.login(&user.secret.unwrap(), "test").await.unwrap();
    token.secret.unwrap()
}

async fn share(running: &Running, with: &str) {
    let share = PutShare { right: "use".into() };
    running.client.vm_share_put("web", with, &share).await.unwrap();
}

/// A user who signed in, and may use the VM.
async fn ann(running: &Running) -> Client {
    let token = sign_in(running, "ann", None).await;
    share(running, "ann").await;
    client(running, Some(token))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_ends_ends_programs_and_logs() {
    let running = start().await;
    let ann = ann(&running).await;
    let mut deaf = ann.vm_exec("web.admin", &program(&["deaf"])).await.unwrap();
    let mut cat = ann.vm_exec("web", &program(&["cat"])).await.unwrap();
    let typed = api::frame::Input::Data(b"hello".to_vec().into());
    cat.writer.send(&typed).await.unwrap();
    until(&mut cat.reader, "hello").await;
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut log = ann.vm_logs("web", &follow).await.unwrap();
    for _ in 0..5 {
        log.next().await.unwrap().unwrap();
    }
    let mut own = running.exec(&["cat"]).await;

    running.client.vm_share_delete("web", "ann").await.unwrap();
    let since = Instant::now();
    for reader in [&mut deaf.reader, &mut cat.reader] {
        let (_, _, end) = all(reader).await;
        let End::Failed { code, message } = end else {
            panic!("{end:?}")
        };
        assert_eq!(code, "not_permitted");
        assert!(message.contains("there is no VM"), "{message}");
    }
    let last = log.next().await.unwrap().unwrap();
    assert_eq!(last.kind, "failed");
    assert!(log.next().await.is_none(), "it ends in order");
    assert!(since.elapsed() < AT_MOST, "{:?}", since.elapsed());
    running.vm.until_closed(2).await;
    assert_eq!(problem(ann.vm_get("web").await.unwrap_err()).0, 404);

    // What the owner has open goes on.
    own.writer.send(&typed).await.unwrap();
    until(&mut own.reader, "hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_disabled_and_a_token_that_is_revoked_end_them_too() {
    let running = start().await;
    let ann = ann(&running).await;
    let mut exec = ann.vm_exec("web", &program(&["deaf"])).await.unwrap();
    running.client.user_disable("ann").await.unwrap();
    let since = Instant::now();
    let (_, _, end) = all(&mut exec.reader).await;
    assert!(
        matches!(&end, End::Failed { message, .. } if message.contains("disabled")),
        "{end:?}"
    );
    assert!(since.elapsed() < AT_MOST, "{:?}", since.elapsed());
    let refused = ann.vm_share_list("web", &PageQuery::default()).await.unwrap_err();
    assert_eq!(problem(refused), (403, "user_disabled".to_owned()));

    running.client.user_enable("ann").await.unwrap();
    let mut exec = ann.vm_exec("web", &program(&["deaf"])).await.unwrap();
    ann.logout().await.unwrap();
    let (_, _, end) = all(&mut exec.reader).await;
    assert!(
        matches!(&end, End::Failed { message, .. } if message.contains("revoked")),
        "{end:?}"
    );
}

/// Events on a connection of their own, as they come: the client in Rust would come again when they end.
struct Flow {
    stream: TcpStream,
    seen: String,
}

impl Flow {
    async fn open(running: &Running, token: &str, path: &str) -> Self {
        let mut stream = TcpStream::connect(&running.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
        let head = format!("{head}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let seen = String::new();
        let mut flow = Self { stream, seen };
        flow.until("HTTP/1.1 200 OK\r\n").await;
        flow.until("\r\n\r\n").await;
        flow
    }

    /// Reads on; gives whether there is more.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).await.unwrap();
        self.seen += &String::from_utf8_lossy(&bytes[..count]);
        count > 0
    }

    async fn until(&mut self, text: &str) {
        let read = async { while !self.seen.contains(text) && self.read().await {} };
        timeout(LIMIT, read).await.unwrap();
        assert!(self.seen.contains(text), "no {text:?} in {}", self.seen);
    }

    /// Everything that came until it ended.
    async fn ended(mut self, with: Withdrawal) -> String {
        let ended = timeout(LIMIT, async { while self.read().await {} }).await;
        assert!(ended.is_ok(), "{with:?} ends no events");
        self.seen
    }
}

/// How somebody comes to see a VM no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withdrawal {
    Unshared,
    MemberRemoved,
    UserDeleted,
    UserDisabled,
    LoggedOut,
    AdminDemoted,
}

impl Withdrawal {
    /// Lets ann see the VM so that this can be taken away; gives her token.
    async fn prepare(self, running: &Running) -> String {
        let admin = &running.client;
        let role = (self == Self::AdminDemoted).then_some("admin");
        let token = sign_in(running, "ann", role).await;
        match self {
            Self::AdminDemoted => {}
            Self::MemberRemoved => {
                admin
                    .team_create(&CreateTeam { name: "ops".into() })
                    .await
                    .unwrap();
                let member = PutMember {
                    role: "member".into(),
                };
                admin.member_put("ops", "ann", &member).await.unwrap();
                share(running, "ops").await;
            }
            Self::Unshared | Self::UserDeleted | Self::UserDisabled | Self::LoggedOut => {
                share(running, "ann").await;
            }
        }
        token
    }

    async fn happen(self, running: &Running, token: &str) {
        let admin = &running.client;
        match self {
            Self::Unshared => admin.vm_share_delete("web", "ann").await.unwrap(),
            Self::MemberRemoved => admin.member_delete("ops", "ann").await.unwrap(),
            Self::UserDeleted => admin.user_delete("ann", None).await.unwrap(),
            Self::UserDisabled => drop(admin.user_disable("ann").await.unwrap()),
            Self::LoggedOut => client(running, Some(token.to_owned())).logout().await.unwrap(),
            Self::AdminDemoted => {
                let role = Some("member".to_owned());
                drop(admin.user_change("ann", &ChangeUser { role }).await.unwrap());
            }
        }
    }

    /// Whether the user stays, with the token, and sees the events of other VMs on.
    const fn leaves_the_account(self) -> bool {
        match self {
            Self::Unshared | Self::MemberRemoved => true,
            Self::UserDeleted | Self::UserDisabled | Self::LoggedOut | Self::AdminDemoted => false,
        }
    }

    /// Whether the very next event is for others already. What goes by the token or the role alone ends when that was
    /// looked at, within the two seconds.
    const fn is_seen_per_event(self) -> bool {
        match self {
            Self::Unshared | Self::MemberRemoved | Self::UserDeleted => true,
            Self::UserDisabled | Self::LoggedOut | Self::AdminDemoted => false,
        }
    }
}

/// Changes the VM; gives its event as it is told.
async fn change(running: &Running, label: &str) -> String {
    let labels = BTreeMap::from([("now".to_owned(), Some(label.to_owned()))]);
    let wish = ChangeVm {
        labels,
        ..ChangeVm::default()
    };
    let changed = running.client.vm_change("web", &wish).await.unwrap();
    format!("\"generation\":{}", changed.generation)
}

async fn events_end_with(withdrawal: Withdrawal) {
    let running = start().await;
    let token = withdrawal.prepare(&running).await;
    let mut all = Flow::open(&running, &token, "/v1/events").await;
    let mut one = Flow::open(&running, &token, "/v1/events?vm=web.admin").await;
    let before = change(&running, "before").await;
    for flow in [&mut all, &mut one] {
        flow.until(&before).await;
    }
    let mut own = Flow::open(&running, &running.token, "/v1/events").await;

    withdrawal.happen(&running, &token).await;
    let since = Instant::now();
    let after = change(&running, "after").await;
    let mut seen = vec![one.ended(withdrawal).await];
    match withdrawal.leaves_the_account() {
        true => seen.push(still_following(&running, &token, all).await),
        false => seen.push(all.ended(withdrawal).await),
    }
    assert!(since.elapsed() < AT_MOST, "{withdrawal:?}: {:?}", since.elapsed());
    for seen in seen {
        let is_for_others = withdrawal.is_seen_per_event();
        assert!(!is_for_others || !seen.contains(&after), "{withdrawal:?}: {seen}");
    }
    own.until(&after).await;
}

/// What a flow of all has told when it tells of a VM of its user's own.
async fn still_following(running: &Running, token: &str, mut all: Flow) -> String {
    let wish = CreateVm {
        name: "own".into(),
        image: "debian".into(),
        no_ssh_keys: true,
        ..CreateVm::default()
    };
    let own = client(running, Some(token.to_owned()))
        .vm_create(&wish)
        .await
        .unwrap();
    all.until(&own.id.to_string()).await;
    all.seen
}

#[tokio::test(flavor = "multi_thread")]
async fn events_end_with_the_right_to_see_them() {
    for withdrawal in [
        Withdrawal::Unshared,
        Withdrawal::MemberRemoved,
        Withdrawal::UserDeleted,
        Withdrawal::UserDisabled,
        Withdrawal::LoggedOut,
        Withdrawal::AdminDemoted,
    ] {
        events_end_with(withdrawal).await;
    }
}
