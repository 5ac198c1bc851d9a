//! A directory for the files of one thread's work, in memory if the machine has such a file system.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

thread_local! {
    static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Returns the path of `name` in this thread's directory.
pub fn path(name: &str) -> PathBuf {
    DIRECTORY.with(|cell| {
        let directory = cell.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a temporary directory")
        });
        directory.path().join(name)
    })
}

/// Writes `data` to the file `name` in this thread's directory, and returns its path.
pub fn file(name: &str, data: &[u8]) -> PathBuf {
    let path = path(name);
    std::fs::write(&path, data).expect("the file can be written");
    path
}

/// Creates an empty directory `name` in this thread's directory, and returns its path.
pub fn empty_directory(name: &str) -> PathBuf {
    let path = path(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).expect("the directory can be removed");
    }
    std::fs::create_dir(&path).expect("the directory can be made");
    path
}
