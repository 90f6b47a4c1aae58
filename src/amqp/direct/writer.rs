//! Writes what was appended, all that waits at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use super::line::{Line, Output};

/// Buffers larger than this are given back to the system once they are written.
const KEEP_BUFFER: usize = 256 << 10;
/// How long the last words of a connection that has ended may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Writes until the connection is gone; what was appended before is written, if the socket takes it.
pub(super) async fn run(line: Arc<Line>, mut socket: OwnedWriteHalf) {
    let gone = async {
        line.over().cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let done = tokio::select! {
        done = write(&line, &mut socket) => done,
        () = gone => Ok(()),
    };
    match done {
        // The broker sees the end of the stream after the last frame.
        Ok(()) => _ = socket.shutdown().await,
        Err(error) => line.fail(&format!("cannot write to the broker: {error}")),
    }
}

async fn write(line: &Line, socket: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let (publishes, output) = line.take(&mut buffer);
        if buffer.is_empty() {
            if output == Output::Ended {
                return Ok(());
            }
            line.filled().await;
            continue;
        }
        socket.write_all(&buffer).await?;
        line.wrote(buffer.len(), publishes);
        buffer.clear();
        if buffer.capacity() > KEEP_BUFFER {
            buffer = Vec::new();
        }
    }
}
