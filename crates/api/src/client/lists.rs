//! Lists: a page, or all of them.

use super::{Client, ClientError, all_pages};
use crate::{FoundList, HostList, ImageList, PageQuery, VmList, VmQuery, hosts, images, vms};

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

    /// All images that hosts hold, as far as this client may know of them.
    pub async fn image_list(&self) -> Result<ImageList, ClientError> {
        all_pages(async |page: PageQuery| self.answer(self.request(&images::LIST, &[])?.query(&page)).await)
            .await
    }

    /// All hosts.
    pub async fn host_list(&self) -> Result<HostList, ClientError> {
        all_pages(async |page: PageQuery| self.answer(self.request(&hosts::LIST, &[])?.query(&page)).await)
            .await
    }

    /// All VMs found on a host.
    pub async fn host_found_list(&self, host: &str) -> Result<FoundList, ClientError> {
        let found = async |page: PageQuery| {
            self.answer(self.request(&hosts::FOUND, &[host])?.query(&page))
                .await
        };
        all_pages(found).await
    }
}
