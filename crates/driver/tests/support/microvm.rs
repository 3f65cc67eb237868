//! What guests do on QEMU's `microvm` machine: its power and reset registers.

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
