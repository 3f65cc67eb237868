//! What the shells offer while a command line is typed: names of VMs, images and contexts.
//!
//! A shell asks by running pwctl with `COMPLETE` set (`clap_complete`). The server has [`LIMIT`] to answer; one that is
//! away, or refuses, gives no names and no message, for the line being typed is no place for either.

use std::ffi::OsStr;
use std::time::Duration;

use api::{Client, ClientError, VmQuery};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::args::Global;
use crate::connect::connect;
use crate::contexts::{Contexts, LOCAL};
use crate::names::{full_name, short_names};

/// A person waits for no longer; start and answer together stay below 300 ms.
const LIMIT: Duration = Duration::from_millis(200);

/// Nobody reads more names than this.
const MOST: u32 = 100;

/// Completes the name of a VM.
pub(crate) fn vms() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let begun = typed.to_string_lossy().into_owned();
        offered(typed, ask(|client| vm_names(client, begun)))
    })
}

/// Completes the reference of an image that a host holds.
pub(crate) fn images() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offered(typed, ask(references)))
}

/// Completes the name of a host.
pub(crate) fn hosts() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offered(typed, ask(host_names)))
}

/// Completes the name of a context.
pub(crate) fn contexts() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let known = Contexts::open().unwrap_or_default();
        let names = known.iter().map(|(name, _)| name.to_owned());
        offered(typed, names.chain([LOCAL.to_owned()]).collect())
    })
}

/// One page of those that begin so, whether that is `NAME` or `NAME.OWNER`.
async fn vm_names(client: Client, begun: String) -> Result<Vec<String>, ClientError> {
    let (name, is_full) = match begun.split_once('.') {
        Some((name, _)) => (name.to_owned(), true),
        None => (begun, false),
    };
    let query = VmQuery {
        name: Some(name).filter(|name| !name.is_empty()),
        sort: Some("name".to_owned()),
        limit: Some(MOST),
        ..VmQuery::default()
    };
    let vms = client.vm_page(&query).await?.items;
    Ok(match is_full {
        true => vms.iter().map(full_name).collect(),
        false => short_names(&vms),
    })
}

async fn references(client: Client) -> Result<Vec<String>, ClientError> {
    let images = client.image_list().await?.items;
    let of = |image: api::Image| image.references;
    // People write short names; a full one that they began to write is offered as well.
    let both = |name: String| {
        let short = name.strip_prefix("docker.io/library/").map(str::to_owned);
        short.into_iter().chain([name])
    };
    Ok(images.into_iter().flat_map(of).flat_map(both).collect())
}

async fn host_names(client: Client) -> Result<Vec<String>, ClientError> {
    Ok(client
        .host_list()
        .await?
        .items
        .into_iter()
        .map(|host| host.name)
        .collect())
}

fn offered(typed: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let begun = names.into_iter().filter(|name| name.starts_with(&*typed));
    begun.map(CompletionCandidate::new).collect()
}

/// Asks the server that the line means; nothing comes of a failure.
fn ask<F>(what: impl FnOnce(Client) -> F) -> Vec<String>
where
    F: Future<Output = Result<Vec<String>, ClientError>>,
{
    let Ok(client) = connect(&typed_so_far()) else {
        return Vec::new();
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let names = runtime.block_on(async { tokio::time::timeout(LIMIT, what(client)).await });
    runtime.shutdown_background();
    names.ok().and_then(Result::ok).unwrap_or_default()
}

/// The options that say which server is meant, in a line that is not complete and so cannot be parsed.
fn typed_so_far() -> Global {
    let words: Vec<String> = std::env::args().collect();
    let value = |option: &str| {
        let after = words.iter().position(|word| word == option).map(|at| at + 1);
        after.and_then(|at| words.get(at)).cloned()
    };
    let state = value("--state").or_else(|| std::env::var("PITWALL_STATE").ok());
    Global {
        context: value("--context"),
        url: value("--url"),
        insecure_http: words.iter().any(|word| word == "--insecure-http"),
        state: state.unwrap_or_else(|| "/var/lib/pitwall".to_owned()).into(),
        output: None,
        json: false,
        quiet: true,
    }
}
