//! Counts the memory that a reader uses, to check it against a limit.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The allowance whatever the input: buffers, blocks of all threads, a document of the greatest length.
const BASE: usize = 512 << 20;
/// The allowance for each byte of the input, which may be compressed.
const PER_BYTE: usize = 4096;

/// The system's allocator with a count.
pub struct Counted;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller fulfills the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller fulfills the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller fulfills the contract.
        unsafe { System.alloc_zeroed(layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// Runs `work` on `bytes` bytes of input.
///
/// # Panics
/// If it uses more memory than an input of this size may.
pub fn limited(bytes: usize, work: impl FnOnce()) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    work();
    let taken = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    let most = BASE + PER_BYTE * bytes;
    assert!(taken <= most, "{taken} bytes of memory for {bytes} bytes of input; at most {most} are allowed");
}
