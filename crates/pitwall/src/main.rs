//! The composition page: one program, its roles, and the order in which its parts start and stop.
//!
//! ```text
//!   pitwall up             every role in one process: store ─ bus ─ control ─ orchestrator ─ server
//!   pitwall orchestrator   the agent of this host alone: it starts what should run, without control
//!   pitwall down           ends all: control plane, VMs, host network; what is asked stays
//!   pitwall admin-token    renews the token in admin.token
//!   pitwall doctor         what this host can do, what is missing, and the command that mends it
//! ```
//!
//! Nothing is registered behind the reader's back: each role builds its parts in plain sight, prints what it bound,
//! and stops them in one sequence. Stopping stops no VM.

mod config;
mod doctor;
mod edges;
mod lock;
mod log;
mod parts;
mod roles;
mod vmm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use config::{Flags, Settings};

/// The C library's had a sixth of the processor time of a control plane under load (docs/figures.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Virtual machines you can simply ssh into.
#[derive(Parser)]
#[command(name = "pitwall", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    role: Role,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Role {
    /// Run everything on this machine in one process
    Up,
    /// Run the agent of this host alone; it starts what should run without control
    Orchestrator {
        /// Make the host network and end; may be run again
        #[arg(long)]
        setup: bool,
    },
    /// End everything here: control plane, VMs, network. What is asked stays, and `up` brings it back
    Down,
    /// The token in admin.token, which lets its reader do anything
    #[command(subcommand)]
    AdminToken(AdminToken),
    /// Say what this host can do, what is missing, and the command that mends it
    Doctor(doctor::Options),
}

#[derive(Subcommand)]
enum AdminToken {
    /// Put a new token in the place of the old one, whether pitwall runs or not
    Rotate {
        /// Where the running pitwall is reached [default: where it listens]
        #[arg(long)]
        url: Option<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Settings::load(&cli.flags, &machine_name())
        .map_err(roles::RoleError::from)
        .and_then(|settings| {
            log::start(&settings)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .map_err(roles::RoleError::Runtime)?;
            runtime.block_on(async {
                match cli.role {
                    Role::Up => roles::up(settings).await,
                    Role::Orchestrator { setup: true } => roles::orchestrator_setup(settings).await,
                    Role::Orchestrator { setup: false } => roles::orchestrator(settings).await,
                    Role::Down => roles::down(settings).await,
                    Role::AdminToken(AdminToken::Rotate { url }) => {
                        roles::admin_token_rotate(settings, url).await
                    }
                    Role::Doctor(options) => doctor::run(&settings, options).await,
                }
            })
        });
    match done {
        Ok(code) => code,
        Err(error) => {
            log::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn machine_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default()
}
