//! Lists of VMs: a page, or all of them.

use super::{Client, ClientError, all_pages};
use crate::{PageQuery, VmList, VmQuery, vms};

/// All of them fail as [`ClientError`] says.
impl Client {
    /// A page of the VMs that fit.
    pub async fn vm_page(&self, query: &VmQuery) -> Result<VmList, ClientError> {
        // The one parameter that may come several times.
        let labels: Vec<_> = query.label.iter().map(|label| ("label", label)).collect();
        let others = VmQuery {
            label: Vec::new(),
            ..query.clone()
        };
        let request = self.request(&vms::LIST, &[])?;
        self.answer(request.query(&labels).query(&others)).await
    }

    /// All VMs that fit.
    pub async fn vm_list_of(&self, query: VmQuery) -> Result<VmList, ClientError> {
        all_pages(async |page: PageQuery| {
            let page = VmQuery {
                limit: page.limit,
                cursor: page.cursor,
                ..query.clone()
            };
            self.vm_page(&page).await
        })
        .await
    }

    /// All VMs, oldest first.
    pub async fn vm_list(&self) -> Result<VmList, ClientError> {
        self.vm_list_of(VmQuery::default()).await
    }
}
