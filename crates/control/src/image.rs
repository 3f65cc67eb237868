//! Looking at the images that hosts hold.
//!
//! Admins see all of it. Members see the images that VMs they may use were made from, by the references those VMs name, and
//! no hosts: what else lies in the cache, and under which names, tells of other people's work.

use std::collections::{BTreeMap, BTreeSet};

use model::{Digest, Role};
use store::{Host, Read};

use crate::page::Paging;
use crate::{Caller, Control, Error, ImageView, Operation, Page, PageRequest};

/// The images that somebody's VMs were made from, with the references they name.
type Used = BTreeMap<Digest, BTreeSet<String>>;

impl Control {
    /// The images that hosts hold, as far as the caller may know of them, by digest.
    ///
    /// # Errors
    /// The cursor is none of this list, or the memory cannot be read.
    pub async fn image_list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<ImageView>, Error> {
        caller.may_ask_for(Operation::ImageList)?;
        let (paging, behind) = Paging::of::<String>(caller, Operation::ImageList, &(), page)?;
        let mut read = self.inner.store.read().await?;
        let held = held_by(read.host_list().await?);
        let images = match caller.role {
            Role::Admin => held,
            Role::Member => known_by_use(held, &used_by(&mut read, caller).await?),
        };
        drop(read);
        paging.page_of_all(images, behind.as_ref(), |image| image.digest.to_string())
    }
}

/// All images, in the order of their digests.
fn held_by(hosts: Vec<Host>) -> Vec<ImageView> {
    let mut images: BTreeMap<Digest, ImageView> = BTreeMap::new();
    for host in hosts {
        for held in host.images {
            let image = images.entry(held.digest).or_insert_with(|| ImageView {
                digest: held.digest,
                references: [].into(),
                size_bytes: 0,
                hosts: [].into(),
            });
            image.references.extend(held.references);
            image.size_bytes = image.size_bytes.max(held.size_bytes);
            image.hosts.insert(host.name.clone());
        }
    }
    images.into_values().collect()
}

async fn used_by(read: &mut Read, caller: &Caller) -> Result<Used, Error> {
    let mut used = Used::new();
    for (image, digest) in read.image_list_of_user(caller.user).await? {
        used.entry(digest).or_default().insert(image.to_string());
    }
    Ok(used)
}

/// What is left of the images for somebody who knows of them only by using them.
fn known_by_use(held: Vec<ImageView>, used: &Used) -> Vec<ImageView> {
    let known = held.into_iter().filter_map(|image| {
        let names = used.get(&image.digest)?;
        Some(ImageView {
            references: image.references.intersection(names).cloned().collect(),
            hosts: [].into(),
            ..image
        })
    });
    known.collect()
}
