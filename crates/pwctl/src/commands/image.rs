use clap::Subcommand;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{columns, size};

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List images
    Ls,
}

impl Image {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let Self::Ls = self;
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
}
