//! Recognizes binary formats and pointers to data by their magic bytes, and other binary data by its control
//! characters.

use memchr::memmem;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

use super::{Kind, Other, trim_start};
use crate::files::foreign::{Foreign, UTF_32};

/// In text, at most one byte in this many is a control character.
const TEXT_BYTES_PER_CONTROL: usize = 20;
/// This many control characters do not prove anything.
const FEW_CONTROLS: usize = 8;

const FROM_PICKLE: &str = "load it in Python, if you trust it, and write its texts as JSON Lines";
const UNPACK_LZ: &str = "decompress it first: gzip, bzip2, xz and zstd are read as they are";

/// Recognizes `head` if it is not text.
pub(super) fn recognize(head: &[u8], whole: bool) -> Option<Kind> {
    pointer(trim_start(head))
        .or_else(|| sure(head))
        .or_else(|| ascii_magic(head, whole))
        .or_else(|| utf16(head, whole))
        .or_else(|| {
            let text = trim_start(head);
            if text.starts_with(b"{\\rtf") {
                return Some(Other::text("RTF", "extract its text first (pandoc -f rtf -t plain)"));
            }
            if let Some(kind) = pdf(head, text).or_else(|| old_pickle(text)).or_else(|| seven_bit(head)) {
                return Some(kind);
            }
            if text.starts_with(b"%!PS-Adobe") {
                return Some(Other::text("PostScript", "extract its text first (ps2ascii)"));
            }
            is_binary(head).then(|| Other::text("binary data of no known format", "convert it to UTF-8 text first"))
        })
}

/// Recognizes small text files that version control puts in place of the data.
fn pointer(head: &[u8]) -> Option<Kind> {
    let starts = |start: &[u8]| head.starts_with(start);
    if starts(b"version https://git-lfs.github.com/spec/") || starts(b"version https://hawser.github.com/spec/") {
        return Some(Other::text("a Git LFS pointer, not the data", "fetch the data with git lfs pull"));
    }
    if starts(b"/annex/objects/") {
        return Some(Other::text("a git-annex pointer, not the data", "fetch the data with git annex get"));
    }
    if starts(b"# xet version ") {
        return Some(Other::text("a Xet pointer, not the data", "fetch the data with hf download"));
    }
    if starts(b"outs:\n- md5: ") {
        return Some(Other::text("a DVC pointer, not the data", "fetch the data with dvc pull, and name the data"));
    }
    None
}

fn pdf(head: &[u8], text: &[u8]) -> Option<Kind> {
    const ADVICE: &str = "extract its text first (pdftotext)";
    let [b'%', b'P', b'D', b'F', b'-', major, b'.', minor, b'\r' | b'\n', ..] = text else { return None };
    if !major.is_ascii_digit() || !minor.is_ascii_digit() {
        return None;
    }
    Some(if is_binary(&head[..head.len().min(BEGIN)]) {
        Other::binary("a PDF", ADVICE)
    } else {
        Other::text("a PDF", ADVICE)
    })
}

/// Recognizes a Python pickle of protocol 0, which is ASCII.
fn old_pickle(text: &[u8]) -> Option<Kind> {
    let is_counted = |start: &[u8]| {
        let rest = text.strip_prefix(start)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0 && rest.get(digits) == Some(&b'\n')).then_some(())
    };
    let is_global = [&b"ccopy_reg\n"[..], b"c__builtin__\n", b"ccopyreg\n", b"(i__main__\n", b"c__main__\n"];
    let is_pickle = [&b"(dp"[..], b"(lp", b"(tp"].iter().any(|start| is_counted(start).is_some())
        || is_global.iter().any(|start| text.starts_with(start));
    is_pickle.then(|| Other::text("a Python pickle", FROM_PICKLE))
}

/// Recognizes text whose ASCII bytes stand for other characters.
fn seven_bit(head: &[u8]) -> Option<Kind> {
    let holds = |sign: &[u8]| memmem::find(head, sign).is_some();
    if holds(b"\x1B$)C") {
        let advice = "convert it first (iconv -f ISO-2022-KR -t UTF-8)";
        return Some(Other::text("ISO-2022-KR text", advice));
    }
    if holds(b"\x1B$B") || holds(b"\x1B$@") || holds(b"\x1B(J") || holds(b"\x1B$(D") {
        let advice = "convert it first (iconv -f ISO-2022-JP -t UTF-8)";
        return Some(Other::text("ISO-2022-JP text", advice));
    }
    None
}

/// Recognizes text with ASCII sequences that stand for other characters. Any text may contain such sequences, so this
/// is only for text that is not in another format.
pub(super) fn shifted(text: &[u8]) -> Option<Kind> {
    if runs(text, b"~{", b"~}").filter(|run| is_gb(run)).take(FEW_RUNS).count() == FEW_RUNS {
        return Some(Other::text("HZ text", "convert it first (iconv -f HZ -t UTF-8)"));
    }
    is_utf7(text).then(|| Other::text("UTF-7 text", "convert it first (iconv -f UTF-7 -t UTF-8)"))
}

/// This many sequences of another character set prove that it is used.
const FEW_RUNS: usize = 2;

/// Returns what is between `begin` and the next `end` on the same line.
fn runs<'t>(text: &'t [u8], begin: &'t [u8], end: &'t [u8]) -> impl Iterator<Item = &'t [u8]> {
    text.split(|&byte| byte == b'\n').flat_map(move |line| {
        memmem::find_iter(line, begin).filter_map(move |at| {
            let run = &line[at + begin.len()..];
            Some(&run[..memmem::find(&run[..run.len().min(LONGEST_RUN)], end)?])
        })
    })
}

/// Longer sequences are ignored.
const LONGEST_RUN: usize = 256;

/// Whether `run` is pairs of GB 2312 bytes without their eighth bits.
fn is_gb(run: &[u8]) -> bool {
    run.len() > 1 && run.len().is_multiple_of(2) && run.chunks(2).all(|two| matches!(two, [0x21..=0x77, 0x21..=0x7E]))
}

/// What a `+` stands for, in text that may be UTF-7.
enum Shift {
    /// These letters, perhaps with signs between them.
    Letters(Vec<char>),
    /// A plus, or signs such as dashes and quotes. This proves nothing.
    Signs,
    /// Nothing that UTF-7 contains.
    Nothing,
}

/// Whether `text` is UTF-7. Phone numbers, formulas and code also have a plus before letters. Therefore, most of what
/// follows a plus must be letters in base64. Several must differ. They must be Latin, Greek, Cyrillic, Armenian or
/// Hebrew, or be words in a single script.
fn is_utf7(text: &[u8]) -> bool {
    /// Letters below this belong to the scripts above. Few words are such a letter in base64.
    const NEAR: char = '\u{600}';
    if !text.is_ascii() {
        return false;
    }
    let (mut others, mut words, mut script, mut is_one_script) = (0_usize, Vec::new(), None, true);
    let mut at = 0;
    while let Some(plus) = memchr::memchr(b'+', &text[at..]) {
        let rest = &text[at + plus + 1..];
        let run = &rest[..rest.iter().take_while(|byte| base64(**byte).is_some()).count()];
        at += plus + 1 + run.len();
        match Shift::of(run, rest.get(run.len()) == Some(&b'-')) {
            Shift::Letters(letters) if letters.len() > 1 || letters[0] < NEAR => {
                for far in letters.into_iter().filter(|letter| *letter >= NEAR) {
                    // Japanese is written in all three scripts.
                    let of = match far.script() {
                        Script::Hiragana | Script::Katakana => Script::Han,
                        Script::Common | Script::Inherited => continue,
                        of => of,
                    };
                    is_one_script &= *script.get_or_insert(of) == of;
                }
                words.push(run);
            }
            Shift::Signs => {}
            // A word of three letters may look like a single letter of another script.
            Shift::Letters(_) | Shift::Nothing => others += 1,
        }
    }
    let count = words.len();
    words.sort_unstable();
    words.dedup();
    words.len() >= FEW_RUNS && count > others && is_one_script
}

impl Shift {
    /// Decodes `run`, the base64 characters after a `+`. `ends` says whether a `-` follows.
    fn of(run: &[u8], ends: bool) -> Self {
        if run.is_empty() {
            return if ends { Self::Signs } else { Self::Nothing };
        }
        let (mut bits, mut count, mut units) = (0_u32, 0, Vec::new());
        for six in run.iter().filter_map(|byte| base64(*byte)) {
            (bits, count) = (bits << 6 | u32::from(six), count + 6);
            if count >= 16 {
                count -= 16;
                units.push((bits >> count) as u16);
                bits &= (1 << count) - 1;
            }
        }
        let is_sign = |c: char| {
            matches!(c, '\u{A0}'..='\u{BF}' | '\u{2010}'..='\u{2044}' | '\u{20AC}')
                || matches!(c, '\u{3000}'..='\u{303F}' | '\u{FF00}'..='\u{FF20}')
        };
        let is_letter = |c: char| c.is_alphabetic() || c.general_category_group() == GeneralCategoryGroup::Mark;
        let is_known = |c: &char| !c.is_ascii() && (is_letter(*c) || is_sign(*c));
        match char::decode_utf16(units).collect::<Result<Vec<char>, _>>() {
            Ok(all) if !all.is_empty() && count < 6 && bits == 0 && all.iter().all(is_known) => {
                let letters: Vec<char> = all.into_iter().filter(|c| is_letter(*c)).collect();
                if letters.is_empty() { Self::Signs } else { Self::Letters(letters) }
            }
            _ => Self::Nothing,
        }
    }
}

/// Returns the six bits that a base64 character stands for.
fn base64(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Recognizes formats whose first bytes never occur in text.
fn sure(head: &[u8]) -> Option<Kind> {
    if let Some(Foreign { what, advice }) = Foreign::of(head) {
        return Some(Other::binary(what, advice));
    }
    Some(match head {
        [b'A', b'R', b'R', b'O', b'W', b'1', 0, 0, ..] => Kind::Arrow,
        [0xFF, 0xFF, 0xFF, 0xFF, a, b, c, d, 4..=64, 0, 0, 0, ..] if u32::from_le_bytes([*a, *b, *c, *d]) < 1 << 28 => {
            Kind::Arrow
        }
        [b'P', b'K', 5, 6, ..] => Other::binary("an empty zip archive", "pass a text file"),
        [0, 0, 0xFE, 0xFF, ..] => Other::binary(UTF_32.what, UTF_32.advice),
        [0x1F, 0x8B, ..]
        | [0x28, 0xB5, 0x2F, 0xFD, ..]
        | [0xFD, b'7', b'z', b'X', b'Z', 0, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] => {
            Other::binary("data compressed twice", "decompress it once")
        }
        [b'7', b'z', 0xBC, 0xAF, 0x27, 0x1C, ..] => Other::binary("a 7z archive", "unpack it first (7z x)"),
        [b'R', b'a', b'r', b'!', 0x1A, 7, ..] => Other::binary("a RAR archive", "unpack it first (unrar x)"),
        [4, 0x22, 0x4D, 0x18, ..] => Other::binary("data compressed with lz4", UNPACK_LZ),
        [0x1F, 0x9D, ..] => Other::binary("data compressed with compress (.Z)", UNPACK_LZ),
        [0x5D, 0, 0, _, _, 0xFF, 0xFF, 0xFF, 0xFF, ..] => Other::binary("data compressed with lzma", UNPACK_LZ),
        [0xFF, 6, 0, 0, b's', b'N', b'a', b'P', b'p', b'Y', ..] => {
            Other::binary("data compressed with snappy", UNPACK_LZ)
        }
        [0x89, b'P', b'N', b'G', ..]
        | [0xFF, 0xD8, 0xFF, ..]
        | [b'I', b'I', b'*', 0, ..]
        | [b'M', b'M', 0, b'*', ..] => image(),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] if head[..2] == [0, 0] => sound(),
        [0xFF, 0xFB | 0xF3 | 0xF2, ..] | [0x1A, 0x45, 0xDF, 0xA3, ..] => sound(),
        [0x7F, b'E', b'L', b'F', ..] | [0xCF | 0xCE, 0xFA, 0xED, 0xFE, ..] | [0, b'a', b's', b'm', ..] => program(),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            Other::binary("a NumPy array", "write its texts, if any, as JSON Lines")
        }
        [0x80, 2..=5, _, ..] => Other::binary("a Python pickle", FROM_PICKLE),
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1A, b'\n', ..] => {
            Other::binary("an HDF5 file", "write its texts, if any, as JSON Lines")
        }
        [0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1, ..] => Other::binary(
            "an old Office document (.doc, .xls or .ppt)",
            "save it as text first (soffice --headless --convert-to txt:Text)",
        ),
        _ if head.starts_with(b"SQLite format 3\0") => Other::binary(
            "a SQLite database",
            "write the texts as CSV first (sqlite3 -header -csv FILE \"select COLUMN as text from TABLE\")",
        ),
        _ if head.get(257..262) == Some(b"ustar") || is_old_tar(head) => {
            Other::binary("a tar archive", "unpack it first (tar -x)")
        }
        _ if is_tfrecord(head) => {
            Other::binary("a TFRecord file", "pass a text file; make-records writes such files for pretrain")
        }
        [_, _, _, _, _, 0, 0, 0, b'{', b'"', ..] => {
            Other::binary("a model's weights (safetensors)", "pass a text file")
        }
        _ if head.starts_with(b"MMIDIDX\0") => {
            Other::binary("an index of tokenized text (Megatron-LM)", "pass the text that it was made from")
        }
        [b'\n', length, b'\n', piece, ..]
            if *length < 0x80 && *piece < *length && head.get(4 + *piece as usize) == Some(&0x15) =>
        {
            Other::binary("a SentencePiece model", "pass a text file; pass a tokenizer as `tokenizer`")
        }
        _ => return None,
    })
}

fn image() -> Kind {
    Other::binary("an image", "extract its text first (tesseract)")
}

fn sound() -> Kind {
    Other::binary("a sound or video file", "pass a text file, such as a transcript")
}

fn program() -> Kind {
    Other::binary("a program", "pass a text file")
}

/// Checks the length of the first record against its checksum.
fn is_tfrecord(head: &[u8]) -> bool {
    let Some((length, sum)) = head.split_at_checked(8).and_then(|(a, b)| Some((a, b.get(..4)?))) else { return false };
    let masked = crc32c::crc32c(length).rotate_right(15).wrapping_add(0xA282_EAD8);
    masked.to_le_bytes() == *sum
}

/// Whether the header is that of a tar archive from before 1988, by its checksum.
fn is_old_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..512) else { return false };
    let (begin, digits, end) = (&header[..148], &header[148..156], &header[156..]);
    let digits = digits.trim_ascii_start();
    let length = digits.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let written = digits[..length].iter().fold(0, |sum, digit| sum * 8 + u32::from(digit - b'0'));
    let sum: u32 = begin.iter().chain(end).map(|&byte| u32::from(byte)).sum::<u32>() + 8 * u32::from(b' ');
    length > 0 && sum == written
}

/// The number of bytes that show whether data with an ASCII beginning is binary.
const BEGIN: usize = 4 << 10;

/// Recognizes formats whose first bytes may also begin text. More of the format must follow, or bytes that text does
/// not contain.
fn ascii_magic(head: &[u8], whole: bool) -> Option<Kind> {
    let has_nul = |range: std::ops::Range<usize>| head.get(range).is_some_and(|bytes| bytes.contains(&0));
    let begins_with_nul = head[..head.len().min(64)].contains(&0);
    let (kind, is_sure) = match head {
        // The first field of a page's header or of the footer is a number.
        [b'P', b'A', b'R', b'1', rest @ ..] => (Kind::Parquet, rest.first() == Some(&0x15)),
        [b'P', b'A', b'R', b'E', ..] => (Other::binary("encrypted Parquet", "decrypt it first"), begins_with_nul),
        [b'F', b'E', b'A', b'1', ..] => {
            (Other::binary("a Feather file of version 1", "write it as Parquet first"), begins_with_nul)
        }
        [b'O', b'R', b'C', ..] => (Other::binary("an ORC file", "write it as Parquet first"), begins_with_nul),
        [b'O', b'b', b'j', 1, ..] => {
            (Other::binary("an Avro file", "write it as JSON Lines first (avro-tools tojson)"), true)
        }
        [b'G', b'G', b'U', b'F', ..] => (Other::binary("a model's weights (GGUF)", "pass a text file"), has_nul(5..8)),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => (image(), has_nul(6..13) || has_nul(7..8)),
        [b'B', b'M', ..] => (image(), head.get(6..10) == Some(&[0; 4])),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => (image(), has_nul(4..8) || has_nul(16..20)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W' | b'A', b'A' | b'V', ..] => {
            (sound(), has_nul(4..8) || has_nul(16..20))
        }
        [b'A', b'T', b'&', b'T', b'F', b'O', b'R', b'M', ..] => {
            let is_sure = head.get(12..15) == Some(b"DJV");
            (Other::binary("a DjVu document", "extract its text first (djvutxt)"), is_sure)
        }
        [b'O', b'g', b'g', b'S', version, ..] => (sound(), *version == 0),
        [b'f', b'L', b'a', b'C', block, ..] => (sound(), matches!(block, 0 | 0x80)),
        [b'I', b'D', b'3', version, ..] => (sound(), *version < 5),
        [b'L', b'Z', b'I', b'P', version, ..] => (Other::binary("data compressed with lzip", UNPACK_LZ), *version < 2),
        [b'M', b'Z', ..] => (program(), begins_with_nul),
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] => {
            let is_sure = head.get(66..68) == Some(b"`\n");
            (Other::binary("an ar archive", "unpack it first (ar x)"), is_sure)
        }
        _ => return None,
    };
    // A file may be truncated within its first bytes.
    let is_cut = whole && head.len() <= 8 && kind == Kind::Parquet;
    (is_sure || is_cut || is_binary(&head[..head.len().min(BEGIN)])).then_some(kind)
}

/// Recognizes UTF-16 and UTF-32 without a byte-order mark, by the NUL bytes in spaces, digits and Latin letters.
fn utf16(head: &[u8], whole: bool) -> Option<Kind> {
    let even = head.len() & !3;
    if even < 8 && !(whole && head.len() >= 4) {
        return None;
    }
    let mut nul = [0_usize; 4];
    for four in head[..even].chunks_exact(4) {
        for (count, byte) in nul.iter_mut().zip(four) {
            *count += usize::from(*byte == 0);
        }
    }
    let fours = even / 4;
    let most = |i: usize| nul[i] * 10 > fours * 9;
    let few = |i: usize| nul[i] * 10 < fours;
    if most(1) && most(2) && most(3) && few(0) {
        let advice = "convert it first (iconv -f UTF-32LE -t UTF-8)";
        return Some(Other::binary("UTF-32 text without a byte-order mark", advice));
    }
    if most(0) && most(1) && few(3) {
        let advice = "convert it first (iconv -f UTF-32BE -t UTF-8)";
        return Some(Other::binary("UTF-32 text without a byte-order mark", advice));
    }
    // In text of a non-Latin script, only spaces, digits and line ends have a NUL byte.
    let (even, odd) = (nul[0] + nul[2], nul[1] + nul[3]);
    let enough = fours / 4 + 1;
    if odd > enough && even * 50 < odd {
        let advice = "convert it first (iconv -f UTF-16LE -t UTF-8)";
        return Some(Other::binary("UTF-16 text without a byte-order mark", advice));
    }
    if even > enough && odd * 50 < even {
        let advice = "convert it first (iconv -f UTF-16BE -t UTF-8)";
        return Some(Other::binary("UTF-16 text without a byte-order mark", advice));
    }
    // In Chinese, Japanese and Korean, only line ends have a NUL byte.
    let units =
        |from: fn([u8; 2]) -> u16| is_east_asian(head[..head.len() & !1].as_chunks::<2>().0.iter().map(|it| from(*it)));
    if odd > 0 && even == 0 && units(u16::from_le_bytes) {
        let advice = "convert it first (iconv -f UTF-16LE -t UTF-8)";
        return Some(Other::binary("UTF-16 text without a byte-order mark", advice));
    }
    if even > 0 && odd == 0 && units(u16::from_be_bytes) {
        let advice = "convert it first (iconv -f UTF-16BE -t UTF-8)";
        return Some(Other::binary("UTF-16 text without a byte-order mark", advice));
    }
    None
}

/// Whether nearly all units are characters of East Asian text.
fn is_east_asian(units: impl Iterator<Item = u16>) -> bool {
    let (mut all, mut good) = (0_usize, 0_usize);
    for unit in units {
        all += 1;
        good += usize::from(matches!(
            unit,
            0x0A | 0x0D | 0x20..=0x7E | 0x3000..=0x30FF | 0x4E00..=0x9FFF | 0xAC00..=0xD7A3 | 0xFF00..=0xFFEF
        ));
    }
    good * 20 > all * 19
}

/// Counts control characters, except separators, which text may have between records. A run of the same one counts
/// once, because a hole in a file is a run of NUL bytes.
fn controls(head: &[u8]) -> usize {
    let mut before = b' ';
    let mut count = 0;
    for &byte in head {
        count += usize::from(matches!(byte, 0..=6 | 14..=26 | 127) && byte != before);
        before = byte;
    }
    count
}

/// Whether `head` has too many control characters for text in any encoding.
fn is_binary(head: &[u8]) -> bool {
    let count = controls(head);
    count * 2 > head.len() || (count > FEW_CONTROLS && count > head.len() / TEXT_BYTES_PER_CONTROL)
}
