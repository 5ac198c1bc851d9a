use super::*;

fn what(text: &str) -> &'static str {
    match shape(text.as_bytes(), true) {
        Shape::Lines => "lines",
        Shape::Text => "text",
        Shape::Other { what, advice } => {
            assert!(!advice.is_empty());
            what
        }
    }
}

#[test]
fn json_of_other_shapes_is_recognized() {
    for (text, expected) in [
        ("{\"text\": \"One.\"}\n{\"text\": \"Two.\"}\n", "lines"),
        ("{\"text\": \"One.\", \"a\": NaN}\n{\"text\": \"Two.\"}\n", "lines"),
        ("\u{FEFF}\u{1E}{\"text\": \"One.\"}\n\u{1E}{\"text\": \"Two.\"}\n", "lines"),
        ("{\"text\": \"One.\"},\n{\"text\": \"Two.\"}\n", "lines"),
        ("{}\n{}", "lines"),
        ("{\n  \"text\": \"One.\"\n}\n", "JSON over several lines"),
        ("{\n  \"text\": \"One.\"\n}\n{\n  \"text\": \"Two.\"\n}\n", "JSON over several lines"),
        (
            "{\n  \"text\": \"One.\"\n},\n{\n  \"text\": \"Two.\"\n}\n",
            "JSON over several lines, with commas between the objects",
        ),
        ("{\n  \"text\": \"One.\"\n}\nand", "JSON over several lines, with a syntax error after its first object"),
        (
            "\u{1E}{\n\"text\": \"One.\"\n}\n\u{1E}{\n\"text\": 2}",
            "a JSON text sequence with objects over several lines",
        ),
        ("{\n  \"text\": \"One.\", \"a\": NaN\n}\n", "JSON over several lines, with NaN or Infinity"),
        (
            "{\n\"text\": \"One.\", \"a\": NaN\n}\n{\n\"text\": \"Two.\"\n}\n",
            "JSON over several lines, with NaN or Infinity",
        ),
        ("{\"text\": \"One.\"}{\"text\": \"Two.\"}\n", "JSON with several objects on one line"),
        ("[{\"text\": \"One.\"},\n {\"text\": \"Two.\"}]\n", "a JSON array"),
        ("[\n{\"text\": \"One.\"},\n{\"text\": \"Two.\"},\n]\n", "a JSON array with a comma after its last item"),
        ("[{\"text\": \"One.\", \"a\": Infinity}]", "a JSON array with NaN or Infinity"),
        ("[{\"text\": \"One.\"},\n {\"text\": \"Tw", "a JSON array that is truncated"),
        ("[{\"text\": \"One.\"}\n {\"text\": \"Two.\"}]\n", "a JSON array with a syntax error"),
        ("[\"One.\", \"Two.\"]", "a JSON array of strings"),
        ("[[\"One.\"], [\"Two.\"]]", "a JSON array of arrays"),
        ("[\"One.\"]\n[\"Two.\"]\n", "JSON Lines of arrays, not of objects"),
        ("{'text': 'One.'}\n{'text': 'Two.'}\n", "a Python dictionary on each line, as repr writes it"),
        ("{'text': 'One.',\n 'a': 1}\n", "a Python dictionary over several lines, as pprint writes it"),
        ("[{'text': 'One.'}]", "a Python list of dictionaries, as repr writes it"),
        ("[1] One is here.\n", "text"),
        ("[\"One\" is here.]\n", "text"),
        ("{One is here.}\n", "text"),
        ("{'tis here: one.}\n", "text"),
        ("One is here.\n", "text"),
    ] {
        assert_eq!(what(text), expected, "{text}");
    }
}

#[test]
fn a_head_is_enough() {
    let long = "x".repeat(1000);
    assert_eq!(shape(format!("{{\"text\": \"{long}").as_bytes(), false), Shape::Lines);
    assert_eq!(shape(format!("{{\"a\": 1, \"text\": \"{long}").as_bytes(), true), Shape::Lines);
    for (head, expected) in [("{\n\"text\": \"", "JSON over several lines"), ("[{\"text\": \"", "a JSON array")] {
        let Shape::Other { what, .. } = shape(format!("{head}{long}").as_bytes(), false) else { panic!("{head}") };
        assert_eq!(what, expected);
    }
}
