//! Reads an object of a server that sends it only as a whole, from the beginning.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::{GetOptions, ObjectStore};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::super::again::{PAUSE, TRIES};
use super::super::errors::Failure;
use super::super::object::{Object, version};
use super::super::runtime;
use super::{AHEAD, start_of};
use crate::Result;

/// The blocks of an object in order. The next ones arrive meanwhile.
pub(super) struct Whole {
    /// The block that comes next.
    pub next: u64,
    pub blocks: Receiver<Result<Bytes, Failure>>,
    task: JoinHandle<()>,
}

impl Whole {
    pub fn start(object: Arc<Object>) -> Result<Self> {
        let (sender, blocks) = mpsc::channel(AHEAD as usize);
        let task = runtime::handle()?.spawn(async move {
            if let Err(failure) = send(&object, &sender).await {
                let _ = sender.send(Err(failure)).await;
            }
        });
        Ok(Self { next: 0, blocks, task })
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why sending ended too early.
enum End {
    /// Beginning again may help.
    Cut(Failure),
    Final(Failure),
    /// Nobody waits for more.
    Left,
}

/// Sends all blocks. If the connection is cut, all bytes are requested again, and those that were sent are skipped.
async fn send(object: &Object, sender: &Sender<Result<Bytes, Failure>>) -> Result<(), Failure> {
    let (mut sent, mut tries, mut pause) = (0, 0, PAUSE);
    loop {
        let before = sent;
        match send_from(object, &mut sent, sender).await {
            Ok(()) | Err(End::Left) => return Ok(()),
            Err(End::Final(failure)) => return Err(failure),
            Err(End::Cut(failure)) => {
                (tries, pause) = if sent > before { (1, PAUSE) } else { (tries + 1, 3 * pause) };
                if tries == TRIES {
                    return Err(failure);
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}

async fn send_from(object: &Object, sent: &mut u64, sender: &Sender<Result<Bytes, Failure>>) -> Result<(), End> {
    let whole = object.store.objects.get_opts(&object.key, GetOptions::default()).await;
    let whole = whole.map_err(|error| End::Final(Failure::from(&error)))?;
    if whole.meta.size != object.bytes || object.version.is_some() && version(&whole.meta) != object.version {
        return Err(End::Final(Failure::changed()));
    }
    let mut stream = whole.into_stream();
    let mut position = 0;
    let mut block = BytesMut::new();
    while let Some(bytes) = stream.next().await {
        let mut bytes = bytes.map_err(|error| End::Cut(Failure::from(&error)))?;
        let skipped = start_of(*sent).saturating_sub(position).min(bytes.len() as u64);
        // A block that has begun is after what is skipped.
        position += if block.is_empty() { skipped } else { 0 };
        let mut rest = if block.is_empty() { bytes.split_off(skipped as usize) } else { bytes };
        while !rest.is_empty() {
            let end = start_of(*sent + 1).min(object.bytes);
            let n = (end.saturating_sub(position)).min(rest.len() as u64) as usize;
            if n == 0 {
                return Err(End::Final(Failure::changed()));
            }
            block.reserve((end - start_of(*sent)) as usize - block.len());
            block.extend_from_slice(&rest.split_to(n));
            position += n as u64;
            if position == end {
                sender.send(Ok(block.split().freeze())).await.map_err(|_| End::Left)?;
                *sent += 1;
            }
        }
    }
    if position == object.bytes {
        return Ok(());
    }
    Err(End::Cut(Failure::other(format!("the server sent {position} of {} bytes", object.bytes))))
}
