//! `/v1/images`.

use api::PageQuery;
use axum::Json;
use axum::extract::State;
use control::{Control, ImageView};

use crate::auth::Signed;
use crate::query::{Asked, page};
use crate::refusal::Refusal;

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<api::ImageList>, Refusal> {
    let images = control.image_list(&caller, &page(query)).await?.map(shape);
    Ok(Json(api::ImageList {
        items: images.items,
        next: images.next,
    }))
}

fn shape(image: ImageView) -> api::Image {
    api::Image {
        digest: image.digest.to_string(),
        references: image.references.into_iter().collect(),
        size_bytes: image.size_bytes,
        hosts: image.hosts.iter().map(ToString::to_string).collect(),
    }
}
