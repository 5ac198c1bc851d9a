//! Reads an object by ranges: several requests ahead when it is read in order, and one at a time otherwise.

mod from_beginning;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{FutureExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResult, ObjectStore};
use tokio::task::JoinHandle;

use self::from_beginning::Whole;
use super::again::{PAUSE, TRIES};
use super::errors::{Failure, FailureKind};
use super::memory::{PIECE, Piece};
use super::object::{Object, version};
use super::runtime;
use crate::{Error, Result};

/// The length of a block, which is one request. The first ones are shorter, because often only the beginning of a file
/// is needed.
const BLOCK: u64 = PIECE as u64;
const FIRST_ENDS: [u64; 2] = [256 << 10, 1 << 20];
/// The most blocks that are requested ahead.
const AHEAD: u64 = 3;
/// Blocks that are kept behind the one that is read, for readers that go back a little, and after how many blocks in
/// order a reader no longer does.
const BEHIND: u64 = 1;
const GOES_BACK: u64 = 4;
/// How often an object is begun again, if its server sends it only as a whole and the reader goes back.
const BEGINNINGS: u32 = 4;

type Block = JoinHandle<Result<Bytes, Failure>>;

/// The bytes of an object, for any number of readers.
pub(crate) struct Ranges {
    object: Arc<Object>,
    stop: Arc<AtomicBool>,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    arrived: BTreeMap<u64, Bytes>,
    coming: BTreeMap<u64, Block>,
    /// The block that was read last.
    last: Option<u64>,
    /// How many blocks were read in order.
    in_order: u64,
    /// The server sends the object only as a whole.
    no_ranges: bool,
    whole: Option<Whole>,
    beginnings: u32,
}

impl Ranges {
    /// Requests nothing yet. Waiting ends with an error when `stop` is set.
    pub fn new(object: Object, stop: Arc<AtomicBool>) -> Self {
        Self { object: Arc::new(object), stop, window: Mutex::default() }
    }

    /// Requests the beginning, and does not wait for it. If that fails, reading reports it.
    pub fn begin(&self) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.request(&mut window, 0);
    }

    /// Returns the number of bytes of the object.
    pub fn len(&self) -> u64 {
        self.object.bytes
    }

    /// Reads some bytes at `position` into `buffer`. Returns 0 only at the end of the object, or if `buffer` is empty.
    pub fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if position >= self.object.bytes || buffer.is_empty() {
            return Ok(0);
        }
        let number = block_at(position);
        let block = self.block(number)?;
        let from = (position - start_of(number)) as usize;
        let n = buffer.len().min(block.len() - from);
        buffer[..n].copy_from_slice(&block[from..from + n]);
        Ok(n)
    }

    fn block(&self, number: u64) -> io::Result<Bytes> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.no_ranges {
            return self.block_of_whole(&mut window, number);
        }
        if window.last != Some(number) {
            window.in_order = if window.last.is_some_and(|last| last + 1 == number) { window.in_order + 1 } else { 0 };
            window.last = Some(number);
            let ahead = (2 * window.in_order).min(AHEAD);
            let behind = if window.in_order < GOES_BACK { BEHIND } else { 0 };
            let wanted = number.saturating_sub(behind)..=number + ahead;
            window.arrived.retain(|it, _| wanted.contains(it));
            window.coming.retain(|it, task| {
                let keep = wanted.contains(it);
                if !keep {
                    task.abort();
                }
                keep
            });
            for next in number..=number + ahead {
                self.request(&mut window, next)?;
            }
        }
        if let Some(block) = window.arrived.get(&number) {
            return Ok(block.clone());
        }
        self.request(&mut window, number)?;
        let Some(task) = window.coming.get_mut(&number) else { return Err(Failure::other("no request").into()) };
        let result = wait_for_block(task, &self.stop);
        window.coming.remove(&number);
        match result {
            Err(error) if Failure::of(&error).is_some_and(|failure| failure.kind == FailureKind::NoRanges) => {
                window.no_ranges = true;
                std::mem::take(&mut window.coming).values().for_each(JoinHandle::abort);
                self.block_of_whole(&mut window, number)
            }
            result => {
                let block = result?;
                window.arrived.insert(number, block.clone());
                Ok(block)
            }
        }
    }

    /// Returns a block of an object that is sent only as a whole, after all blocks before it.
    fn block_of_whole(&self, window: &mut Window, number: u64) -> io::Result<Bytes> {
        if let Some(block) = window.arrived.get(&number) {
            return Ok(block.clone());
        }
        let mut whole = match window.whole.take().filter(|whole| whole.next <= number) {
            Some(whole) => whole,
            None if window.beginnings == BEGINNINGS => return Err(Failure::no_ranges().into()),
            None => {
                window.beginnings += 1;
                window.arrived.clear();
                Whole::start(Arc::clone(&self.object)).map_err(io::Error::other)?
            }
        };
        loop {
            let next = whole.next;
            let block = wait(whole.blocks.recv(), &self.stop)?;
            let block = block.unwrap_or_else(|| Err(Failure::other("the request was given up")))?;
            whole.next += 1;
            window.arrived.retain(|it, _| it + BEHIND >= next);
            window.arrived.insert(next, block.clone());
            if next == number {
                window.whole = Some(whole);
                return Ok(block);
            }
        }
    }

    fn request(&self, window: &mut Window, number: u64) -> io::Result<()> {
        let range = start_of(number)..start_of(number + 1).min(self.object.bytes);
        if range.start >= self.object.bytes
            || window.arrived.contains_key(&number)
            || window.coming.contains_key(&number)
        {
            return Ok(());
        }
        let handle = runtime::handle().map_err(io::Error::other)?;
        window.coming.insert(number, handle.spawn(fetch(Arc::clone(&self.object), range)));
        Ok(())
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        let window = self.window.get_mut().unwrap_or_else(PoisonError::into_inner);
        window.coming.values().for_each(JoinHandle::abort);
    }
}

fn wait_for_block(task: &mut Block, stop: &AtomicBool) -> io::Result<Bytes> {
    let given_up = || Failure::other("the request was given up");
    // Most blocks have arrived before they are needed.
    if task.is_finished()
        && let Some(result) = (&mut *task).now_or_never()
    {
        return Ok(result.map_err(|_| given_up())??);
    }
    Ok(wait(task, stop)?.map_err(|_| given_up())??)
}

/// Waits for `future`, or until `stop` is set.
fn wait<T>(future: impl Future<Output = T>, stop: &AtomicBool) -> io::Result<T> {
    runtime::wait_unless(future, || stop.load(Ordering::Relaxed)).map_err(|error| match error {
        Error::Interrupted(_) => Failure::stopped().into(),
        error => io::Error::other(error),
    })
}

/// Requests a range until all of its bytes have arrived.
async fn fetch(object: Arc<Object>, range: std::ops::Range<u64>) -> Result<Bytes, Failure> {
    let length = range.end - range.start;
    let mut pause = PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        let mut block = Piece::with_room(length as usize);
        let cut = match receive(request(&object, range.clone()).await?, length, block.content()).await {
            Ok(received) if received == length => return Ok(block.into_bytes()),
            Ok(received) => Failure::other(format!(
                "bytes {} to {}: the server sent {received} of {length} bytes",
                range.start, range.end
            )),
            Err(error) => Failure::from(&error),
        };
        // If the object changed, the next request says so: the client below has asked for the rest of this one.
        let passes = !matches!(cut.kind, FailureKind::Refused | FailureKind::Missing | FailureKind::Stopped);
        if !passes || tries == TRIES {
            return Err(cut);
        }
        tokio::time::sleep(pause).await;
        pause *= 3;
    }
}

/// Appends at most `most` bytes of an answer to `block`. Returns how many bytes came.
async fn receive(answer: GetResult, most: u64, block: &mut Vec<u8>) -> object_store::Result<u64> {
    let mut received = 0;
    let mut stream = answer.into_stream();
    while let Some(bytes) = stream.try_next().await? {
        received += bytes.len() as u64;
        if received <= most {
            block.extend_from_slice(&bytes);
        }
    }
    Ok(received)
}

async fn request(object: &Object, range: std::ops::Range<u64>) -> Result<GetResult, Failure> {
    let whole = range.start == 0 && range.end == object.bytes;
    // A server without ranges can still send everything.
    let wanted = (!whole).then_some(GetRange::Bounded(range));
    let options = GetOptions { range: wanted, ..GetOptions::default() };
    let result = object.store.objects.get_opts(&object.key, options).await.map_err(|error| Failure::from(&error))?;
    if result.meta.size != object.bytes || object.version.is_some() && version(&result.meta) != object.version {
        return Err(Failure::changed());
    }
    Ok(result)
}

/// Returns the number of the block that contains the byte at `position`.
fn block_at(position: u64) -> u64 {
    match FIRST_ENDS.iter().position(|end| position < *end) {
        Some(number) => number as u64,
        None => FIRST_ENDS.len() as u64 + position / BLOCK,
    }
}

/// Returns the position of the first byte of a block.
fn start_of(number: u64) -> u64 {
    let first = FIRST_ENDS.len() as u64;
    match number {
        0 => 0,
        _ if number <= first => FIRST_ENDS[number as usize - 1],
        _ => (number - first) * BLOCK,
    }
}

/// Reads an object from a position on.
pub(crate) struct Reader {
    ranges: Arc<Ranges>,
    position: u64,
}

impl Reader {
    pub fn new(ranges: Arc<Ranges>, position: u64) -> Self {
        Self { ranges, position }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.ranges.read_at(self.position, buffer)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(offset) => (self.position, offset),
            SeekFrom::End(offset) => (self.ranges.len(), offset),
        };
        self.position = base.checked_add_signed(offset).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
