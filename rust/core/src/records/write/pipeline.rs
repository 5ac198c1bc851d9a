//! Writes instances to files. All threads make records, one thread writes them, and another syncs and renames the
//! shards.
//!
//! Waves of blocks circulate: the pool fills one wave while the writer drains the other, and a finished shard is synced
//! while the next is made. The two threads own their data, and waiting for them is limited, so that a stop does not
//! have to wait for a slow disk.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use flate2::Crc;
use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::dataset::{Shard, shard_name};
use super::gzip::{self, Deflater};
use super::journal::Journal;
use super::{Compression, RecordsOptions, ShardSource};
use crate::files::atomic::AtomicFile;
use crate::instances::instance::Instance;
use crate::records::example::Encoder;
use crate::records::tfrecord;
use crate::{Error, Progress, Result};

/// The size of a unit of work in bytes, roughly.
const UNIT_BYTES: usize = 1 << 18;
/// The units of the two waves together stay below 64 MiB, unless there are very many threads.
const MAX_WAVE_UNITS: usize = 128;
/// The number of instances between two releases. Little is to be released, because documents of large stores are
/// copied. Only ids of enormous sentences are read from a mapped file, of which the system maps 64 KiB or more around
/// each place.
const RELEASE_EVERY: u64 = 2048;
const REPORT_EVERY: Duration = Duration::from_millis(50);
/// How long a stop waits for the writer to remove its temporary. Tests check what it leaves.
const STOP_WITHIN: Duration = if cfg!(test) { Duration::from_mins(1) } else { Duration::from_millis(700) };

/// The number of instances in a unit. The bytes depend on it, because gzip compresses each unit independently.
fn unit_instances(options: &RecordsOptions) -> u64 {
    // Three lists take one byte per token, and another takes about two.
    (UNIT_BYTES / (5 * options.instances.max_seq_length)).clamp(1, 256) as u64
}

/// Consecutive instances of one shard, for one thread.
#[derive(Debug, Clone, Copy, Default)]
struct Task {
    shard: u64,
    first: u64,
    count: u64,
    starts_shard: bool,
    ends_shard: bool,
}

/// The result of a task, on its way to the writer.
#[derive(Default)]
struct Block {
    task: Task,
    bytes: Vec<u8>,
    /// The counts of this part of the shard. It has neither name nor sizes.
    counts: Shard,
    /// CRC-32 and length before compression, if the shard is gzipped.
    crc: Crc,
    result: Option<Error>,
}

type Wave = Vec<Block>;

/// What a task needs in addition to its block.
struct Worker<S> {
    scratch: S,
    instance: Instance,
    plain: Vec<u8>,
    deflater: Option<Deflater>,
}

/// What the two threads report to the thread that started them.
enum Event {
    Written(Wave),
    Complete(u64, Shard),
    Failed(Error),
}

/// Writes every shard in `range` that is missing in `shards`, and adds it there.
pub(super) fn run<S: ShardSource>(
    source: &S,
    directory: &Path,
    options: &RecordsOptions,
    journal: Journal,
    range: Range<u64>,
    shards: &mut [Option<Shard>],
    progress: &mut dyn Progress,
) -> Result<()> {
    let num_shards = shards.len() as u64;
    let unit = unit_instances(options);
    let per_block = unit * options.units_per_block.max(1) as u64;
    let threads = rayon::current_num_threads();
    let wave_blocks = (16 * threads).min(MAX_WAVE_UNITS.max(2 * threads)).div_ceil(options.units_per_block.max(1));
    let encoder = Encoder::new(&options.instances);
    let make = Make { source, encoder: &encoder, unit, unreleased: AtomicU64::new(0) };
    let missing: Vec<u64> = range.clone().filter(|&shard| shards[shard as usize].is_none()).collect();
    let mut tasks = Tasks { source, num_shards, per_block, missing: missing.into_iter(), current: None };
    let mut workers: Vec<_> = (0..wave_blocks.max(1))
        .map(|_| Worker {
            scratch: source.scratch(),
            instance: Instance::default(),
            plain: Vec::new(),
            deflater: (options.compression == Compression::Gzip).then(Deflater::new),
        })
        .collect();

    let own = range.start as usize..range.end as usize;
    let done = shards[own.clone()].iter().flatten();
    let (unit, before, total) = match source.total() {
        Some(all) => {
            let start = |shard: u64| (u128::from(all) * u128::from(shard) / u128::from(num_shards)) as u64;
            ("records", done.map(|shard| shard.records).sum(), start(range.end) - start(range.start))
        }
        None => ("shards", done.count() as u64, range.end - range.start),
    };
    let mut progress = Reporter { progress, last: None, unit, done: before, total };
    let (waves, events) = start_threads(directory, options, num_shards, journal)?;
    // Two waves: one is filled while the other is written.
    let mut spare = vec![Wave::new(), Wave::new()];
    let mut waves = Some(waves);
    let mut failed = None;
    loop {
        if let (Some(sender), false) = (&waves, spare.is_empty()) {
            let mut wave = spare.pop().unwrap_or_default();
            match tasks.take(workers.len()) {
                Ok(tasks) => make.fill(&tasks, &mut wave, &mut workers),
                Err(error) => {
                    wave.clear();
                    failed.get_or_insert(error);
                }
            }
            // If the writer is gone, it has sent the reason as an event.
            if wave.is_empty() || sender.send(wave).is_err() {
                waves = None;
            }
        }
        let patience = if waves.is_some() && !spare.is_empty() { Duration::ZERO } else { REPORT_EVERY };
        match events.recv_timeout(patience) {
            Ok(Event::Written(wave)) => {
                progress.count("records", wave.iter().map(|block| block.counts.records).sum());
                spare.push(wave);
            }
            Ok(Event::Complete(index, shard)) => {
                progress.count("shards", 1);
                shards[index as usize] = Some(shard);
            }
            Ok(Event::Failed(error)) => {
                failed.get_or_insert(error);
                waves = None;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if !progress.report() {
            // Without more waves, the writer abandons its shard.
            drop(waves);
            return Err(stopped(&events, shards, own));
        }
    }
    match failed {
        Some(error) => Err(error),
        // Only a panic ends one of the threads without an event.
        None if shards[own].iter().any(Option::is_none) => {
            Err(Error::data(directory, "writing stopped early; run the same command again to resume"))
        }
        None => Ok(()),
    }
}

fn stopped(events: &Receiver<Event>, shards: &mut [Option<Shard>], own: Range<usize>) -> Error {
    let until = Instant::now() + STOP_WITHIN;
    loop {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Complete(index, shard)) => shards[index as usize] = Some(shard),
            Ok(Event::Written(_)) => {}
            Ok(Event::Failed(error)) => return error,
            Err(_) => break,
        }
    }
    Error::Interrupted(format!(
        "{} of {} shards are complete; run the same command again to resume",
        shards[own.clone()].iter().flatten().count(),
        own.len()
    ))
}

struct Reporter<'a> {
    progress: &'a mut dyn Progress,
    last: Option<Instant>,
    unit: &'static str,
    done: u64,
    total: u64,
}

impl Reporter<'_> {
    fn count(&mut self, unit: &str, done: u64) {
        if unit == self.unit {
            self.done += done;
        }
    }

    /// Reports progress. Returns whether to continue.
    fn report(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) || self.done == self.total;
        if due {
            self.last = Some(Instant::now());
            return self.progress.report("records", self.unit, self.done, self.total);
        }
        true
    }
}

/// The tasks of the missing shards, in order. A shard is opened when its first task is taken.
struct Tasks<'a, S: ShardSource> {
    source: &'a S,
    num_shards: u64,
    per_block: u64,
    missing: std::vec::IntoIter<u64>,
    /// The open shard, its number, and its first instance that is in no task yet.
    current: Option<(Arc<S::Shard>, u64, u64)>,
}

impl<S: ShardSource> Tasks<'_, S> {
    /// Takes the next tasks, at most `most`. There are none if none are left.
    fn take(&mut self, most: usize) -> Result<Vec<(Task, Arc<S::Shard>)>> {
        let mut taken = Vec::new();
        while taken.len() < most {
            let (open, shard, first) = match self.current.take() {
                Some(current) => current,
                // The shard of the tasks before must end first.
                None if S::IS_LARGE && !taken.is_empty() => break,
                None => match self.missing.next() {
                    Some(shard) => (Arc::new(self.source.open(shard, self.num_shards)?), shard, 0),
                    None => break,
                },
            };
            let len = self.source.len(&open);
            let count = self.per_block.min(len - first);
            let task = Task { shard, first, count, starts_shard: first == 0, ends_shard: first + count == len };
            if !task.ends_shard {
                self.current = Some((Arc::clone(&open), shard, first + count));
            }
            taken.push((task, open));
        }
        Ok(taken)
    }
}

/// Makes blocks of records.
struct Make<'a, S> {
    source: &'a S,
    encoder: &'a Encoder,
    unit: u64,
    /// Number of instances made since the source last released memory.
    unreleased: AtomicU64,
}

impl<S: ShardSource> Make<'_, S> {
    /// Fills `wave` with the blocks of `tasks`, reusing its buffers.
    fn fill(&self, tasks: &[(Task, Arc<S::Shard>)], wave: &mut Wave, workers: &mut [Worker<S::Scratch>]) {
        wave.resize_with(tasks.len(), Block::default);
        wave.par_iter_mut().zip(workers).zip(tasks).with_max_len(1).for_each(|((block, worker), (task, shard))| {
            block.task = *task;
            block.result = self.block(block, shard, worker).err();
        });
    }

    fn block(&self, block: &mut Block, shard: &S::Shard, worker: &mut Worker<S::Scratch>) -> Result<()> {
        let Task { first, count, starts_shard, .. } = block.task;
        let Worker { scratch, instance, plain, deflater } = worker;
        block.bytes.clear();
        block.counts = Shard::default();
        if starts_shard {
            block.counts.short_documents = self.source.short_documents(shard);
        }
        block.crc.reset();
        for start in (first..first + count).step_by(self.unit as usize) {
            plain.clear();
            let out = if deflater.is_some() { &mut *plain } else { &mut block.bytes };
            for index in start..(start + self.unit).min(first + count) {
                self.source.fill(shard, index, scratch, instance)?;
                block.counts.count(instance);
                tfrecord::frame(out, |out| self.encoder.encode(instance, out));
            }
            if self.unreleased.fetch_add(self.unit, Ordering::Relaxed) >= RELEASE_EVERY {
                self.unreleased.store(0, Ordering::Relaxed);
                self.source.release();
            }
            if let Some(deflater) = deflater {
                block.crc.update(plain);
                deflater.append(plain, &mut block.bytes)?;
            }
        }
        Ok(())
    }
}

/// Starts the threads that write and sync. They end when the waves do.
fn start_threads(
    directory: &Path,
    options: &RecordsOptions,
    num_shards: u64,
    journal: Journal,
) -> Result<(Sender<Wave>, Receiver<Event>)> {
    let (waves, waves_in) = channel();
    let (events, events_in) = channel();
    // One shard waits while another is synced, which bounds the page cache too.
    let (finished, finished_in) = sync_channel(1);
    let writer = Writer {
        directory: directory.to_path_buf(),
        compression: options.compression,
        num_shards,
        is_shared: journal.is_shared(),
        open: None,
        finished,
        events: events.clone(),
    };
    let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|error| Error::io("cannot start a thread to write", directory, error))
    };
    start("records-write", Box::new(move || writer.run(&waves_in)))?;
    start("records-sync", Box::new(move || sync(&finished_in, journal, &events)))?;
    Ok((waves, events_in))
}

struct Finished {
    index: u64,
    file: AtomicFile,
    shard: Shard,
}

/// Gives finished shards their names, in order, and adds them to the journal.
fn sync(finished: &Receiver<Finished>, mut journal: Journal, events: &Sender<Event>) {
    for Finished { index, file, shard } in finished {
        let event = match file.commit().and_then(|version| journal.add(&shard, version)) {
            Ok(()) => Event::Complete(index, shard),
            Err(error) => Event::Failed(error),
        };
        let last = matches!(event, Event::Failed(_));
        // After a stop, nobody receives this, but the finished shard is still worth keeping.
        let _ = events.send(event);
        if last {
            return;
        }
    }
}

struct Writer {
    directory: PathBuf,
    compression: Compression,
    num_shards: u64,
    /// Whether other tasks may write a shard of the same name at the same time.
    is_shared: bool,
    open: Option<Open>,
    finished: SyncSender<Finished>,
    events: Sender<Event>,
}

/// The shard being written.
struct Open {
    file: AtomicFile,
    hash: Box<Xxh3>,
    crc: Crc,
    shard: Shard,
}

impl Open {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.shard.bytes += bytes.len() as u64;
        self.file.write(bytes)
    }
}

impl Writer {
    fn run(mut self, waves: &Receiver<Wave>) {
        for mut wave in waves {
            for block in &mut wave {
                match self.write(block) {
                    Ok(true) => {}
                    // The syncing thread has ended and has reported why.
                    Ok(false) => return,
                    Err(error) => {
                        // The temporary is removed before the failure is reported.
                        self.open = None;
                        let _ = self.events.send(Event::Failed(error));
                        return;
                    }
                }
            }
            let _ = self.events.send(Event::Written(wave));
        }
    }

    /// Writes a block. Returns whether to continue.
    fn write(&mut self, block: &mut Block) -> Result<bool> {
        if let Some(error) = block.result.take() {
            return Err(error);
        }
        let Task { shard: index, starts_shard, ends_shard, .. } = block.task;
        let gzip = self.compression == Compression::Gzip;
        if starts_shard {
            let name = shard_name(index, self.num_shards, self.compression);
            let path = self.directory.join(&name);
            let file = if self.is_shared { AtomicFile::create_apart(path) } else { AtomicFile::create(path) };
            let mut open = Open {
                file: file?,
                hash: Box::default(),
                crc: Crc::new(),
                shard: Shard { file: name, ..Shard::default() },
            };
            if gzip {
                open.write(&gzip::HEADER)?;
            }
            self.open = Some(open);
        }
        let Some(open) = &mut self.open else { return Ok(false) };
        open.write(&block.bytes)?;
        open.shard.add(&block.counts);
        if gzip {
            open.crc.combine(&block.crc);
        }
        let Some(mut open) = self.open.take_if(|_| ends_shard) else { return Ok(true) };
        if gzip {
            let trailer = gzip::trailer(&open.crc);
            open.write(&trailer)?;
        }
        open.shard.xxh3_128 = format!("{:032x}", open.hash.digest128());
        Ok(self.finished.send(Finished { index, file: open.file, shard: open.shard }).is_ok())
    }
}
