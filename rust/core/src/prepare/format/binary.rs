//! Binary formats and pointers to data, by their magic bytes; and binary data of no known format, by what it is made of.

use super::{Kind, Other, trim_start};

/// Of the bytes of text at most one in so many is a control character.
const TEXT_BYTES_PER_CONTROL: usize = 20;
/// So few control characters prove nothing.
const FEW_CONTROLS: usize = 8;

const UNPACK_LZ: &str = "decompress it first: gzip, bzip2, xz and zstd are read as they are";

/// What `head` is, if it is no text.
pub(super) fn recognize(head: &[u8], whole: bool) -> Option<Kind> {
    pointer(head).or_else(|| sure(head)).or_else(|| ascii_magic(head, whole)).or_else(|| utf16(head, whole)).or_else(
        || {
            let text = trim_start(head);
            if text.starts_with(b"{\\rtf") {
                return Some(Other::text("RTF", "extract its text first (pandoc -f rtf -t plain)"));
            }
            if text.starts_with(b"%PDF-") {
                return Some(Other::binary("a PDF", "extract its text first (pdftotext)"));
            }
            if text.starts_with(b"%!PS-Adobe") {
                return Some(Other::text("PostScript", "extract its text first (ps2ascii)"));
            }
            is_binary(head).then(|| Other::text("binary data of no known format", "convert it to UTF-8 text first"))
        },
    )
}

/// Small text files that version control leaves in place of the data.
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

/// Formats whose first bytes are never those of text.
fn sure(head: &[u8]) -> Option<Kind> {
    Some(match head {
        [b'A', b'R', b'R', b'O', b'W', b'1', 0, 0, ..] => Kind::Arrow,
        [0xFF, 0xFF, 0xFF, 0xFF, a, b, c, d, 4..=64, 0, 0, 0, ..] if u32::from_le_bytes([*a, *b, *c, *d]) < 1 << 28 => {
            Kind::Arrow
        }
        [b'P', b'K', 3, 4, ..] => zip(head),
        [b'P', b'K', 5, 6, ..] => Other::binary("an empty zip archive", "give UTF-8 text"),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => {
            Other::binary("UTF-32 text", "convert it first (iconv -f UTF-32 -t UTF-8)")
        }
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            Other::binary("UTF-16 text", "convert it first (iconv -f UTF-16 -t UTF-8)")
        }
        [0x1F, 0x8B, ..] | [0x28, 0xB5, 0x2F, 0xFD, ..] | [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => {
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
        | [b'M', b'M', 0, b'*', ..]
        | [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => image(),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W' | b'A', b'A' | b'V', ..] => sound(),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] if head[..2] == [0, 0] => sound(),
        [0xFF, 0xFB | 0xF3 | 0xF2, ..] | [0x1A, 0x45, 0xDF, 0xA3, ..] => sound(),
        [0x7F, b'E', b'L', b'F', ..] | [0xCF | 0xCE, 0xFA, 0xED, 0xFE, ..] | [0, b'a', b's', b'm', ..] => program(),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            Other::binary("a NumPy array", "give text: write the texts, if it holds any, as JSON Lines")
        }
        [0x80, 2..=5, _, ..] => {
            Other::binary("a Python pickle", "load it in Python, where you trust it, and write its texts as JSON Lines")
        }
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1A, b'\n', ..] => {
            Other::binary("an HDF5 file", "write the texts, if it holds any, as JSON Lines")
        }
        [0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1, ..] => Other::binary(
            "an old Office document (.doc, .xls or .ppt)",
            "save it as text first (soffice --headless --convert-to txt:Text)",
        ),
        _ if head.starts_with(b"SQLite format 3\0") => Other::binary(
            "a SQLite database",
            "write the texts as CSV first (sqlite3 -header -csv FILE \"select text from TABLE\")",
        ),
        _ if head.get(257..262) == Some(b"ustar") => Other::binary("a tar archive", "unpack it first (tar -x)"),
        _ if is_tfrecord(head) => {
            Other::binary("a TFRecord file", "give text: records are what make-records writes, and pretrain reads")
        }
        [_, _, _, _, _, 0, 0, 0, b'{', b'"', ..] => Other::binary("a model's weights (safetensors)", "give text"),
        [b'\n', length, b'\n', piece, ..]
            if *length < 0x80 && *piece < *length && head.get(4 + *piece as usize) == Some(&0x15) =>
        {
            Other::binary("a SentencePiece model", "give text; a tokenizer is for --tokenizer")
        }
        _ => return None,
    })
}

fn image() -> Kind {
    Other::binary("an image", "extract its text first (tesseract)")
}

fn sound() -> Kind {
    Other::binary("a sound or video file", "give text, such as a transcript")
}

fn program() -> Kind {
    Other::binary("a program", "give text")
}

/// Documents of office programs, and weights, are zip archives too: the names of their files tell.
fn zip(head: &[u8]) -> Kind {
    let holds = |name: &[u8]| memchr::memmem::find(head, name).is_some();
    if holds(b"mimetypeapplication/epub") {
        return Other::binary("an EPUB book", "extract its text first (pandoc -t plain)");
    }
    if holds(b"mimetypeapplication/vnd.oasis.opendocument") {
        return Other::binary("an OpenDocument file", "extract its text first (pandoc -t plain)");
    }
    if holds(b"[Content_Types].xml") || holds(b"word/document.xml") || holds(b"xl/workbook.xml") {
        return Other::binary(
            "an Office document (.docx, .xlsx or .pptx)",
            "save it as text first: a document with pandoc -t plain, a table as CSV",
        );
    }
    if holds(b"/data.pkl") {
        return Other::binary("a model's weights (PyTorch)", "give text");
    }
    if holds(b".npyPK") || holds(b".npy") && holds(b"\x93NUMPY") {
        return Other::binary("NumPy arrays (.npz)", "give text: write the texts, if it holds any, as JSON Lines");
    }
    Other::binary("a zip archive", "unpack it first (unzip)")
}

/// The first record's length and its checksum.
fn is_tfrecord(head: &[u8]) -> bool {
    let Some((length, sum)) = head.split_at_checked(8).and_then(|(a, b)| Some((a, b.get(..4)?))) else { return false };
    let masked = crc32c::crc32c(length).rotate_right(15).wrapping_add(0xA282_EAD8);
    masked.to_le_bytes() == *sum
}

/// Formats whose first bytes text may have too: then the rest must not be text.
fn ascii_magic(head: &[u8], whole: bool) -> Option<Kind> {
    let kind = match head {
        [b'P', b'A', b'R', b'1', ..] => Kind::Parquet,
        [b'P', b'A', b'R', b'E', ..] => Other::binary("encrypted Parquet", "decrypt it first"),
        [b'F', b'E', b'A', b'1', ..] => Other::binary("a Feather file of version 1", "write it as Parquet first"),
        [b'O', b'R', b'C', ..] => Other::binary("an ORC file", "write it as Parquet first"),
        [b'O', b'b', b'j', 1, ..] => Other::binary("an Avro file", "write it as JSON Lines first (avro-tools tojson)"),
        [b'G', b'G', b'U', b'F', ..] => Other::binary("a model's weights (GGUF)", "give text"),
        [b'G', b'I', b'F', b'8', ..] | [b'B', b'M', ..] => image(),
        [b'A', b'T', b'&', b'T', b'F', b'O', b'R', b'M', ..] => {
            Other::binary("a DjVu document", "extract its text first (djvutxt)")
        }
        [b'O', b'g', b'g', b'S', ..] | [b'f', b'L', b'a', b'C', ..] | [b'I', b'D', b'3', ..] => sound(),
        [b'L', b'Z', b'I', b'P', ..] => Other::binary("data compressed with lzip", UNPACK_LZ),
        [b'M', b'Z', ..] => program(),
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => Other::binary("an ar archive", "unpack it first (ar x)"),
        _ => return None,
    };
    // A file may be cut short within its first bytes.
    (!is_clean(head) || (whole && head.len() <= 8 && kind == Kind::Parquet)).then_some(kind)
}

/// UTF-16 and UTF-32 without a byte-order mark, of a script that has ASCII's spaces or digits: their other bytes are NUL.
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
        return Some(Other::text("UTF-32 text without a byte-order mark", advice));
    }
    if most(0) && most(1) && few(3) {
        let advice = "convert it first (iconv -f UTF-32BE -t UTF-8)";
        return Some(Other::text("UTF-32 text without a byte-order mark", advice));
    }
    // Of text in a script other than Latin, only spaces, digits and line ends have a NUL byte.
    let (even, odd) = (nul[0] + nul[2], nul[1] + nul[3]);
    let enough = fours / 4 + 1;
    if odd > enough && even * 50 < odd {
        let advice = "convert it first (iconv -f UTF-16LE -t UTF-8)";
        return Some(Other::text("UTF-16 text without a byte-order mark", advice));
    }
    if even > enough && odd * 50 < even {
        let advice = "convert it first (iconv -f UTF-16BE -t UTF-8)";
        return Some(Other::text("UTF-16 text without a byte-order mark", advice));
    }
    None
}

/// Control characters but the separators, which text may have between records. A run of the same one counts once: a hole in a
/// file is a run of NUL bytes.
fn controls(head: &[u8]) -> usize {
    let mut before = b' ';
    let mut count = 0;
    for &byte in head {
        count += usize::from(matches!(byte, 0..=6 | 14..=26 | 127) && byte != before);
        before = byte;
    }
    count
}

/// Whether `head` is UTF-8 without control characters, but for a last character that may be cut.
fn is_clean(head: &[u8]) -> bool {
    controls(head) == 0 && std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// Whether `head` has too many control characters for text, of any encoding.
fn is_binary(head: &[u8]) -> bool {
    let count = controls(head);
    count * 2 > head.len() || (count > FEW_CONTROLS && count > head.len() / TEXT_BYTES_PER_CONTROL)
}
