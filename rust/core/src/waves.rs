//! Reads, works and writes in waves. While all threads work on one wave of items, the next is read and the last is
//! written.
//!
//! Items are read and written in the order of the input, by one thread at a time. At most three waves are in memory,
//! and their buffers are reused.

use rayon::ThreadPool;

use crate::{Error, Progress, Result};

/// The input that waves are read from.
pub(crate) trait Input<T>: Send {
    /// Fills `item`, which may hold an earlier item, and returns its size in bytes, or `None` at the end of the input.
    fn read(&mut self, item: &mut T) -> Result<Option<usize>>;
    /// Bytes read so far, counted as they are on disk.
    fn bytes_read(&self) -> u64;
    /// Bytes of the whole input, counted as they are on disk.
    fn bytes_total(&self) -> u64;
}

/// The most that a wave holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub items: usize,
    /// A wave ends with the item that reaches this many bytes.
    pub bytes: usize,
}

struct Wave<T> {
    items: Vec<T>,
    used: usize,
}

impl<T: Default> Wave<T> {
    const fn new() -> Self {
        Self { items: Vec::new(), used: 0 }
    }

    fn items(&mut self) -> &mut [T] {
        &mut self.items[..self.used]
    }

    /// Fills the wave. When the input ends or fails, the result goes to `end`.
    fn read(&mut self, input: &mut impl Input<T>, size: Size, end: &mut Option<Result<()>>) {
        self.used = 0;
        let mut bytes = 0;
        while end.is_none() && self.used < size.items && bytes < size.bytes {
            if self.items.len() == self.used {
                self.items.push(T::default());
            }
            match input.read(&mut self.items[self.used]) {
                Ok(Some(more)) => {
                    bytes += more;
                    self.used += 1;
                }
                Ok(None) => *end = Some(Ok(())),
                Err(error) => *end = Some(Err(error)),
            }
        }
    }

    fn write(&mut self, write: &mut impl FnMut(&mut T) -> Result<()>) -> Result<()> {
        self.items().iter_mut().try_for_each(write)?;
        self.used = 0;
        Ok(())
    }
}

/// Passes all of `input` through `work`, which gets the items of a wave, and then `write`. They run on the threads of
/// `pool`, or of the current pool. Before each wave, the calling thread calls `progress` with the name of the `stage`.
///
/// If the input fails, everything before the failure is written first.
///
/// # Errors
/// The first error of `write` or of the input; [`Error::Interrupted`] if `progress` asks to stop.
pub(crate) fn run<T: Default + Send>(
    stage: &'static str,
    size: Size,
    pool: Option<&ThreadPool>,
    progress: &mut dyn Progress,
    input: &mut impl Input<T>,
    mut work: impl FnMut(&mut [T]) + Send,
    mut write: impl FnMut(&mut T) -> Result<()> + Send,
) -> Result<()> {
    let total = input.bytes_total();
    let (mut reading, mut working, mut writing) = (Wave::new(), Wave::new(), Wave::new());
    let mut end = None;
    loop {
        if !progress.report(stage, "bytes", input.bytes_read(), total) {
            return Err(Error::Interrupted("the text was not read completely".into()));
        }
        let mut step = || {
            let (written, ()) = rayon::join(
                || {
                    let written = writing.write(&mut write);
                    reading.read(input, size, &mut end);
                    written
                },
                || work(working.items()),
            );
            written
        };
        match pool {
            Some(pool) => pool.install(step),
            None => step(),
        }?;
        std::mem::swap(&mut writing, &mut working);
        std::mem::swap(&mut working, &mut reading);
        if working.used == 0
            && writing.used == 0
            && let Some(end) = end
        {
            return end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoProgress;

    /// The numbers from 0. Number i has i bytes; one of them is replaced by an error.
    struct Numbers {
        next: usize,
        end: usize,
        bad: Option<usize>,
    }

    impl Input<Vec<usize>> for Numbers {
        fn read(&mut self, item: &mut Vec<usize>) -> Result<Option<usize>> {
            if self.bad == Some(self.next) {
                return Err(Error::input("bad"));
            }
            if self.next == self.end {
                return Ok(None);
            }
            item.clear();
            item.push(self.next);
            self.next += 1;
            Ok(Some(self.next - 1))
        }

        fn bytes_read(&self) -> u64 {
            self.next as u64
        }

        fn bytes_total(&self) -> u64 {
            self.end as u64
        }
    }

    fn squares(end: usize, bad: Option<usize>, size: Size, refused: Option<usize>) -> (Result<()>, Vec<usize>, usize) {
        let (mut written, mut widest) = (Vec::new(), 0);
        let result = run(
            "squares",
            size,
            None,
            &mut NoProgress,
            &mut Numbers { next: 0, end, bad },
            |items: &mut [Vec<usize>]| {
                widest = widest.max(items.len());
                for item in items {
                    item.push(item[0] * item[0]);
                }
            },
            |item| {
                if refused == Some(item[0]) {
                    return Err(Error::input("refused"));
                }
                written.push(item[1]);
                Ok(())
            },
        );
        (result, written, widest)
    }

    #[test]
    fn everything_is_written_in_order() {
        for end in [0, 1, 2, 3, 7, 100] {
            let (result, written, widest) = squares(end, None, Size { items: 3, bytes: 1000 }, None);
            assert!(result.is_ok());
            assert_eq!(written, (0..end).map(|it| it * it).collect::<Vec<_>>());
            assert_eq!(widest, end.min(3));
        }
    }

    #[test]
    fn a_wave_ends_with_the_item_that_fills_it() {
        // 0 + 1 + 2 + 3 + 4 bytes are the first sum to reach 10.
        let (_, _, widest) = squares(100, None, Size { items: 50, bytes: 10 }, None);
        assert_eq!(widest, 5);
    }

    #[test]
    fn what_comes_before_an_error_is_written() {
        let (result, written, _) = squares(100, Some(8), Size { items: 3, bytes: 1000 }, None);
        assert_eq!(result.unwrap_err().to_string(), "bad");
        assert_eq!(written.len(), 8);
        let (result, written, _) = squares(100, Some(8), Size { items: 3, bytes: 1000 }, Some(4));
        assert_eq!(result.unwrap_err().to_string(), "refused");
        assert_eq!(written, [0, 1, 4, 9]);
    }

    #[test]
    fn it_stops_when_asked() {
        struct After(u32);
        impl Progress for After {
            fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
                self.0 -= 1;
                self.0 > 0
            }
        }
        let mut written = 0;
        let result = run(
            "numbers",
            Size { items: 2, bytes: 1000 },
            None,
            &mut After(5),
            &mut Numbers { next: 0, end: 1000, bad: None },
            |_: &mut [Vec<usize>]| {},
            |_| {
                written += 1;
                Ok(())
            },
        );
        assert!(matches!(result, Err(Error::Interrupted(_))));
        // Four waves were read, and the first two were written.
        assert_eq!(written, 4);
    }
}
