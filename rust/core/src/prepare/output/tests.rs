//! Writes small outputs of each kind.

use super::*;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(target: Target, documents: &[&str]) {
    let mut writer = Writer::create(target, true).unwrap();
    for document in documents {
        writer.push(document.split_inclusive('\n'));
        writer.flush(false).unwrap();
    }
    writer.finish().unwrap();
    writer.commit().unwrap();
}

#[test]
fn nothing_has_its_name_before_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::new(&directory.path().join("new/corpus.txt"), None, TextCompression::Auto).unwrap();
    let mut writer = Writer::create(target.clone(), true).unwrap();
    writer.push(["a\n", "b\n"].into_iter());
    writer.flush(true).unwrap();
    assert_eq!(names(&directory.path().join("new")), [".corpus.txt.lock", ".corpus.txt.prepare-text.tmp"]);
    assert!(Writer::create(target.clone(), true).is_err_and(|error| error.to_string().contains("another command")));
    drop(writer);
    assert!(!directory.path().join("new").exists());
    write(target.clone(), &["a\nb\n", "c\n"]);
    assert_eq!(fs::read_to_string(target.path()).unwrap(), "a\nb\n\nc\n\n");
    assert_eq!(names(&directory.path().join("new")), ["corpus.txt"]);
}

#[test]
fn shards_get_the_same_amount() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("corpus");
    let target = Target::new(&path, Some(3), TextCompression::None).unwrap();
    write(target.clone(), &["long document\n", "a\n", "b\n", "c\n"]);
    let texts: Vec<_> = target.files().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(texts, ["long document\n\n", "a\n\nc\n\n", "b\n\n"]);
    assert!(target.check(false).is_err() && target.check(true).is_ok());
    let other = Target::new(&path, Some(1), TextCompression::Gzip).unwrap();
    write(other, &["d\n"]);
    assert_eq!(names(&path), ["corpus-00000-of-00001.txt.gz"], "the earlier shards are gone");
    fs::write(path.join("mine.txt"), "x").unwrap();
    assert!(target.check(true).is_err_and(|error| error.to_string().contains("mine.txt")));
}

#[test]
fn compressed_chunks_are_one_stream() {
    use std::io::Read;
    let directory = tempfile::tempdir().unwrap();
    let text = "some text and more of it\n".repeat(1 << 19);
    for name in ["corpus.txt.gz", "corpus.txt.zst"] {
        let path = directory.path().join(name);
        write(Target::new(&path, None, TextCompression::Auto).unwrap(), &[&text]);
        let file = File::open(&path).unwrap();
        let mut found = String::new();
        if name.ends_with("gz") {
            flate2::read::MultiGzDecoder::new(file).read_to_string(&mut found).unwrap();
        } else {
            zstd::stream::read::Decoder::new(file).unwrap().read_to_string(&mut found).unwrap();
        }
        assert!(found == format!("{text}\n"), "{name}");
        write(Target::new(&path, None, TextCompression::Auto).unwrap(), &[]);
        assert!(fs::metadata(&path).unwrap().len() > 0, "an empty {name} is one all the same");
    }
}

#[cfg(unix)]
#[test]
fn other_files_are_kept() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("precious")).unwrap();
    fs::write(at("precious/a"), "x").unwrap();
    let target = Target::new(&at("c.txt"), None, TextCompression::Auto).unwrap();
    symlink(at("precious"), at(".c.txt.prepare-text.tmp")).unwrap();
    assert!(Writer::create(target.clone(), true).is_err());
    assert_eq!(names(&at("precious")), ["a"]);
    fs::remove_file(at(".c.txt.prepare-text.tmp")).unwrap();

    symlink(at("elsewhere"), at("c.txt")).unwrap();
    assert!(target.check(true).is_err_and(|error| error.to_string().contains("a link")));
    fs::remove_file(at("c.txt")).unwrap();

    // A file appears at the output while the text is written.
    let mut writer = Writer::create(target.clone(), false).unwrap();
    writer.finish().unwrap();
    fs::write(at("c.txt"), "mine").unwrap();
    assert!(writer.commit().is_err());
    assert_eq!(fs::read_to_string(at("c.txt")).unwrap(), "mine");
    assert_eq!(names(directory.path()), ["c.txt", "precious"]);
}

#[test]
fn an_interrupted_replacement_is_undone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let target = Target::new(&path, Some(1), TextCompression::None).unwrap();
    write(target.clone(), &["a\n"]);
    // As if killed between the two renames.
    let staging = directory.path().join(".out.prepare-text.tmp");
    fs::create_dir(&staging).unwrap();
    fs::rename(&path, staging.join("old")).unwrap();
    drop(Writer::create(target.clone(), true).unwrap());
    assert_eq!(fs::read_to_string(&target.files()[0]).unwrap(), "a\n\n");
    assert_eq!(names(directory.path()), ["out"]);
}

#[test]
fn invalid_outputs_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let new = |name: &str, shards| Target::new(&directory.path().join(name), shards, TextCompression::Auto);
    assert!(new("a", Some(0)).is_err() && new("a", Some(100_000)).is_err());
    assert!(Target::new(Path::new("-"), None, TextCompression::Auto).is_err());
    assert!(Target::new(Path::new("/"), None, TextCompression::Auto).is_err());
    for (name, shards, compression) in [
        ("a/", None, TextCompression::Auto),
        ("a.bz2", None, TextCompression::Auto),
        ("a.txt.gz", None, TextCompression::Zstd),
        ("a.gz", Some(2), TextCompression::Auto),
    ] {
        assert!(Target::new(&directory.path().join(name), shards, compression).is_err(), "{name}");
    }
    let at_directory = Target::new(directory.path(), None, TextCompression::Auto).unwrap();
    assert!(at_directory.check(true).is_err(), "a directory is not a file");
    assert!(Target::new(Path::new("/dev/null"), None, TextCompression::Auto).unwrap().check(true).is_err());
    fs::write(directory.path().join("a"), "x").unwrap();
    assert!(new("a", Some(2)).unwrap().check(true).is_err(), "a file is not a directory");
    assert!(new("a", None).unwrap().check(false).is_err() && new("a", None).unwrap().check(true).is_ok());
}
