//! What a VM's machine is made of: its image, its disk, and the words its driver gets.

use std::path::Path;

use driver::{Disk, DiskNames, Kernel, MachineSpec, Nic};
use image::{Image, PullEvent};
use model::{Digest, ImageRef, MacAddr, Stage};
use wire::guest;

use super::{StepError, VmTask};
use crate::disk;

pub(super) const UPPER_SERIAL: &str = "pw-upper";
pub(super) const MODULES_SERIAL: &str = "pw-modules";

impl VmTask {
    /// Resolves and pulls the image, once per root file system; later boots take the digest from the cache. A VM
    /// whose damaged entry lost the digest has it resolved again.
    pub(super) async fn image(&mut self) -> Result<(), StepError> {
        if !self.host.driver.capabilities().needs.root_filesystem {
            return Ok(());
        }
        if self.record.rootfs == self.record.body.rootfs && self.record.image.is_some() {
            return self.cached_image().await.map(drop);
        }
        let view = self.view.clone();
        let host = self.host.clone();
        let progress = move |event: PullEvent| {
            let Some(stage) = stage(event) else { return };
            view.send_modify(|view| view.stage = Some(stage));
            host.changed.notify_one();
        };
        let reference = self.record.body.image.clone();
        let image = self.pull(&reference, &progress).await?;
        self.record.image = Some(image.digest);
        self.host.memory.vm_write(&self.record)?;
        self.show(|view, record| {
            view.stage = None;
            view.image = record.image;
        });
        Ok(())
    }

    /// The VM's image from the cache, pulled again by digest where the cache has lost it.
    pub(super) async fn cached_image(&self) -> Result<Image, StepError> {
        let digest = self
            .record
            .image
            .ok_or_else(|| StepError::ImageLost(Digest::from_sha256([0; 32])))?;
        if let Some(image) = self.host.images.get(&digest)? {
            return Ok(image);
        }
        let reference = match &self.record.body.image {
            ImageRef::Registry(registry) => {
                let mut registry = registry.clone();
                registry.selector = model::Selector::Digest(digest);
                ImageRef::Registry(registry)
            }
            ImageRef::Layout(_) => self.record.body.image.clone(),
        };
        let image = self.pull(&reference, &|_| {}).await?;
        if image.digest == digest {
            Ok(image)
        } else {
            Err(StepError::ImageLost(digest))
        }
    }

    /// Pulls with the VM's own credentials, where it has some: what others have pulled is not for everybody.
    async fn pull(
        &self,
        reference: &ImageRef,
        progress: &(dyn Fn(PullEvent) + Send + Sync),
    ) -> Result<Image, StepError> {
        let secret = self.record.body.registry_secret;
        let credentials = self.host.secrets.registry(self.id(), secret).await?;
        let pulled = self.host.images.pull_as(reference, credentials, progress).await;
        pulled.map_err(StepError::Image)
    }

    pub(super) async fn make_disk(&mut self) -> Result<(), StepError> {
        if self.host.driver.capabilities().needs.root_filesystem {
            let templates = self.host.config.state.join("host").join("templates");
            let path = self.upper_disk();
            let size = self.record.body.disk;
            tokio::task::spawn_blocking(move || disk::make(&templates, &path, size)).await??;
        }
        self.record.rootfs = self.record.body.rootfs;
        self.host.memory.vm_write(&self.record)?;
        self.show(|view, record| view.rootfs = record.rootfs);
        Ok(())
    }

    pub(super) async fn machine_spec(&self) -> Result<MachineSpec, StepError> {
        let needs = self.host.driver.capabilities().needs;
        let body = &self.record.body;
        let mut disks = Vec::new();
        if needs.root_filesystem {
            let image = self.cached_image().await?;
            let read_only = |(index, disk): (usize, &image::ImageDisk)| Disk {
                path: disk.path.clone(),
                serial: image_serial(index),
                read_only: true,
            };
            disks.extend(image.disks.iter().enumerate().map(read_only));
            let (upper, size) = (self.upper_disk(), body.disk);
            tokio::task::spawn_blocking(move || disk::grow(&upper, size)).await??;
            disks.push(Disk {
                path: self.upper_disk(),
                serial: UPPER_SERIAL.to_owned(),
                read_only: false,
            });
        }
        if let Some(path) = self.modules_disk() {
            disks.push(Disk {
                path: path.to_owned(),
                serial: MODULES_SERIAL.to_owned(),
                read_only: true,
            });
        }
        let address = self.host.lease(self.id());
        let nic = match address.filter(|_| needs.tap) {
            Some(address) => {
                let mac = MacAddr::for_vm(address);
                Some(Nic {
                    tap: self.host.network.attach(address, mac).await?,
                    mac,
                })
            }
            None => None,
        };
        let kernel = match &self.host.config.kernel {
            Some(files) if needs.kernel => Some(Kernel {
                vmlinux: files.vmlinux.clone(),
                initramfs: files.initramfs.clone(),
                extra_args: Vec::new(),
            }),
            None if needs.kernel => return Err(StepError::NoKernel),
            Some(_) | None => None,
        };
        Ok(MachineSpec {
            id: self.id(),
            name: body.name.to_string(),
            cpus: body.cpus,
            memory: body.memory,
            disks,
            nic,
            kernel,
            console: body.options.console,
            owner: address.map_or(0, |address| self.host.network.owner(address)),
        })
    }

    /// The disk with the kernel's modules, for a driver that boots our kernel.
    pub(super) fn modules_disk(&self) -> Option<&Path> {
        let kernel = self.host.config.kernel.as_ref();
        let needed = self.host.driver.capabilities().needs.kernel;
        kernel.filter(|_| needed)?.modules.as_deref()
    }

    /// How the guest finds the disk at this place among those of its machine.
    pub(super) fn disk_name(&self, place: usize, serial: String) -> guest::Disk {
        name(
            self.host.driver.capabilities().abilities.disk_names,
            place,
            serial,
        )
    }

    fn upper_disk(&self) -> std::path::PathBuf {
        self.host.memory.vm_folder(self.id()).join("upper.ext4")
    }
}

/// The kernel calls virtio disks `vda`, `vdb` … in the order in which it finds them, and no machine has more than letters.
fn name(names: DiskNames, place: usize, serial: String) -> guest::Disk {
    let letter = u8::try_from(place).ok().and_then(|place| b'a'.checked_add(place));
    match (names, letter) {
        (DiskNames::Order, Some(letter)) => guest::Disk::Path(format!("/dev/vd{}", char::from(letter))),
        (DiskNames::Order, None) | (DiskNames::Serial, _) => guest::Disk::Serial(serial),
    }
}

pub(super) fn image_serial(index: usize) -> String {
    if index == 0 {
        "pw-root".to_owned()
    } else {
        format!("pw-layer-{index}")
    }
}

fn stage(event: PullEvent) -> Option<Stage> {
    let stage = match event {
        PullEvent::Resolved { digest } => Stage {
            what: format!("image {digest}"),
            done: 0,
            total: 0,
        },
        PullEvent::Waiting => Stage {
            what: "image, pulled for another VM".to_owned(),
            done: 0,
            total: 0,
        },
        PullEvent::LayerProgress {
            index,
            count,
            done,
            total,
        } => Stage {
            what: format!("layer {} of {count}", index + 1),
            done,
            total,
        },
        PullEvent::Building => Stage {
            what: "root file system".to_owned(),
            done: 0,
            total: 0,
        },
        PullEvent::Ready { .. } => return None,
    };
    Some(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_finds_its_disks_as_its_machine_names_them() {
        let named = |names, place| name(names, place, image_serial(place)).to_string();
        assert_eq!(named(DiskNames::Serial, 0), "serial:pw-root");
        assert_eq!(named(DiskNames::Serial, 2), "serial:pw-layer-2");
        assert_eq!(named(DiskNames::Order, 0), "/dev/vda");
        assert_eq!(named(DiskNames::Order, 14), "/dev/vdo");
    }
}
