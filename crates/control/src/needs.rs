//! What a VM needs of its host beyond the plainest one, as it follows from what is asked of it.

use model::{Feature, ImageRef, VmBody, VmOptions};

/// Renews the features that a body needs, after any change to it. Those that do not follow from it stay: an adopted VM
/// may have some that only its host knows.
pub(crate) fn needs_renew(body: &mut VmBody) {
    let layout = matches!(body.image, ImageRef::Layout(_));
    for (feature, needed) in [
        (Feature::OCI_LAYOUT, layout),
        (Feature::OPTIONS, body.options != VmOptions::default()),
        (Feature::REGISTRY_SECRET, body.registry_secret.is_some()),
        (Feature::IDLE, body.idle_after.is_some()),
    ] {
        if needed {
            body.needs.insert(feature);
        } else {
            body.needs.remove(&feature);
        }
    }
}
