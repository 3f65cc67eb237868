use api::ImageRef;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::image;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole};
use crate::table::{Table, size};

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List images
    #[command(after_help = "Example:\n  pwctl image ls")]
    Ls,
    /// Print the full form of a reference, as VMs show it
    Name(Name),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pwctl image name debian:12")]
pub(crate) struct Name {
    /// As create takes it
    #[arg(value_name = "REF")]
    reference: String,
}

impl Image {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Ls => list(global, output).await,
            Self::Name(name) => {
                let reference = image::absolute(&name.reference)?;
                let full = reference
                    .parse::<ImageRef>()
                    .map_err(|source| Failure::Image { source })?
                    .to_string();
                output.one(&json!({ "image": full }), &full, || format!("{full}\n"))
            }
        }
    }
}

async fn list(global: &Global, output: &Output) -> Result<(), Failure> {
    let list = connect(global)?.image_list().await?;
    let digests = || list.items.iter().map(|image| image.digest.clone()).collect();
    output.list(&list, digests, || {
        let is_wide = output.page().is_wide;
        let rows = list.items.iter().map(|image| {
            [
                match is_wide {
                    true => image.digest.clone(),
                    // As much as people compare by eye.
                    false => image.digest.chars().take("sha256:".len() + 12).collect(),
                }
                .into(),
                size(image.size_bytes).into(),
                image.hosts.join(",").into(),
                image.references.join(",").into(),
            ]
        });
        Table::new(
            [
                Whole("DIGEST"),
                Whole("SIZE"),
                Elastic("HOSTS"),
                Elastic("REFERENCES"),
            ],
            rows,
        )
    })
}
