//! Lists: a page, or all of them one after the other.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::{Client, ClientError};
use crate::{
    FoundList, FoundVm, Host, HostList, Image, ImageList, MAX_LIMIT, PageQuery, VmList, VmQuery, hosts,
    images, vms,
};

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

    /// The pages of the VMs that fit, from the one that `query` names to the last.
    pub fn vm_pages(&self, query: VmQuery) -> impl Stream<Item = Result<VmList, ClientError>> + Send + use<> {
        let client = self.clone();
        stream::unfold(Some(query), move |query| {
            let client = client.clone();
            async move {
                let query = query?;
                let page = client.vm_page(&query).await;
                let next = page.as_ref().ok().and_then(|page| page.next.clone());
                let next = next.map(|cursor| VmQuery {
                    cursor: Some(cursor),
                    ..query
                });
                Some((page, next))
            }
        })
    }

    /// All VMs that fit.
    pub async fn vm_list_of(&self, query: VmQuery) -> Result<VmList, ClientError> {
        let pages = self.vm_pages(VmQuery {
            limit: query.limit.or(Some(MAX_LIMIT)),
            ..query
        });
        let items = pages
            .map_ok(|page| stream::iter(page.items).map(Ok))
            .try_flatten()
            .try_collect();
        Ok(VmList {
            items: items.await?,
            next: None,
        })
    }

    /// All VMs, oldest first.
    pub async fn vm_list(&self) -> Result<VmList, ClientError> {
        self.vm_list_of(VmQuery::default()).await
    }

    /// All images that hosts hold, as far as this client may know of them.
    pub async fn image_list(&self) -> Result<ImageList, ClientError> {
        let page = async |page: &PageQuery| -> Result<(Vec<Image>, _), _> {
            let page: ImageList = self.answer(self.request(&images::LIST, &[])?.query(page)).await?;
            Ok((page.items, page.next))
        };
        let (items, next) = (whole(page).await?, None);
        Ok(ImageList { items, next })
    }

    /// All hosts.
    pub async fn host_list(&self) -> Result<HostList, ClientError> {
        let page = async |page: &PageQuery| -> Result<(Vec<Host>, _), _> {
            let page: HostList = self.answer(self.request(&hosts::LIST, &[])?.query(page)).await?;
            Ok((page.items, page.next))
        };
        let (items, next) = (whole(page).await?, None);
        Ok(HostList { items, next })
    }

    /// All VMs found on a host.
    pub async fn host_found_list(&self, host: &str) -> Result<FoundList, ClientError> {
        let page = async |page: &PageQuery| -> Result<(Vec<FoundVm>, _), _> {
            let page: FoundList = self
                .answer(self.request(&hosts::FOUND, &[host])?.query(page))
                .await?;
            Ok((page.items, page.next))
        };
        let (items, next) = (whole(page).await?, None);
        Ok(FoundList { items, next })
    }
}

/// The things of all pages, one page after the other.
async fn whole<T>(
    page: impl AsyncFn(&PageQuery) -> Result<(Vec<T>, Option<String>), ClientError>,
) -> Result<Vec<T>, ClientError> {
    let mut items = Vec::new();
    let mut query = PageQuery {
        limit: Some(MAX_LIMIT),
        cursor: None,
    };
    loop {
        let (more, next) = page(&query).await?;
        items.extend(more);
        query.cursor = next;
        if query.cursor.is_none() {
            return Ok(items);
        }
    }
}
