//! `/v1/vms/{vm}/exec`: asking for a program, and attaching to it.

use api::exec as endpoints;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use control::stream::{Exec, Open, Terminal, TerminalSize};
use control::{Control, MAX_COMMAND_WORDS, Operation, StreamRequest, VmSelector};
use http::StatusCode;
use http::header::LOCATION;
use model::{ExecId, Problem, ProblemCode};

use crate::access::{while_open, withdrawn};
use crate::auth::Signed;
use crate::body::Body;
use crate::flows::Flows;
use crate::refusal::Refusal;
use crate::relay::{Relays, Upgrade};
use crate::waiting::Execs;

/// What a program gets that asks for a terminal and names no kind; every image's terminfo knows it.
const TERM: &str = "xterm-256color";
/// Below what Linux lets a program have (128 KiB for a word), and small on the guest's control channel.
const MAX_BYTES: usize = 64 * 1024;

pub(crate) async fn create(
    State(control): State<Control>,
    State(execs): State<Execs>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Body(wish): Body<api::CreateExec>,
) -> Result<(StatusCode, [(http::HeaderName, String); 1], Json<api::Exec>), Refusal> {
    let exec = understood(wish)?;
    let found = control
        .vm_meant(&caller, &vm.parse()?, Operation::VmExecCreate)
        .await?;
    let (id, expires_at) = execs.put(&caller, found, exec)?;
    let path = endpoints::ATTACH.path_with(&[&vm, &id.to_string()]);
    let answer = api::Exec {
        id,
        path: path.clone(),
        expires_at: expires_at.to_string(),
    };
    Ok((StatusCode::CREATED, [(LOCATION, path)], Json(answer)))
}

pub(crate) async fn attach(
    State(control): State<Control>,
    State(execs): State<Execs>,
    State(relays): State<Relays>,
    State(flows): State<Flows>,
    Signed(caller): Signed,
    Path((vm, exec)): Path<(String, String)>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let vm = control
        .vm_meant(&caller, &vm.parse()?, Operation::VmExecAttach)
        .await?;
    let id = exec.parse::<ExecId>().map_err(|_| forgotten())?;
    if !execs.holds(id, caller.token, vm) {
        return Err(forgotten().into());
    }
    let upgrade = upgrade.ready()?;
    let open = flows.open(caller.user)?;
    let exec = execs.take(id, caller.token, vm).ok_or_else(forgotten)?;
    let request = StreamRequest::Guest(Open::Exec(exec));
    let stream = control.vm_stream(&caller, &VmSelector::Id(vm), request).await?;
    let withdrawn = while_open(open, withdrawn(&control, &caller, vm, Operation::VmExecAttach));
    Ok(relays.upgrade(upgrade, stream, withdrawn))
}

fn forgotten() -> Problem {
    Problem::new(
        ProblemCode::NotFound,
        "nobody waits for a program under this id; each is started once, and forgotten after 30 s",
    )
    .hint("ask for it again: POST …/exec")
}

/// A request's words turned into values, each refused at its own place.
fn understood(wish: api::CreateExec) -> Result<Exec, Problem> {
    if wish.command.is_empty() {
        return Err(invalid("/command", "a command has at least one word"));
    }
    if wish.command.len() > MAX_COMMAND_WORDS {
        return Err(invalid(
            "/command",
            format!("a command has at most {MAX_COMMAND_WORDS} words"),
        ));
    }
    let env: Vec<_> = wish
        .env
        .into_iter()
        .map(|(name, value)| variable(&name, &value))
        .collect::<Result<_, _>>()?;
    let exec = Exec {
        arguments: wish.command,
        env,
        working_dir: wish.working_dir.unwrap_or_default(),
        user: wish.user.unwrap_or_default(),
        terminal: wish.terminal.map(terminal).transpose()?,
    };
    if !exec.working_dir.is_empty() && !exec.working_dir.starts_with('/') {
        return Err(invalid("/working_dir", "a working directory is an absolute path"));
    }
    let texts = || {
        exec.arguments
            .iter()
            .chain(&exec.env)
            .chain([&exec.working_dir, &exec.user])
    };
    if texts().any(|text| text.contains('\0')) {
        return Err(invalid("", "nothing about a program holds a NUL character"));
    }
    if texts().map(|text| text.len() + 1).sum::<usize>() > MAX_BYTES {
        return Err(invalid(
            "",
            format!("command and environment have at most {MAX_BYTES} bytes in all"),
        ));
    }
    Ok(exec)
}

fn variable(name: &str, value: &str) -> Result<String, Problem> {
    match name.is_empty() || name.contains('=') {
        // Not repeated: what stands behind an equals sign may be a secret in the wrong place.
        true => Err(invalid(
            "/env",
            "a variable's name is not empty and holds no equals sign",
        )),
        false => Ok(format!("{name}={value}")),
    }
}

fn terminal(asked: api::Terminal) -> Result<Terminal, Problem> {
    for (size, pointer) in [
        (asked.columns, "/terminal/columns"),
        (asked.rows, "/terminal/rows"),
    ] {
        if size == 0 {
            return Err(invalid(pointer, "a terminal has at least one column and one row"));
        }
    }
    let kind = asked.term.unwrap_or_else(|| TERM.to_owned());
    if kind.contains('\0') {
        return Err(invalid(
            "/terminal/term",
            "a kind of terminal holds no NUL character",
        ));
    }
    Ok(Terminal {
        size: TerminalSize {
            columns: asked.columns.into(),
            rows: asked.rows.into(),
        },
        kind,
    })
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    let problem = Problem::new(ProblemCode::InvalidValue, detail);
    match pointer {
        "" => problem,
        pointer => problem.at(pointer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(json: serde_json::Value) -> api::CreateExec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_wish_becomes_a_program() {
        let asked = wish(serde_json::json!({
            "command": ["ls", "-l"], "env": { "A": "1", "B": "x=y" }, "working_dir": "/srv", "user": "fred",
            "terminal": { "columns": 80, "rows": 24 }
        }));
        let expected = Exec {
            arguments: vec!["ls".into(), "-l".into()],
            env: vec!["A=1".into(), "B=x=y".into()],
            working_dir: "/srv".into(),
            user: "fred".into(),
            terminal: Some(Terminal {
                size: TerminalSize {
                    columns: 80,
                    rows: 24,
                },
                kind: TERM.into(),
            }),
        };
        assert_eq!(understood(asked).unwrap(), expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused_at_its_place() {
        for (json, pointer) in [
            (serde_json::json!({ "command": [] }), Some("/command")),
            (serde_json::json!({ "command": ["a\0b"] }), None),
            (serde_json::json!({ "command": ["x".repeat(64 << 10)] }), None),
            (
                serde_json::json!({ "command": ["a"], "env": { "": "1" } }),
                Some("/env"),
            ),
            (
                serde_json::json!({ "command": ["a"], "env": { "A=B": "1" } }),
                Some("/env"),
            ),
            (
                serde_json::json!({ "command": ["a"], "working_dir": "srv" }),
                Some("/working_dir"),
            ),
            (
                serde_json::json!({ "command": ["a"], "terminal": { "columns": 0, "rows": 24 } }),
                Some("/terminal/columns"),
            ),
        ] {
            let problem = understood(wish(json.clone())).unwrap_err();
            assert_eq!(
                (problem.code, problem.pointer.as_deref()),
                (ProblemCode::InvalidValue, pointer),
                "{json}"
            );
        }
    }
}
