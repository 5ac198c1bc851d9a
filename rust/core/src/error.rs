//! The one error type of the crate. An error says which rule is broken, by what value, where, and what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Everything that can go wrong, each with the place it happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("{action} {}: {}{}", path.display(), without_number(source), advice(source))]
    Io {
        /// The operation, as a verb phrase: "cannot read", "cannot write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason the system gives.
        source: std::io::Error,
    },
    /// A line is not UTF-8.
    #[error(
        "{}, line {line}, byte {byte}: invalid UTF-8 (0x{value:02X}); if the text is in another encoding, convert it first \
         (iconv -f ENCODING -t UTF-8); otherwise, fix the file, or pass on_bad_utf8='replace' to insert U+FFFD",
        path.display()
    )]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// Byte within the line, from 1.
        byte: u64,
        /// The first byte that is not valid.
        value: u8,
    },
    /// A line is longer than the limit.
    #[error(
        "{}, line {line}: longer than {limit} bytes; the input must have one sentence per line, each with a newline at its end",
        path.display()
    )]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// A tokenizer model cannot be used.
    #[error("{}{}{}: {reason}", path.display(), number("line", *line), number("byte", *byte))]
    Tokenizer {
        /// The file of the model or vocabulary, or a file next to it that describes it.
        path: PathBuf,
        /// Line number, from 1, if the error is on a line.
        line: Option<u64>,
        /// Byte within the line, from 1, if the error is at a byte.
        byte: Option<u64>,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A token store, shard or record file is damaged, or was not written by albert-fast.
    #[error("{}: {reason}", path.display())]
    Data {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong, at what place, and what to do.
        reason: String,
    },
    /// Tasks have not done all of their work.
    #[error("{}: {reason}", path.display())]
    Unfinished {
        /// The directory that they write to.
        path: PathBuf,
        /// The first round in which something is missing, from 1.
        round: usize,
        /// The tasks to run again in that round, in ascending order. Empty if the number of tasks is not known.
        tasks: Vec<u64>,
        /// What is missing and what to do.
        reason: String,
    },
    /// A record of a TFRecord file is damaged.
    #[error("{}, record {record} at byte {offset}: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Record number, from 0.
        record: u64,
        /// Byte offset of the record's frame in the (decompressed) file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A line of an input cannot be used.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A row of a Parquet file cannot be used.
    #[error("{}, row {}: {reason}", path.display(), row + 1)]
    Row {
        /// The file.
        path: PathBuf,
        /// Row number across all row groups, from 0; the message counts from 1, as lines are counted.
        row: u64,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A place in an input cannot be used.
    #[error("{}, byte {byte}: {reason}", path.display())]
    Byte {
        /// The file.
        path: PathBuf,
        /// Byte offset in the decompressed file, from 0.
        byte: u64,
        /// What is wrong and what to do.
        reason: String,
    },
    /// An option, or another argument, breaks its rule.
    #[error("{option} must be {rule}, got {value}{}{fix}", if fix.is_empty() { "" } else { "; " })]
    Rule {
        /// The option's name.
        option: &'static str,
        /// What it must be.
        rule: String,
        /// What it is.
        value: String,
        /// What to do, or empty if the rule says it.
        fix: String,
    },
    /// An option contradicts another option, or a path that it names cannot be used.
    #[error("{}{reason}", place(path.as_deref()))]
    Conflict {
        /// The option's name.
        option: &'static str,
        /// The file or directory, if there is one.
        path: Option<PathBuf>,
        /// What contradicts what, and what to do.
        reason: String,
    },
    /// Something is at an output's place already: an output, complete or not, or something else.
    #[error("{}: {reason}", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
        /// What was found and what to do.
        reason: String,
    },
    /// There is no input, or nothing of it is left.
    #[error("{}{reason}", place(path.as_deref()))]
    Input {
        /// The file, directory or pattern, if there is one.
        path: Option<PathBuf>,
        /// What is wrong and what to do.
        reason: String,
    },
    /// An option does not fit the input.
    #[error("{option}={value} {reason}")]
    Unfit {
        /// The option's name.
        option: &'static str,
        /// What it is.
        value: String,
        /// Why it does not fit, and what would.
        reason: String,
    },
    /// The system does not provide the threads or the memory that an option asks for.
    #[error("{reason}")]
    System {
        /// The option's name, if an option can change it.
        option: Option<&'static str>,
        /// What is lacking and what to do.
        reason: String,
    },
    /// A bug of albert-fast.
    #[error("internal error: {0}; please report it, with the lines above this one")]
    Internal(String),
    /// The caller asked to stop (Ctrl-C). Finished work is kept.
    #[error("stopped; {0}")]
    Interrupted(String),
}

/// What a program can read from an error without parsing its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// `"option"`, `"exists"`, `"input"`, `"tokenizer"`, `"data"`, `"io"`, `"internal"` or `"interrupted"`.
    pub kind: &'static str,
    /// The file or directory of the error.
    pub path: Option<&'a Path>,
    /// The line in `path`, from 1.
    pub line: Option<u64>,
    /// The byte in `line`, from 1, or in `path`, from 0, if there is no line.
    pub byte: Option<u64>,
    /// The name of the option.
    pub option: Option<&'static str>,
    /// What the option must be.
    pub rule: Option<&'a str>,
    /// What the option is.
    pub value: Option<&'a str>,
    /// The round, from 1, in which tasks have not done all of their work, and the tasks to run again.
    pub unfinished: Option<(usize, &'a [u64])>,
}

impl Error {
    /// Returns the error's kind, place and option.
    pub fn facts(&self) -> Facts<'_> {
        let of = |kind| Facts {
            kind,
            path: None,
            line: None,
            byte: None,
            option: None,
            rule: None,
            value: None,
            unfinished: None,
        };
        match self {
            Self::Io { path, .. } => Facts { path: Some(path), ..of("io") },
            Self::InvalidUtf8 { path, line, byte, .. } => {
                Facts { path: Some(path), line: Some(*line), byte: Some(*byte), ..of("data") }
            }
            Self::LineTooLong { path, line, .. } | Self::Line { path, line, .. } => {
                Facts { path: Some(path), line: Some(*line), ..of("data") }
            }
            Self::Tokenizer { path, line, byte, .. } => {
                Facts { path: Some(path), line: *line, byte: *byte, ..of("tokenizer") }
            }
            Self::Data { path, .. } | Self::Row { path, .. } => Facts { path: Some(path), ..of("data") },
            Self::Unfinished { path, round, tasks, .. } => {
                let unfinished = (!tasks.is_empty()).then_some((*round, tasks.as_slice()));
                Facts { path: Some(path), unfinished, ..of("data") }
            }
            Self::Byte { path, byte, .. } | Self::Record { path, offset: byte, .. } => {
                Facts { path: Some(path), byte: Some(*byte), ..of("data") }
            }
            Self::Rule { option, rule, value, .. } => {
                Facts { option: Some(option), rule: Some(rule), value: Some(value), ..of("option") }
            }
            Self::Conflict { option, path, .. } => {
                Facts { option: Some(option), path: path.as_deref(), ..of("option") }
            }
            Self::Exists { path, .. } => Facts { path: Some(path), ..of("exists") },
            Self::Input { path, .. } => Facts { path: path.as_deref(), ..of("input") },
            Self::Unfit { option, value, .. } => Facts { option: Some(option), value: Some(value), ..of("input") },
            Self::System { option, .. } => Facts { option: *option, ..of("io") },
            Self::Internal(_) => of("internal"),
            Self::Interrupted(_) => of("interrupted"),
        }
    }

    /// Whether the error means that something does not exist, or no longer exists, or exists only now. Another process can
    /// cause it by creating or removing a file or directory.
    pub(crate) fn is_missing(&self) -> bool {
        use std::io::ErrorKind::{AlreadyExists, NotFound};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), NotFound | AlreadyExists))
    }

    /// Returns an [`Error::Io`] with its path.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// Returns an [`Error::Data`] with its path.
    pub fn data(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Data { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }

    /// Returns an [`Error::Line`] with its path.
    pub fn line(path: impl AsRef<Path>, line: u64, reason: impl Into<String>) -> Self {
        Self::Line { path: path.as_ref().to_path_buf(), line, reason: reason.into() }
    }

    /// Returns an [`Error::Row`] with its path.
    pub fn row(path: impl AsRef<Path>, row: u64, reason: impl Into<String>) -> Self {
        Self::Row { path: path.as_ref().to_path_buf(), row, reason: reason.into() }
    }

    /// Returns an [`Error::Byte`] with its path.
    pub fn byte(path: impl AsRef<Path>, byte: u64, reason: impl Into<String>) -> Self {
        Self::Byte { path: path.as_ref().to_path_buf(), byte, reason: reason.into() }
    }

    /// Returns an [`Error::Rule`].
    pub fn rule(option: &'static str, rule: impl Into<String>, value: impl std::fmt::Display) -> Self {
        Self::rule_with_fix(option, rule, value, "")
    }

    /// Returns an [`Error::Rule`] that says what to do.
    pub fn rule_with_fix(
        option: &'static str,
        rule: impl Into<String>,
        value: impl std::fmt::Display,
        fix: impl Into<String>,
    ) -> Self {
        Self::Rule { option, rule: rule.into(), value: value.to_string(), fix: fix.into() }
    }

    /// Returns an [`Error::Conflict`] without a path.
    pub fn conflict(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Conflict { option, path: None, reason: reason.into() }
    }

    /// Returns an [`Error::Conflict`] with a path.
    pub fn conflict_at(option: &'static str, path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Conflict { option, path: Some(path.as_ref().to_path_buf()), reason: reason.into() }
    }

    /// Returns an [`Error::Input`] without a path.
    pub fn input(reason: impl Into<String>) -> Self {
        Self::Input { path: None, reason: reason.into() }
    }

    /// Returns an [`Error::Input`] with a path.
    pub fn input_at(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Input { path: Some(path.as_ref().to_path_buf()), reason: reason.into() }
    }

    /// Returns an [`Error::Unfit`].
    pub fn unfit(option: &'static str, value: impl std::fmt::Display, reason: impl Into<String>) -> Self {
        Self::Unfit { option, value: value.to_string(), reason: reason.into() }
    }

    /// Returns the [`Error::System`] for threads that could not be started.
    pub fn threads(count: usize, source: &dyn std::fmt::Display) -> Self {
        let (threads, source) = (counted(count, "thread"), without_number(source));
        let reason = format!("cannot start {threads}: {source}; pass a smaller `num_threads`");
        Self::System { option: Some("num_threads"), reason }
    }

    /// Returns an [`Error::Exists`] with its path.
    pub fn exists(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Exists { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }

    /// Returns an [`Error::Tokenizer`] with its path.
    pub fn tokenizer(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Tokenizer { path: path.as_ref().to_path_buf(), line: None, byte: None, reason: reason.into() }
    }

    /// Returns an [`Error::Tokenizer`] about a line, and a byte of it if `byte` is set.
    pub fn tokenizer_at(path: impl AsRef<Path>, line: u64, byte: Option<u64>, reason: impl Into<String>) -> Self {
        Self::Tokenizer { path: path.as_ref().to_path_buf(), line: Some(line), byte, reason: reason.into() }
    }
}

/// Returns how a message continues after its path: ", line 3".
fn number(what: &str, number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| format!(", {what} {number}"))
}

/// Returns how a message begins if it is about a path.
fn place(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!("{}: ", path.display()))
}

/// Returns a count with its noun: "1 file", "2 files".
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Returns the reason that the system gives, without its number: " (os error 2)".
pub(crate) fn without_number(source: &dyn std::fmt::Display) -> String {
    let text = source.to_string();
    text.rfind(" (os error ").map(|at| text[..at].to_owned()).unwrap_or(text)
}

fn advice(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded => "; free some space and run the same command again to resume",
        FileTooLarge => "; pass a larger `num_shards`, or raise the limit on file sizes (ulimit -f)",
        _ => "",
    }
}

/// The result type of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Receives progress reports, and tells the work when to stop.
///
/// The work calls it at least a few times a second, from one thread at a time. If it returns `false`, the work stops at
/// the next safe place with [`Error::Interrupted`].
pub trait Progress: Send {
    /// `stage` names the work. `done` and `total` (0 if unknown) are counted in `unit`s ("bytes", "records").
    fn report(&mut self, stage: &'static str, unit: &'static str, done: u64, total: u64) -> bool;

    /// Returns a flag that is set when the work must stop, for threads that wait and cannot report.
    fn stop(&self) -> Arc<AtomicBool> {
        Arc::default()
    }
}

/// Reports nothing and never stops.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every variant, its message, and its facts: kind, path, line, byte, option, rule and value.
    #[test]
    fn messages_and_facts() {
        type Row = (Error, &'static str, [&'static str; 7]);
        let path = || PathBuf::from("a.txt");
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let rows: [Row; 19] = [
            (
                Error::io("cannot read", "a.txt", missing()),
                "cannot read a.txt: entity not found",
                ["io", "a.txt", "", "", "", "", ""],
            ),
            (
                Error::io("cannot read", "a.txt", std::io::Error::from_raw_os_error(libc::ENOENT)),
                "cannot read a.txt: No such file or directory",
                ["io", "a.txt", "", "", "", "", ""],
            ),
            (
                Error::InvalidUtf8 { path: path(), line: 3, byte: 5, value: 0xE4 },
                "a.txt, line 3, byte 5: invalid UTF-8 (0xE4); ",
                ["data", "a.txt", "3", "5", "", "", ""],
            ),
            (
                Error::LineTooLong { path: path(), line: 3, limit: 9 },
                "a.txt, line 3: longer than 9 bytes; ",
                ["data", "a.txt", "3", "", "", "", ""],
            ),
            (Error::tokenizer("a.txt", "empty"), "a.txt: empty", ["tokenizer", "a.txt", "", "", "", "", ""]),
            (
                Error::tokenizer_at("a.txt", 2, None, "empty"),
                "a.txt, line 2: empty",
                ["tokenizer", "a.txt", "2", "", "", "", ""],
            ),
            (
                Error::tokenizer_at("a.txt", 2, Some(7), "empty"),
                "a.txt, line 2, byte 7: empty",
                ["tokenizer", "a.txt", "2", "7", "", "", ""],
            ),
            (Error::data("a.txt", "damaged"), "a.txt: damaged", ["data", "a.txt", "", "", "", "", ""]),
            (
                Error::Record { path: path(), record: 4, offset: 90, reason: "damaged".into() },
                "a.txt, record 4 at byte 90: damaged",
                ["data", "a.txt", "", "90", "", "", ""],
            ),
            (Error::line("a.txt", 3, "damaged"), "a.txt, line 3: damaged", ["data", "a.txt", "3", "", "", "", ""]),
            (Error::row("a.txt", 3, "damaged"), "a.txt, row 4: damaged", ["data", "a.txt", "", "", "", "", ""]),
            (Error::byte("a.txt", 3, "damaged"), "a.txt, byte 3: damaged", ["data", "a.txt", "", "3", "", "", ""]),
            (
                Error::rule("ngram", "from 1 to 64", 0),
                "ngram must be from 1 to 64, got 0",
                ["option", "", "", "", "ngram", "from 1 to 64", "0"],
            ),
            (
                Error::rule_with_fix("ngram", "from 1 to 64", 0, "pass 3"),
                "ngram must be from 1 to 64, got 0; pass 3",
                ["option", "", "", "", "ngram", "from 1 to 64", "0"],
            ),
            (
                Error::conflict_at("output", "a.txt", "this input is the output"),
                "a.txt: this input is the output",
                ["option", "a.txt", "", "", "output", "", ""],
            ),
            (Error::exists("a.txt", "a file"), "a.txt: a file", ["exists", "a.txt", "", "", "", "", ""]),
            (Error::input_at("a.txt", "no documents"), "a.txt: no documents", ["input", "a.txt", "", "", "", "", ""]),
            (
                Error::threads(9, &"none left"),
                "cannot start 9 threads: none left; pass a smaller `num_threads`",
                ["io", "", "", "", "num_threads", "", ""],
            ),
            (Error::Internal("no batch".into()), "internal error: no batch; ", ["internal", "", "", "", "", "", ""]),
        ];
        for (error, message, wanted) in rows {
            let text = error.to_string();
            let is_whole = !message.ends_with("; ");
            assert!(text.starts_with(message) && (!is_whole || text == message), "{text}");
            let Facts { kind, path, line, byte, option, rule, value, unfinished: _ } = error.facts();
            let number = |number: Option<u64>| number.map_or_else(String::new, |it| it.to_string());
            let path = path.map_or_else(String::new, |it| it.display().to_string());
            let [option, rule, value] = [option, rule, value].map(|it| it.unwrap_or_default().to_owned());
            assert_eq!([kind.to_owned(), path, number(line), number(byte), option, rule, value], wanted, "{text}");
        }
        let unfinished = |tasks| Error::Unfinished { path: path(), round: 2, tasks, reason: "run 3 again".into() };
        assert_eq!(unfinished(vec![3]).to_string(), "a.txt: run 3 again");
        assert_eq!(unfinished(vec![3]).facts().unfinished, Some((2, [3].as_slice())));
        assert_eq!(unfinished(Vec::new()).facts().unfinished, None);
        let stopped = Error::Interrupted("run it again".into());
        assert_eq!((stopped.to_string().as_str(), stopped.facts().kind), ("stopped; run it again", "interrupted"));
        for (error, message) in
            [(Error::conflict("rng", "rng='fast' only"), "rng='fast' only"), (Error::input("no input"), "no input")]
        {
            assert_eq!((error.to_string().as_str(), error.facts().path), (message, None));
        }
    }

    #[test]
    fn a_full_disk_has_a_remedy() {
        let error = Error::io("cannot write", "a.txt", std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert!(error.to_string().ends_with("; free some space and run the same command again to resume"));
    }

    #[test]
    fn counts_have_the_right_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "file")), ["0 files", "1 file", "2 files"]);
    }
}
