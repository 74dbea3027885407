//! Connections that write the same bytes over and over, as fast as they are taken, and what a quick
//! caller meets meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::running::Running;

/// It ends when this is dropped.
pub struct Flood {
    written: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Flood {
    /// Each connection writes `first` and then `again`; what it is answered it reads and drops. One that
    /// is closed is opened anew.
    pub fn start(running: &Running, connections: usize, first: &[u8], again: &[u8]) -> Self {
        let address = running.tcp();
        let (first, again): (Arc<[u8]>, Arc<[u8]>) = (first.into(), again.into());
        let written = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (first, again, written) = (first.clone(), again.clone(), written.clone());
            tasks.spawn(async move {
                loop {
                    let _ = write(address, &first, &again, &written).await;
                }
            });
        }
        Self { written, _tasks: tasks }
    }

    /// How much of the flood the gateway reads while it answers one quick call, on a connection that is
    /// kept: the median of several. It tells how often others have their turn, on any machine.
    pub async fn read_during_a_call(&self, running: &Running) -> usize {
        let mut caller = running.caller().await;
        let mut read = Vec::new();
        for _ in 0..9 {
            let before = self.written.load(Relaxed);
            caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            assert_eq!(caller.answer().await.status(), 200);
            read.push(self.written.load(Relaxed) - before);
        }
        read.sort_unstable();
        read[read.len() / 2]
    }
}

async fn write(
    address: SocketAddr,
    first: &[u8],
    again: &[u8],
    written: &AtomicUsize,
) -> std::io::Result<()> {
    // What is written has been read, but for a little.
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(16 << 10)?;
    let (mut from, mut to) = socket.connect(address).await?.into_split();
    let reading = async move {
        let mut room = vec![0; 64 << 10];
        while from.read(&mut room).await? > 0 {}
        Ok(())
    };
    let writing = async {
        to.write_all(first).await?;
        loop {
            for piece in again.chunks(16 << 10) {
                to.write_all(piece).await?;
                written.fetch_add(piece.len(), Relaxed);
            }
        }
    };
    tokio::select! { ended = reading => ended, failed = writing => failed }
}
