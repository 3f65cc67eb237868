//! A guest of a few instructions: an ELF file with a PVH entry (Xen's `PHYS32_ENTRY` note), put together by hand.

const LOAD_ADDRESS: u64 = 0x10_0000;
const CODE_OFFSET: usize = 0x1000;

/// Writes a line on the serial port and halts for ever.
pub(crate) fn idles() -> Vec<u8> {
    kernel(&[says("idle\n"), HALT.to_vec()].concat())
}

/// Writes `hello` on the serial port and powers off.
pub(crate) fn powers_off() -> Vec<u8> {
    kernel(&[says("hello\n"), power_off(), HALT.to_vec()].concat())
}

/// Resets the machine after the line that a kernel writes before it does.
pub(crate) fn resets() -> Vec<u8> {
    kernel(&[says("reboot: Restarting system\n"), reset(), HALT.to_vec()].concat())
}

/// Resets the machine after a line that a kernel writes when it gives up.
pub(crate) fn panics() -> Vec<u8> {
    kernel(&[says("Kernel panic - not syncing: test\n"), reset(), HALT.to_vec()].concat())
}

/// `hlt; jmp -3`
const HALT: [u8; 3] = [0xf4, 0xeb, 0xfd];

/// `mov dx, 0x3f8`, then for each byte `mov al, byte; out dx, al`.
fn says(text: &str) -> Vec<u8> {
    let mut code = vec![0x66, 0xba, 0xf8, 0x03];
    for byte in text.bytes() {
        code.extend([0xb0, byte, 0xee]);
    }
    code
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

fn kernel(code: &[u8]) -> Vec<u8> {
    let entry = LOAD_ADDRESS + CODE_OFFSET as u64;
    let mut note = Vec::new();
    for number in [4_u32, 8, 18] {
        note.extend(number.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend(entry.to_le_bytes());

    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2_u16, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for word in [entry, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 2, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let length = code.len() as u64;
    segment(
        &mut file,
        1,
        [CODE_OFFSET as u64, entry, entry, length, length, 0x1000],
    );
    let notes = note.len() as u64;
    segment(
        &mut file,
        4,
        [64 + 2 * 56, LOAD_ADDRESS, LOAD_ADDRESS, notes, notes, 4],
    );
    file.extend(note);
    file.resize(CODE_OFFSET, 0);
    file.extend(code);
    file
}

fn segment(file: &mut Vec<u8>, kind: u32, words: [u64; 6]) {
    file.extend(kind.to_le_bytes());
    file.extend(7_u32.to_le_bytes());
    for word in words {
        file.extend(word.to_le_bytes());
    }
}
