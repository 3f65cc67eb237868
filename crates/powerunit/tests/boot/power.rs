//! Every command that ends a machine or starts it again, of busybox and of powerunit itself.

use std::path::Path;

use wire::guest::{GuestFrame, PowerOffKind};

use crate::can_boot;
use crate::image::{Image, upper_disk};
use crate::vm::Vm;

#[test]
fn the_commands_of_busybox_work() {
    let commands = [
        ("poweroff", Some(PowerOffKind::Off)),
        ("halt", Some(PowerOffKind::Off)),
        ("reboot", Some(PowerOffKind::Reboot)),
        ("reboot -f", None),
    ];
    try_all(Image::busybox, "/bin/busybox ", &commands);
}

#[test]
fn powerunits_own_commands_work() {
    let commands = [
        ("halt", Some(PowerOffKind::Off)),
        ("shutdown -h now", Some(PowerOffKind::Off)),
        ("reboot", Some(PowerOffKind::Reboot)),
        ("shutdown -r now", Some(PowerOffKind::Reboot)),
    ];
    try_all(Image::without_commands, "/bin/", &commands);
}

/// What a host hears before each end; nothing says that a machine was reset at once.
fn try_all(image: fn(&Path) -> Image, place: &str, commands: &[(&str, Option<PowerOffKind>)]) {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path());
    let upper = upper_disk(folder.path());
    for (command, expected) in commands {
        let mut vm = Vm::start(folder.path(), &image, &upper);
        vm.wait_ready();
        let ssh = vm.client();
        let refused = ssh.run(&format!("{place}{command}"));
        // By the command itself, or by the kernel, for whom our program is PID 1's.
        assert!(
            [Some(1), Some(126)].contains(&refused.status.code()),
            "{refused:?}"
        );
        let mut client = ssh
            .command_as("root", &["-o", "ServerAliveInterval=2"])
            .arg(format!("{place}{command}"))
            .spawn()
            .unwrap();
        let mut said = vm.wait_end();
        said.retain(|frame| matches!(frame, GuestFrame::PoweredOff { .. }));
        let expected: Vec<_> = expected
            .iter()
            .map(|kind| GuestFrame::PoweredOff { kind: *kind })
            .collect();
        assert_eq!(said, expected, "{command}");
        client.wait().unwrap();
    }
}
