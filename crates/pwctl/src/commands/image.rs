use api::ImageRef;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::image;
use crate::output::Output;
use crate::table::{columns, size};

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List images
    Ls,
    /// Print the full form of a reference, as VMs show it
    Name(Name),
}

#[derive(Debug, Args)]
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
                output.result(&json!({ "image": full }), || format!("{full}\n"))
            }
        }
    }
}

async fn list(global: &Global, output: &Output) -> Result<(), Failure> {
    let list = connect(global)?.image_list().await?;
    output.result(&list, || {
        if output.is_quiet() {
            return list
                .items
                .iter()
                .map(|image| format!("{}\n", image.digest))
                .collect();
        }
        let head = ["DIGEST", "SIZE", "HOSTS", "REFERENCES"];
        let rows = list.items.iter().map(|image| {
            vec![
                // As much as people compare by eye.
                image.digest.chars().take("sha256:".len() + 12).collect(),
                size(image.size_bytes),
                image.hosts.join(","),
                image.references.join(","),
            ]
        });
        columns(
            &std::iter::once(head.map(str::to_owned).to_vec())
                .chain(rows)
                .collect::<Vec<_>>(),
        )
    })
}
