//! Lists: a page, or all of them one after the other.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::{Client, ClientError};
use crate::{MAX_LIMIT, VmList, VmQuery, vms};

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
}
