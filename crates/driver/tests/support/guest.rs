//! A guest of a few instructions: an ELF file with a PVH entry (Xen's `PHYS32_ENTRY` note), put together by hand.

const LOAD_ADDRESS: u64 = 0x10_0000;
const CODE_OFFSET: usize = 0x1000;

/// Writes a line on the serial port and halts for ever.
pub(crate) fn idles() -> Vec<u8> {
    kernel(&[says("idle\n")])
}

/// `mov dx, 0x3f8`, then for each byte `mov al, byte; out dx, al`.
pub(crate) fn says(text: &str) -> Vec<u8> {
    let mut code = vec![0x66, 0xba, 0xf8, 0x03];
    for byte in text.bytes() {
        code.extend([0xb0, byte, 0xee]);
    }
    code
}

/// `hlt; jmp -3`
const HALT: [u8; 3] = [0xf4, 0xeb, 0xfd];

/// Does these one after the other, and halts for ever.
pub(crate) fn kernel(steps: &[Vec<u8>]) -> Vec<u8> {
    let code = [steps.concat(), HALT.to_vec()].concat();
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
    file.extend(&code);
    file
}

fn segment(file: &mut Vec<u8>, kind: u32, words: [u64; 6]) {
    file.extend(kind.to_le_bytes());
    file.extend(7_u32.to_le_bytes());
    for word in words {
        file.extend(word.to_le_bytes());
    }
}
