//! Which modules a microVM needs, what those need, and in which order they load.
//!
//! The package brings no `modules.dep`, so depmod writes one; each of its lines names a module and all it needs,
//! the innermost last. Signatures are cut off: checking them costs the guest a tenth of its boot, and whoever could
//! change the initramfs could change the kernel as well.

use std::collections::HashMap;
use std::process::Command;

use super::error::Error;
use super::files::{read, run};
use super::kernel::Tree;

/// When powerunit loads a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    Always,
    /// Only where there is a PCI bus: QEMU's q35, not its microvm, nor Firecracker.
    Pci,
    /// Only where there is a virtio device of this number (virtio 1.2 section 5): loading what nobody uses takes time.
    Virtio(u8),
}

impl When {
    /// The word in `/modules/order`.
    pub(super) fn word(self) -> String {
        match self {
            Self::Always => "always".to_owned(),
            Self::Pci => "pci".to_owned(),
            Self::Virtio(number) => format!("virtio:{number}"),
        }
    }
}

/// Those wanted, in order of use: the control port first, so that the configuration arrives while disks appear.
const WANTED: [(&str, When); 10] = [
    ("virtio_mmio", When::Always),
    ("virtio_pci", When::Pci),
    ("virtio_console", When::Always),
    ("vmw_vsock_virtio_transport", When::Virtio(19)),
    ("virtio_blk", When::Always),
    ("erofs", When::Always),
    ("overlay", When::Always),
    ("virtio_net", When::Always),
    ("virtio_balloon", When::Virtio(5)),
    ("virtio_rng", When::Virtio(4)),
];

/// One module, ready to be packed.
pub(super) struct Module {
    pub(super) when: When,
    pub(super) file_name: String,
    pub(super) content: Vec<u8>,
}

/// All that are needed, in the order of loading.
pub(super) fn collect(tree: &Tree) -> Result<Vec<Module>, Error> {
    run(
        "depmod",
        "kmod",
        Command::new("depmod")
            .arg("-b")
            .arg(&tree.root)
            .arg(&tree.release),
    )?;
    let dep = read(&tree.modules.join("modules.dep"))?;
    let order = order(&String::from_utf8_lossy(&dep), &WANTED)?;
    order
        .into_iter()
        .map(|(path, when)| {
            let content = unsigned(read(&tree.modules.join(&path))?);
            Ok(Module {
                when,
                file_name: base(&path).to_owned(),
                content,
            })
        })
        .collect()
}

/// Pure: the paths to load, each once, everything a module needs before it. What an always-module needs is always
/// loaded, also where a conditional module named it first.
fn order(dep: &str, wanted: &[(&str, When)]) -> Result<Vec<(String, When)>, Error> {
    let lines = dep.lines().filter_map(|line| line.split_once(':'));
    let needs: HashMap<String, (&str, Vec<&str>)> = lines
        .map(|(path, rest)| (module_name(path), (path, rest.split_whitespace().collect())))
        .collect();
    let mut order: Vec<(String, When)> = Vec::new();
    for (name, when) in wanted {
        let (path, needed) = needs
            .get(*name)
            .ok_or_else(|| Error::NoModule((*name).to_owned()))?;
        for path in needed.iter().rev().chain([path]) {
            match order.iter_mut().find(|(known, _)| known == path) {
                Some((_, known)) if *when == When::Always => *known = When::Always,
                Some(_) => {}
                None => order.push(((*path).to_owned(), *when)),
            }
        }
    }
    Ok(order)
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// As the kernel says it: `-` and `_` are one.
fn module_name(path: &str) -> String {
    base(path).trim_end_matches(".ko").replace('-', "_")
}

const MARK: &[u8] = b"~Module signature appended~\n";

/// Cuts off what scripts/sign-file appended: signature, `struct module_signature` (12 bytes, the last four are the
/// signature's length, big-endian), and the mark.
pub(super) fn unsigned(mut module: Vec<u8>) -> Vec<u8> {
    let end = module.strip_suffix(MARK).and_then(|rest| {
        let (rest, info) = rest.split_last_chunk::<12>()?;
        let [_, _, _, signer, key_id, _, _, _, l0, l1, l2, l3] = *info;
        let signature = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        rest.len()
            .checked_sub(signature + usize::from(signer) + usize::from(key_id))
    });
    module.truncate(end.unwrap_or(module.len()));
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/virtio-net.ko: kernel/net/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/net/failover.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
";

    #[test]
    fn what_a_module_needs_comes_before_it_and_once() {
        let order = order(DEP, &[("virtio_pci", When::Pci), ("virtio_net", When::Always)]).unwrap();
        let names: Vec<_> = order.iter().map(|(path, when)| (base(path), *when)).collect();
        let expected = [
            ("virtio_ring.ko", When::Always),
            ("virtio.ko", When::Always),
            ("virtio_pci.ko", When::Pci),
            ("failover.ko", When::Always),
            ("virtio-net.ko", When::Always),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let error = order(DEP, &[("virtio_blk", When::Always)]).unwrap_err();
        assert!(error.to_string().contains("virtio_blk"));
    }

    #[test]
    fn a_signature_is_cut_off_and_nothing_else() {
        let plain = b"\x7fELF module".to_vec();
        let mut signed = plain.clone();
        signed.extend_from_slice(b"sigsig");
        signed.extend_from_slice(&[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 6]);
        signed.extend_from_slice(MARK);
        assert_eq!(unsigned(signed), plain);
        assert_eq!(unsigned(plain.clone()), plain);
    }
}
