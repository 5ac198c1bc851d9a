//! Recognizes, by their first bytes, data that no text reader can read: archives, and text that is not UTF-8.

use memchr::memmem;

/// What the data is, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Completes the sentence "this is ...": "a zip archive".
    pub what: &'static str,
    /// An imperative: "unpack it first (unzip)".
    pub advice: &'static str,
}

/// UTF-32 text in either byte order.
pub(crate) const UTF_32: Foreign = Foreign::new("UTF-32 text", "convert it first (iconv -f UTF-32 -t UTF-8)");

impl Foreign {
    const fn new(what: &'static str, advice: &'static str) -> Self {
        Self { what, advice }
    }

    /// Returns what data beginning with `head` is, if it is one of these.
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [b'P', b'K', 3, 4, ..] => Some(zip(head)),
            [0xFF, 0xFE, 0, 0, ..] => Some(UTF_32),
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
                Some(Self::new("UTF-16 text", "convert it first (iconv -f UTF-16 -t UTF-8)"))
            }
            _ => None,
        }
    }
}

/// Office documents and model weights are zip archives too. The names of the files inside identify them.
fn zip(head: &[u8]) -> Foreign {
    let holds = |name: &[u8]| memmem::find(head, name).is_some();
    if holds(b"mimetypeapplication/epub") {
        return Foreign::new("an EPUB book", "extract its text first (pandoc -t plain)");
    }
    if holds(b"mimetypeapplication/vnd.oasis.opendocument") {
        return Foreign::new("an OpenDocument file", "extract its text first (pandoc -t plain)");
    }
    if holds(b"[Content_Types].xml") || holds(b"word/document.xml") || holds(b"xl/workbook.xml") {
        return Foreign::new(
            "an Office document (.docx, .xlsx or .pptx)",
            "save it as text first: a document with pandoc -t plain, a table as CSV",
        );
    }
    if holds(b"/data.pkl") {
        return Foreign::new("a model's weights (PyTorch)", "pass a text file");
    }
    if holds(b".npyPK") || holds(b".npy") && holds(b"\x93NUMPY") {
        return Foreign::new("NumPy arrays (.npz)", "write its texts, if any, as JSON Lines");
    }
    Foreign::new("a zip archive", "unpack it first (unzip)")
}
