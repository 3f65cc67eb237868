//! From a bzImage to the ELF kernel inside it.
//!
//! The setup header (Documentation/arch/x86/boot.rst) tells where the payload lies behind the real-mode code; in
//! Debian's cloud kernel it is LZ4 in the old "legacy" framing: a magic, then blocks of at most 8 MiB, each led by
//! its compressed length. The kernel's build appends the decompressed length, which is the last four bytes here.
//!
//! A VMM boots the ELF file directly (PVH), which saves the guest decompressing it at every start.

use std::path::Path;

use super::error::Error;
use super::files::read;

const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const BLOCK: usize = 8 << 20;

/// The decompressed kernel.
pub(super) fn vmlinux(path: &Path) -> Result<Vec<u8>, Error> {
    let image = read(path)?;
    let wrong = |why| Error::BzImage {
        path: path.to_owned(),
        why,
    };
    let payload = payload(&image).ok_or_else(|| wrong("its setup header names no payload"))?;
    let (blocks, length) = payload
        .split_last_chunk::<4>()
        .ok_or_else(|| wrong("its payload is empty"))?;
    let blocks = blocks
        .strip_prefix(&LZ4_LEGACY)
        .ok_or_else(|| wrong("its payload has another magic"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let kernel = decompress(blocks).map_err(|source| Error::Lz4 {
        path: path.to_owned(),
        source,
    })?;
    match kernel.len() == length && kernel.starts_with(b"\x7fELF") {
        true => Ok(kernel),
        false => Err(wrong(
            "what is inside is not an ELF kernel of the promised length",
        )),
    }
}

/// Offsets as in the boot protocol, version 2.08 and later.
fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        count => usize::from(count),
    };
    let start = (setup_sectors + 1) * 512 + word(image, 0x248)?;
    image.get(start..start + word(image, 0x24c)?)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn decompress(mut rest: &[u8]) -> Result<Vec<u8>, lz4_flex::block::DecompressError> {
    let mut kernel = Vec::new();
    while let Some((length, blocks)) = rest.split_first_chunk::<4>() {
        let (block, next) = blocks.split_at(blocks.len().min(u32::from_le_bytes(*length) as usize));
        kernel.append(&mut lz4_flex::block::decompress(block, BLOCK)?);
        rest = next;
    }
    Ok(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(kernel: &[u8]) -> Vec<u8> {
        let mut payload = LZ4_LEGACY.to_vec();
        for block in kernel.chunks(BLOCK) {
            let packed = lz4_flex::block::compress(block);
            payload.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
            payload.extend_from_slice(&packed);
        }
        payload.extend_from_slice(&u32::try_from(kernel.len()).unwrap().to_le_bytes());
        let mut image = vec![0; 5 * 512 + 16];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend_from_slice(&payload);
        image
    }

    fn unpack(image: &[u8]) -> Result<Vec<u8>, Error> {
        let file = std::env::temp_dir().join(format!("bzimage-{}-{}", std::process::id(), image.len()));
        std::fs::write(&file, image).unwrap();
        let result = vmlinux(&file);
        std::fs::remove_file(&file).unwrap();
        result
    }

    #[test]
    fn a_kernel_of_several_blocks_comes_out_whole() {
        let kernel: Vec<u8> = b"\x7fELF"
            .iter()
            .copied()
            .chain((0..BLOCK as u32 + 99).map(|n| (n >> 7) as u8))
            .collect();
        assert!(unpack(&image(&kernel)).unwrap() == kernel);
    }

    #[test]
    fn anything_else_is_refused() {
        let good = image(b"\x7fELF and more");
        let cases = [
            &good[..good.len() - 1],
            &good[..0x240],
            b"MZ",
            &image(b"no kernel")[..],
        ];
        for (index, bad) in cases.into_iter().enumerate() {
            assert!(unpack(bad).is_err(), "case {index}");
        }
    }
}
