//! Runs every reader of foreign bytes on the seeds of its fuzz target, and on inputs that fuzzing found.

mod readers;

use std::path::Path;

/// One test runs them all, because memory is counted for the whole process.
#[test]
fn seeds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    for (name, _) in readers::READERS {
        let mut count = 0;
        for directory in ["seeds", "found"] {
            let Ok(files) = std::fs::read_dir(fuzz.join(directory).join(name)) else { continue };
            for file in files {
                let path = file.unwrap().path();
                println!("{name}: {}", path.display());
                readers::run(name, &std::fs::read(path).unwrap());
                count += 1;
            }
        }
        assert!(count > 0, "no seeds for {name}");
    }
}

/// Writes the seeds that depend on formats of this crate. Run it by name when a format changes.
#[test]
#[ignore = "writes into the repository"]
fn write_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (reader, name, bytes) in readers::seeds() {
        let directory = seeds.join(reader);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}
