//! Streams. A message whose kind this version does not know is passed over, as a whole frame is.

use model::ProgramEnd;

use super::pb;
use crate::guest::{FrameError, GuestFrame, HostFrame};
use crate::stream::{End, Exec, Failure, FailureCode, Input, Lane, Open, Output, Terminal, TerminalSize};

pub(super) fn raw_lane(lane: Lane) -> pb::Lane {
    match lane {
        Lane::Stdout => pb::Lane::Stdout,
        Lane::Stderr => pb::Lane::Stderr,
    }
}

pub(super) fn lane(number: i32) -> Result<Lane, FrameError> {
    match pb::Lane::try_from(number) {
        Ok(pb::Lane::Stdout) => Ok(Lane::Stdout),
        Ok(pb::Lane::Stderr) => Ok(Lane::Stderr),
        Ok(pb::Lane::Unspecified) | Err(_) => Err(FrameError::Word("lane", number)),
    }
}

pub(super) fn raw_open(stream: u32, open: Open) -> pb::StreamInput {
    use pb::open::Kind;
    let kind = match open {
        Open::Exec(exec) => Kind::Exec(pb::Exec {
            arguments: exec.arguments,
            env: exec.env,
            working_dir: exec.working_dir,
            user: exec.user,
            terminal: exec.terminal.map(|terminal| pb::Terminal {
                size: Some(raw_size(terminal.size)),
                kind: terminal.kind,
            }),
        }),
        Open::ReadFiles { path } => Kind::ReadFiles(path),
        Open::WriteFiles { path } => Kind::WriteFiles(path),
    };
    let open = pb::Open { kind: Some(kind) };
    pb::StreamInput {
        stream,
        message: Some(pb::stream_input::Message::Open(open)),
    }
}

pub(super) fn raw_input(stream: u32, input: Input) -> pb::StreamInput {
    use pb::stream_input::Message as M;
    let message = match input {
        Input::Data(bytes) => M::Data(bytes),
        Input::End => M::End(pb::Nothing {}),
        Input::Resize(size) => M::Resize(raw_size(size)),
        Input::Signal(number) => M::Signal(number),
        Input::Credit(bytes) => M::Credit(bytes),
        Input::Close => M::Close(pb::Nothing {}),
    };
    pb::StreamInput {
        stream,
        message: Some(message),
    }
}

pub(super) fn input(raw: pb::StreamInput) -> Result<Option<HostFrame>, FrameError> {
    use pb::stream_input::Message as M;
    let stream = raw.stream;
    let Some(message) = raw.message else {
        return Ok(None);
    };
    let input = match message {
        M::Open(raw) => {
            let open = raw.kind.map(open).transpose()?;
            return Ok(open.map(|open| HostFrame::Open { stream, open }));
        }
        M::Data(bytes) => Input::Data(bytes),
        M::End(_) => Input::End,
        M::Resize(raw) => Input::Resize(size(raw)),
        M::Signal(number) => Input::Signal(number),
        M::Credit(bytes) => Input::Credit(bytes),
        M::Close(_) => Input::Close,
    };
    Ok(Some(HostFrame::Input { stream, input }))
}

fn open(kind: pb::open::Kind) -> Result<Open, FrameError> {
    use pb::open::Kind;
    Ok(match kind {
        Kind::Exec(exec) if exec.arguments.is_empty() => return Err(FrameError::Empty("program")),
        Kind::Exec(exec) => Open::Exec(Exec {
            arguments: exec.arguments,
            env: exec.env,
            working_dir: exec.working_dir,
            user: exec.user,
            terminal: exec.terminal.map(|terminal| Terminal {
                size: terminal.size.map(size).unwrap_or_default(),
                kind: terminal.kind,
            }),
        }),
        Kind::ReadFiles(path) => Open::ReadFiles { path },
        Kind::WriteFiles(path) => Open::WriteFiles { path },
    })
}

pub(super) fn raw_output(stream: u32, output: Output) -> pb::StreamOutput {
    use pb::stream_output::Message as M;
    let message = match output {
        Output::Data { lane, bytes } => M::Data(pb::Data {
            lane: raw_lane(lane).into(),
            bytes,
        }),
        Output::Credit(bytes) => M::Credit(bytes),
        Output::Ended(end) => M::Ended(pb::Ended {
            how: Some(raw_end(end)),
        }),
    };
    pb::StreamOutput {
        stream,
        message: Some(message),
    }
}

pub(super) fn output(raw: pb::StreamOutput) -> Result<Option<GuestFrame>, FrameError> {
    use pb::stream_output::Message as M;
    let stream = raw.stream;
    let Some(message) = raw.message else {
        return Ok(None);
    };
    let output = match message {
        M::Data(data) => Output::Data {
            lane: lane(data.lane)?,
            bytes: data.bytes,
        },
        M::Credit(bytes) => Output::Credit(bytes),
        M::Ended(ended) => Output::Ended(end(ended)),
    };
    Ok(Some(GuestFrame::Output { stream, output }))
}

fn raw_end(end: End) -> pb::ended::How {
    use pb::ended::How;
    match end {
        End::Program(ProgramEnd::Exited(status)) => How::Exited(status),
        End::Program(ProgramEnd::Killed(signal)) => How::Killed(signal),
        End::Done => How::Done(pb::Nothing {}),
        End::Failed(failure) => How::Failed(pb::StreamFailure {
            code: failure.code.as_str().to_owned(),
            message: failure.message,
        }),
    }
}

/// An end of a kind that this version does not know is an end all the same.
fn end(ended: pb::Ended) -> End {
    use pb::ended::How;
    match ended.how {
        Some(How::Exited(status)) => End::Program(ProgramEnd::Exited(status)),
        Some(How::Killed(signal)) => End::Program(ProgramEnd::Killed(signal)),
        Some(How::Done(_)) => End::Done,
        Some(How::Failed(failure)) => End::Failed(Failure {
            code: FailureCode::parse(&failure.code),
            message: failure.message,
        }),
        None => End::Failed(Failure {
            code: FailureCode::Unrecognised,
            message: "it ended in a way that this version does not know".to_owned(),
        }),
    }
}

fn raw_size(size: TerminalSize) -> pb::TerminalSize {
    pb::TerminalSize {
        columns: size.columns,
        rows: size.rows,
    }
}

fn size(size: pb::TerminalSize) -> TerminalSize {
    TerminalSize {
        columns: size.columns,
        rows: size.rows,
    }
}
