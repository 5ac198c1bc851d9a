//! Reads standard input and pipes, which may stay silent forever. A read that waits for them notices when the work must
//! stop.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::ahead::Ahead;
use crate::files::inputs::InputFile;

/// State that all readers of one list of inputs share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    /// The number of bytes read from disk, before decompression.
    pub bytes: Arc<AtomicU64>,
    /// Set when the work must stop.
    pub stop: Arc<AtomicBool>,
    /// The remote files that are opened next.
    pub ahead: Ahead,
}

impl Meter {
    /// Returns a meter for `files`, which are opened in this order.
    pub fn of(files: &[InputFile]) -> Self {
        Self { ahead: Ahead::of(files), ..Self::default() }
    }
}

/// The error of a read that was abandoned.
#[derive(Debug, thiserror::Error)]
#[error("it was waiting for input")]
pub(super) struct GivenUp;

/// Reads a descriptor on which a read can block.
pub(super) struct Pipe {
    file: File,
    stop: Arc<AtomicBool>,
}

impl Pipe {
    /// Opens the process's standard input.
    pub fn stdin(stop: Arc<AtomicBool>) -> io::Result<Self> {
        #[cfg(unix)]
        let file = {
            use std::os::fd::AsFd;
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        };
        #[cfg(not(unix))]
        let file = File::open("CON")?;
        Ok(Self { file, stop })
    }

    /// Opens a named pipe or a device. Does not wait for a writer.
    pub fn open(path: &Path, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let mut options = File::options();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
        Ok(Self { file: options.read(true).open(path)?, stop })
    }

    /// Waits a moment, and returns whether there are bytes or the end is reached.
    #[cfg(unix)]
    fn is_ready(&self) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&MOMENT)) {
            Ok(ready) => Ok(ready > 0),
            Err(error) if error == rustix::io::Errno::INTR => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(unix))]
    fn is_ready(&self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other(GivenUp));
            }
            if self.is_ready()? {
                match self.file.read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => return result,
                }
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use super::*;

    fn pipe() -> (Pipe, io::PipeWriter) {
        let (reader, writer) = io::pipe().unwrap();
        (Pipe { file: File::from(OwnedFd::from(reader)), stop: Arc::default() }, writer)
    }

    #[test]
    fn late_data_and_the_end_are_read() {
        let (mut reader, mut writer) = pipe();
        let late = std::thread::spawn(move || {
            for part in [b"one", b"two"] {
                std::thread::sleep(Duration::from_millis(150));
                writer.write_all(part).unwrap();
            }
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        late.join().unwrap();
        assert_eq!(all, b"onetwo");
    }

    #[test]
    fn reading_a_silent_pipe_can_be_stopped() {
        let (mut reader, mut writer) = pipe();
        let stop = Arc::clone(&reader.stop);
        writer.write_all(b"one").unwrap();
        let read = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        stop.store(true, Ordering::Relaxed);
        let error = read.join().unwrap().unwrap_err();
        assert!(matches!(error.get_ref(), Some(it) if it.is::<GivenUp>()), "{error}");
        drop(writer);
    }
}
