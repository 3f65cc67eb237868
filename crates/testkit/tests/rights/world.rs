//! A cloud, the people in it, and the things that operations are about.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use api::{Access, Content, Endpoint, endpoints};
use model::{Role, Scope};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use testkit::{Cloud, until};

use crate::rows::{Body, Row, Thing};

pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me";
/// How many found VMs there are: more than all operations on them need.
const FOUND: usize = 16;
const HOST: &str = "host-0";
const LIMIT: Duration = Duration::from_secs(20);

/// Whose the things are.
pub(crate) const RIGHTFUL: &str = "fred";
/// Somebody who gets a share, or a place in a team.
pub(crate) const FRIEND: &str = "ann";

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Persona {
    /// Whoever shows no token.
    Nobody,
    /// A member whose the things are not.
    Stranger,
    /// A member who was disabled.
    Disabled,
    /// Whoever it is for, with a token that has expired.
    Expired,
    /// Whoever it is for, with a token that is good for everything else.
    SmallScope,
    /// Whose the things are.
    Rightful,
    Admin,
}

impl Persona {
    /// Those who are refused what is not open.
    pub(crate) const REFUSED: &[Self] = &[
        Self::Nobody,
        Self::Stranger,
        Self::Disabled,
        Self::Expired,
        Self::SmallScope,
    ];
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    /// Null where it is no JSON, or a stream that is let go.
    pub(crate) body: Value,
}

pub(crate) struct World {
    cloud: Cloud,
    http: reqwest::Client,
    url: String,
    tokens: HashMap<Persona, String>,
    small: Mutex<HashMap<(bool, Scope), String>>,
    found: Mutex<VecDeque<String>>,
    names: AtomicU32,
}

impl World {
    pub(crate) async fn open() -> Self {
        let mut cloud = Cloud::start(1).await.unwrap();
        cloud.find(FOUND).await.unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .unwrap();
        let world = Self {
            url: cloud.client().unwrap().url().trim_end_matches('/').to_owned(),
            tokens: tokens(&cloud).await,
            cloud,
            http,
            small: Mutex::default(),
            found: Mutex::default(),
            names: AtomicU32::new(0),
        };
        world.until_expired().await;
        let found = world
            .ask(Persona::Admin, "host_found_list", &[HOST.to_owned()], None)
            .await;
        let ids = found["items"].as_array().unwrap().iter().map(id);
        *world.found.lock().unwrap() = ids.collect();
        world
    }

    async fn until_expired(&self) {
        let (endpoint, row) = (endpoint("vm_list"), crate::row(endpoint("vm_list")));
        let look = || async { Ok::<_, ()>(self.call(Persona::Expired, endpoint, row, &[]).await.status) };
        until("the token has expired", look, |status| *status == 401)
            .await
            .unwrap();
    }

    /// A name that nothing has yet.
    pub(crate) fn name(&self, kind: &str) -> String {
        format!("{kind}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A public key that nobody has yet.
    pub(crate) fn key(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        // Behind the A, which ends the length, 42 characters of base64 are an Ed25519 key, whatever they are.
        format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA{number:A>42}")
    }

    async fn token(&self, persona: Persona, endpoint: &Endpoint, row: &Row) -> Option<String> {
        match (persona, endpoint.access) {
            // It is good for nothing any more afterwards.
            (Persona::SmallScope, _) if row.operation == "logout" => {
                let scopes = [Scope::VmRead];
                Some(
                    self.cloud
                        .token_like(&self.tokens[&Persona::Rightful], scopes, None)
                        .await
                        .unwrap(),
                )
            }
            (Persona::Rightful | Persona::Stranger, _) if row.operation == "logout" => {
                let scopes = Scope::of_role(Role::Member);
                Some(
                    self.cloud
                        .token_like(&self.tokens[&persona], scopes, None)
                        .await
                        .unwrap(),
                )
            }
            (Persona::Nobody, _) => None,
            (Persona::SmallScope, Access::Scope(scope)) => {
                Some(self.token_without(scope, row.rightful).await)
            }
            (Persona::SmallScope, Access::Open | Access::Token) => {
                self.tokens.get(&Persona::Rightful).cloned()
            }
            (persona, _) => self.tokens.get(&persona).cloned(),
        }
    }

    /// A token of the admin or the rightful one that is good for all but one thing.
    async fn token_without(&self, scope: Scope, whose: Persona) -> String {
        let (role, key) = match whose == Persona::Admin {
            true => (Role::Admin, (true, scope)),
            false => (Role::Member, (false, scope)),
        };
        if let Some(known) = self.small.lock().unwrap().get(&key) {
            return known.clone();
        }
        let others = Scope::of_role(role).into_iter().filter(|other| *other != scope);
        let token = self
            .cloud
            .token_like(&self.tokens[&whose], others, None)
            .await
            .unwrap();
        self.small.lock().unwrap().insert(key, token.clone());
        token
    }

    /// Makes what the path of an operation names; gives its values in their order.
    pub(crate) async fn make(&self, thing: Thing) -> Vec<String> {
        let owned = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        match thing {
            Thing::Nothing => Vec::new(),
            Thing::Code => owned(&["not_found"]),
            Thing::Vm => vec![self.vm().await],
            Thing::Exec => {
                let vm = self.vm().await;
                let wish = json!({ "command": ["echo", "hello"] });
                let exec = self
                    .ask(
                        Persona::Rightful,
                        "vm_exec_create",
                        std::slice::from_ref(&vm),
                        Some(wish),
                    )
                    .await;
                vec![vm, id(&exec)]
            }
            Thing::Share => {
                let share = vec![self.vm().await, FRIEND.to_owned()];
                let right = json!({ "right": "use" });
                self.ask(Persona::Rightful, "vm_share_put", &share, Some(right))
                    .await;
                share
            }
            Thing::Team => vec![self.team().await],
            Thing::Member => {
                let member = vec![self.team().await, FRIEND.to_owned()];
                let role = json!({ "role": "member" });
                self.ask(Persona::Rightful, "member_put", &member, Some(role))
                    .await;
                member
            }
            Thing::Account => owned(&[RIGHTFUL]),
            Thing::Key => {
                let (account, key) = (owned(&[RIGHTFUL]), json!({ "key": self.key() }));
                let key = self
                    .ask(Persona::Rightful, "key_create", &account, Some(key))
                    .await;
                vec![RIGHTFUL.to_owned(), text(&key["fingerprint"])]
            }
            Thing::Token => {
                let (account, wish) = (owned(&[RIGHTFUL]), json!({ "name": "another" }));
                let token = self
                    .ask(Persona::Rightful, "token_create", &account, Some(wish))
                    .await;
                vec![RIGHTFUL.to_owned(), id(&token)]
            }
            Thing::User => {
                let name = self.name("user");
                let wish = json!({ "name": name });
                self.ask(Persona::Admin, "user_create", &[], Some(wish)).await;
                vec![name]
            }
            Thing::Host => owned(&[HOST]),
            Thing::Found => vec![HOST.to_owned(), self.found.lock().unwrap().pop_front().unwrap()],
        }
    }

    /// The same of what is not there.
    pub(crate) fn absent(&self, thing: Thing) -> Vec<String> {
        let (vm, exec) = ("vm_00000000000000000000000000", "exec_00000000000000000000000000");
        let values: &[&str] = match thing {
            Thing::Nothing => &[],
            Thing::Code | Thing::Team | Thing::Account | Thing::User | Thing::Host => &["nowhere"],
            Thing::Key => &["nowhere", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"],
            Thing::Token => &["nowhere", "token_00000000000000000000000000"],
            Thing::Vm => &[vm],
            Thing::Exec => &[vm, exec],
            Thing::Share => &[vm, FRIEND],
            Thing::Member => &["nowhere", FRIEND],
            Thing::Found => &[HOST, vm],
        };
        values.iter().map(|&value| value.to_owned()).collect()
    }

    /// A team that the rightful one owns.
    async fn team(&self) -> String {
        let team = self.name("team");
        let wish = json!({ "name": team });
        self.ask(Persona::Admin, "team_create", &[], Some(wish)).await;
        let (owner, role) = ([team.clone(), RIGHTFUL.to_owned()], json!({ "role": "owner" }));
        self.ask(Persona::Admin, "member_put", &owner, Some(role)).await;
        team
    }

    async fn vm(&self) -> String {
        let wish = json!({
            "name": self.name("vm"),
            "image": "debian:12",
            "keys": [KEY],
            "ttl_seconds": 3600,
            "lease_seconds": 3600,
        });
        let vm = id(&self.ask(Persona::Rightful, "vm_create", &[], Some(wish)).await);
        let this = [vm.clone()];
        let look = || async { Ok::<_, ()>(self.ask(Persona::Rightful, "vm_get", &this, None).await) };
        until("the VM runs", look, |vm| vm["status"] == "RUNNING")
            .await
            .unwrap();
        vm
    }

    /// A VM's name with its owner's.
    pub(crate) async fn full_name(&self, vm: &str) -> String {
        let vm = self
            .ask(Persona::Rightful, "vm_get", &[vm.to_owned()], None)
            .await;
        format!("{}.{}", text(&vm["name"]), text(&vm["owner"]))
    }

    /// Calls an operation as somebody who may; it must succeed.
    async fn ask(&self, persona: Persona, operation: &str, values: &[String], body: Option<Value>) -> Value {
        let endpoint = endpoint(operation);
        let mut request = self
            .request(persona, endpoint, crate::row(endpoint), values, "")
            .await;
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = heard(request, endpoint).await;
        assert!((200..300).contains(&answer.status), "{operation}: {answer:?}");
        answer.body
    }

    /// Calls an operation by its row.
    pub(crate) async fn call(
        &self,
        persona: Persona,
        endpoint: &Endpoint,
        row: &Row,
        values: &[String],
    ) -> Answer {
        let request = self.request(persona, endpoint, row, values, row.query).await;
        let request = match row.body {
            Body::Nothing => request,
            Body::Json(body) => request
                .header("content-type", "application/json")
                .body(body(self).to_string()),
            Body::Code => request
                .header("content-type", "application/json")
                .body(self.code().await.to_string()),
            // An empty archive: two blocks of zeros (POSIX pax, "ustar Interchange Format").
            Body::Tar => request
                .header("content-type", "application/x-tar")
                .body(vec![0; 1024]),
            Body::WebSocket => request
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        };
        heard(request, endpoint).await
    }

    /// Calls an operation with another body than its row has.
    pub(crate) async fn send(
        &self,
        persona: Persona,
        endpoint: &Endpoint,
        row: &Row,
        values: &[String],
        body: &Value,
    ) -> Answer {
        let request = self.request(persona, endpoint, row, values, row.query).await;
        let request = request.header("content-type", "application/json");
        heard(request.body(body.to_string()), endpoint).await
    }

    /// What exchanges a one-time code for a token.
    pub(crate) async fn code(&self) -> Value {
        let friend = [FRIEND.to_owned()];
        let user = self.ask(Persona::Admin, "user_code", &friend, None).await;
        json!({ "code": user["secret"], "name": "a machine" })
    }

    async fn request(
        &self,
        persona: Persona,
        endpoint: &Endpoint,
        row: &Row,
        values: &[String],
        query: &str,
    ) -> reqwest::RequestBuilder {
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        let url = format!("{}{}?{query}", self.url, endpoint.path_with(&values));
        let request = self.http.request(endpoint.method.clone(), url).timeout(LIMIT);
        match self.token(persona, endpoint, row).await {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// A token of each that has one.
async fn tokens(cloud: &Cloud) -> HashMap<Persona, String> {
    let admin = cloud.user("ada", Role::Admin).await.unwrap();
    let rightful = cloud.user(RIGHTFUL, Role::Member).await.unwrap();
    let stranger = cloud.user("eve", Role::Member).await.unwrap();
    let disabled = cloud.user("dan", Role::Member).await.unwrap();
    cloud.user(FRIEND, Role::Member).await.unwrap();
    cloud.disable("dan").await.unwrap();
    let member = Scope::of_role(Role::Member);
    let expired = cloud.token_like(&rightful, member, Some(1)).await.unwrap();
    HashMap::from([
        (Persona::Admin, admin),
        (Persona::Rightful, rightful),
        (Persona::Stranger, stranger),
        (Persona::Disabled, disabled),
        (Persona::Expired, expired),
    ])
}

async fn heard(request: reqwest::RequestBuilder, endpoint: &Endpoint) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let header =
        |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    let headers = response.headers().iter().map(header).collect();
    let is_stream = endpoint.answers.iter().any(|answer| {
        answer.status == status && !matches!(answer.content, Content::Json(_) | Content::AnyJson)
    });
    let body = match is_stream {
        true => Value::Null,
        false => serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default(),
    };
    Answer {
        status,
        headers,
        body,
    }
}

fn endpoint(operation: &str) -> &'static Endpoint {
    let found = endpoints().find(|endpoint| endpoint.operation_id == operation);
    found.unwrap_or_else(|| panic!("there is no operation {operation}"))
}

fn id(thing: &Value) -> String {
    text(&thing["id"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
