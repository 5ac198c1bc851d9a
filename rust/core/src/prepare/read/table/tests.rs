use proptest::prelude::*;

use super::*;
use crate::prepare::read::rows::Survey;

#[test]
fn columns_by_name_and_by_number() {
    let column = |row: &str, field: &str| find(row, b",;|\t", b'\n', field);
    assert_eq!(column("id,text\r\n", "text"), Ok(((b',', 1, 2), true)));
    assert_eq!(column("id;\"text\";a,b\n", "text"), Ok(((b';', 1, 3), true)));
    assert_eq!(column("id\ttext\n", "2"), Ok(((b'\t', 1, 2), false)));
    assert_eq!(column("text", "text"), Ok(((b',', 0, 1), true)));
    assert_eq!(column("\"id\", \"the text\"\r\n", "the text"), Ok(((b',', 1, 2), true)));
    assert_eq!(column("# id , text\n", "id"), Ok(((b',', 0, 2), true)));
    assert!(column("id,body\n", "text").unwrap_err().starts_with("no column \"text\" (columns: \"id\", \"body\")"));
    assert!(column("id,body\n", "3").is_err());
}

#[test]
fn lines_before_the_header() {
    let skip = |text: &str, field: &str| preamble(text.as_bytes(), b'\n', b",;|\t", Some(field));
    assert_eq!(skip("id,text\n", "text"), (0, None));
    assert_eq!(skip("\n# made in 2020\n#\nid,text\n", "text"), (18, None));
    assert_eq!(skip("# id, text\n1,a\n", "text"), (0, None));
    assert_eq!(skip("#id,text\n1,a\n", "body"), (0, None), "as many fields: it may be a row");
    assert_eq!(skip("#made\nsep=;\nid;text\n", "text"), (12, Some(b';')));
    assert_eq!(skip("# only\n", "text"), (0, None));
}

#[test]
fn how_a_table_quotes() {
    let choose = |text: &str, delimiter: u8| {
        let it = Dialect::choose(delimiter, b'\n', text.as_bytes(), true, 2);
        (it.quotes, it.backslash, it.spaces)
    };
    assert_eq!(choose("1,\"a \"\"b\"\" c\"\n2,\"C:\\\"\n", b','), (true, false, false));
    assert_eq!(choose("1,\"a \\\"b\\\" c\"\n2,d\n", b','), (true, true, false));
    assert_eq!(choose("1,\"a \\\", c\"\n2,d\n", b','), (true, true, false), "by the number of fields");
    assert_eq!(choose("1, \"a, b\"\n2, \"c\"\n", b','), (true, false, true));
    assert_eq!(choose("1, \"a\" b\n2,c\n", b','), (true, false, false));
    assert_eq!(choose("1,\"a\" b\n2,c\n", b','), (true, false, false), "commas need quotes");
    assert_eq!(choose("1\t\"a\" b\n2\tc\n3\td\n", b'\t'), (false, false, false));
    assert_eq!(choose("1\t\"a\n2\tc\n3\td\n", b'\t'), (false, false, false));
    assert_eq!(choose("1\t\"a\tb\"\n2\t\"c\nd\"\n3\t\"d\" e\n", b'\t'), (true, false, false));
    // A quotation over several rows is not one field, unless its lines are not rows.
    assert_eq!(choose("1\t\"Hello.\n2\tHow are you?\"\n3\tFine.\n", b'\t'), (false, false, false));
    assert_eq!(choose("1\t\"Hello.\n2\tAll is well.\n3\tHow are you?\"\n", b'\t'), (false, false, false));
    assert_eq!(choose("1\t\"a\nb\tc\td\"\n2\t\"e\nf\"\n3\t\"g\" h\n", b'\t'), (true, false, false));
    // The end of the examined text is not the end of the table.
    let rows = |text: &str| Dialect::choose(b'\t', b'\n', text.as_bytes(), false, 2).quotes;
    assert!(!rows("1\t\"a\n2\tc\n3\td\n4\te\n") && rows("1\tb\n2\t\"A long text\nof lines\nthat is cut"));
}

/// Rows with a dialect that does not show at the beginning of their table.
#[test]
fn rows_in_another_dialect() {
    let rows = |dialect: Dialect, text: &str| {
        let dialect = Dialect { fields: 2, ..dialect };
        let (mut plain, mut rest, mut faults) = (Vec::new(), text.as_bytes(), 0);
        while !rest.is_empty() {
            let row = dialect.row(rest);
            let end = row.end_in(rest, b'\n');
            match row.fault {
                Some(_) => faults += 1,
                None => row.other.unwrap_or(dialect).plain(&rest[..end], &mut plain),
            }
            rest = &rest[end..];
        }
        let records = reader(&plain, dialect).into_records().map(|it| it.unwrap().iter().collect::<Vec<_>>().join("|"));
        (records.collect::<Vec<_>>(), faults)
    };
    let tabs = Dialect::new(b'\t', b'\n');
    let sure = Dialect { sure: true, ..tabs };
    let bare = Dialect { quotes: false, ..tabs };
    let commas = Dialect::new(b',', b'\n');
    let backslash = Dialect { backslash: true, ..commas };
    for (dialect, text, expected) in [
        (tabs, "1\t\"Yes,\" he said.\n2\tNo.\n", &["1|\"Yes,\" he said.", "2|No."][..]),
        (
            tabs,
            "1\t\"Hello.\n2\tHow are you?\"\n3\t\"Fine\tit is.\"\n",
            &["1|\"Hello.", "2|How are you?\"", "3|Fine\tit is."],
        ),
        (tabs, "1\t\"Hello.\n2\tHow are you?\n3\tFine.\n", &["1|\"Hello.", "2|How are you?", "3|Fine."]),
        (tabs, "1\t\"Hello.\nHow are you?\"\n", &["1|Hello.\nHow are you?"]),
        (tabs, "1\t\"Hello, \"you\" there", &["1|\"Hello, \"you\" there"]),
        (sure, "1\t\"a\nb\tc\"\n2\t\"Yes,\" he said.\n", &["1|a\nb\tc", "2|\"Yes,\" he said."]),
        (bare, "1\t\"Yes,\" he said.\r\n2\t\"a\tb\"\n", &["1|\"Yes,\" he said.\r", "2|a\tb"]),
        (
            commas,
            "1,\"He said \\\"yes, sir\\\" to me.\"\n2,\"C:\\dir\\\"\n",
            &["1|He said \"yes, sir\" to me.", "2|C:\\dir\\"],
        ),
        (commas, "1, \"a, b\"\n2,c\n", &["1|a, b", "2|c"]),
        (backslash, "1,\"a \\\"b\\\"\"\n2,\"C:\\dir\\\"\n", &["1|a \"b\"", "2|C:\\dir\\"]),
    ] {
        assert_eq!(rows(dialect, text), (expected.iter().map(ToString::to_string).collect(), 0), "{text}");
    }
    // A line without this number of fields in any dialect remains a fault.
    for (dialect, text) in [
        (sure, "1\t\"Hello\nhe said \"yes\" there\"\n"),
        (sure, "1\t\"Hello\nmore\nand more\n"),
        (commas, "1,\"Hello\" she said.\n"),
        (commas, "1,\"Hello\n2,c\n"),
    ] {
        assert_eq!(rows(dialect, text).1, 1, "{text}");
    }
}

proptest! {
    /// The end and dialect of a row do not depend on how much of the following data is known.
    #[test]
    fn more_data_change_no_row(
        parts in prop::collection::vec(prop::sample::select(
            ["\"", "\"\"", "\t", ",", "\n", "\r\n", "a", " ", "\\", "1\t\"", "\"\n2\t", "\n3\ta", "\n4,\""].as_slice()), 1..40),
        (quotes, backslash, spaces, sure) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        (is_tab, fields, cut) in (any::<bool>(), 0_usize..4, any::<prop::sample::Index>()),
    ) {
        let text = parts.concat();
        let new = Dialect::new(if is_tab { b'\t' } else { b',' }, b'\n');
        let dialect = Dialect { backslash: backslash && quotes, spaces: spaces && quotes, quotes, sure, fields, ..new };
        let seen = dialect.row(&text.as_bytes()[..=cut.index(text.len())]);
        if seen.end.is_some() {
            let all = dialect.row(text.as_bytes());
            prop_assert_eq!((seen.end, seen.fields, seen.other, seen.fault), (all.end, all.fields, all.other, all.fault));
        }
    }

    /// A whole row is one record for the `csv` crate in any dialect, and rows do not depend on how much data is known.
    #[test]
    fn rows_are_those_of_the_crate(
        parts in prop::collection::vec(prop::sample::select(
            ["\"", "\"\"", ",", "\n", "\r\n", "a", " ", "\"a,\n\"", ";", "\\", ", \"a\"", "\r"].as_slice()), 0..40),
        (quotes, backslash, spaces) in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let text = parts.concat();
        let quoted = Dialect { backslash: backslash && quotes, spaces: spaces && quotes, quotes, ..Dialect::new(b',', b'\n') };
        let mut at = 0;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let row = quoted.row(rest);
            prop_assert_eq!(quoted.scan(rest, true).first, row.end);
            let end = row.end.unwrap_or(rest.len());
            if row.fault.is_none() {
                let mut plain = Vec::new();
                quoted.plain(&rest[..end], &mut plain);
                let records: Vec<_> = reader(&plain, quoted).records().map(|it| it.unwrap().len()).collect();
                if !is_blank(&rest[..end]) {
                    prop_assert_eq!(records, [row.fields]);
                }
            }
            if row.end.is_some() {
                at += end;
            }
            rest = &rest[end..];
        }
        prop_assert_eq!(quoted.scan(text.as_bytes(), false).last.unwrap_or(0), at);
        let _ = Survey::of(text.as_bytes(), true, quoted, 2);
    }

    /// What the `csv` crate writes is read back unchanged and without faults.
    #[test]
    fn what_the_crate_writes(
        rows in prop::collection::vec(prop::collection::vec("[a\", \n\\\\]{0,6}", 2..3), 1..8),
        always in any::<bool>(),
    ) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let dialect = Dialect::new(b',', b'\n');
        let (mut plain, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let row = dialect.row(&text[at..]);
            prop_assert!(row.fault.is_none() && row.end.is_some());
            let end = row.end.unwrap_or(text.len() - at);
            dialect.plain(&text[at..at + end], &mut plain);
            at += end;
        }
        let read: Vec<Vec<String>> =
            reader(&plain, dialect).records().map(|it| it.unwrap().iter().map(ToOwned::to_owned).collect()).collect();
        prop_assert_eq!(read, rows);
    }
}
