//! What guests do on QEMU's `microvm` machine: its power and reset registers, and its serial port.

use crate::guest::{kernel, says};

/// Writes `hello` on the serial port and powers off.
pub(crate) fn powers_off() -> Vec<u8> {
    kernel(&[says("hello\n"), power_off()])
}

/// Resets the machine after the line that a kernel writes before it does.
pub(crate) fn resets() -> Vec<u8> {
    kernel(&[says("reboot: Restarting system\n"), reset()])
}

/// Resets the machine after a line that a kernel writes when it gives up.
pub(crate) fn panics() -> Vec<u8> {
    kernel(&[says("Kernel panic - not syncing: test\n"), reset()])
}

/// The sleep control register of the ACPI generic event device: sleep type 5, enable (ACPI 6.5 section 4.8.3.7).
fn power_off() -> Vec<u8> {
    store(0xfea0_0200, (5 << 2) | (1 << 5))
}

/// Its reset register.
fn reset() -> Vec<u8> {
    store(0xfea0_0202, 0x42)
}

/// `mov byte [address], value`
fn store(address: u32, value: u8) -> Vec<u8> {
    let mut code = vec![0xc6, 0x05];
    code.extend(address.to_le_bytes());
    code.push(value);
    code
}

/// Writes `idle` and then, for ever, each byte that comes on the serial port: reads the line status (0x3fd) until its bit 0
/// says that there is one (16550 UART), then the byte, and writes it.
pub(crate) fn echoes() -> Vec<u8> {
    let wait = [0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb];
    let echo = [0x66, 0xba, 0xf8, 0x03, 0xec, 0xee];
    // Back to the beginning of `wait`: 2 bytes of this jump, 6 of `echo` and 9 of `wait`.
    let again = [0xeb, 0xef];
    kernel(&[says("idle\n"), [&wait[..], &echo, &again].concat()])
}
