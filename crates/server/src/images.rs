//! `/v1/images`.

use axum::Json;
use axum::extract::State;
use control::{Control, ImageView};

use crate::auth::Signed;
use crate::refusal::Refusal;

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
) -> Result<Json<api::ImageList>, Refusal> {
    let images = control.image_list(&caller).await?;
    Ok(Json(api::ImageList {
        items: images.into_iter().map(shape).collect(),
        next: None,
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
