//! A console of a simulated machine: it shows what was printed, and what is typed on it, as a terminal would.

use std::sync::Arc;

use model::VmId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use super::world::World;

/// Serves one seat until the machine ends, the seat is taken, or nobody sits there any more.
pub(super) async fn serve(
    world: Arc<World>,
    id: VmId,
    mut printed: watch::Receiver<String>,
    mut seat: DuplexStream,
) {
    let mut shown = 0;
    let mut typed = [0; 256];
    loop {
        let news = printed.borrow_and_update().get(shown..).map(str::to_owned);
        if let Some(news) = news.filter(|news| !news.is_empty()) {
            shown += news.len();
            if seat.write_all(news.as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            changed = printed.changed() => if changed.is_err() {
                return;
            },
            count = seat.read(&mut typed) => {
                let Ok(count @ 1..) = count else { return };
                world.print(id, &String::from_utf8_lossy(typed.get(..count).unwrap_or_default()));
            }
        }
    }
}
