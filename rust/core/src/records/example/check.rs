//! The rules that a valid record satisfies.

use super::{Example, FEATURES, TOKEN_BOUNDARY, Values};

/// The rules for a record's features, in addition to their names, types, lengths and how they fit each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Number of pieces of the vocabulary: every id must be below it.
    pub vocab_size: Option<u32>,
    /// The ids of `[CLS]` and `[SEP]`. A record must be `[CLS] A [SEP] B [SEP]`, with matching `segment_ids`.
    pub cls_sep: Option<(u32, u32)>,
    /// (`max_seq_length`, `max_predictions`) of the records of one dataset. Take those of the first record with
    /// [`Rules::lengths_of`].
    pub lengths: Option<(usize, usize)>,
}

impl Rules {
    /// Returns the lengths of `input_ids` and `masked_lm_ids`, if the record has both.
    pub fn lengths_of(example: &Example) -> Option<(usize, usize)> {
        Some((example.ints(FEATURES[0])?.len(), example.ints(FEATURES[2])?.len()))
    }

    /// Returns what is wrong with `example`: a line for each broken rule, with the first place. Empty for a valid
    /// record.
    ///
    /// `token_boundary` may be missing, as in BERT's records. Other features may be present; trainers ignore them.
    pub fn check(&self, example: &Example) -> Vec<String> {
        let mut problems = Problems(Vec::new());
        problems.names_and_types(example);
        let [Some(ids), Some(mask), Some(labels), Some(positions), Some(next), Some(segments)] =
            [0, 1, 2, 3, 5, 6].map(|index| example.ints(FEATURES[index]))
        else {
            return problems.0;
        };
        let starts = example.ints(TOKEN_BOUNDARY);
        let Some(weights) = example.floats(FEATURES[4]) else { return problems.0 };

        let (s, p) = self.lengths.unwrap_or((ids.len(), labels.len()));
        if s == 0 || p == 0 {
            problems.add(format!("input_ids and masked_lm_ids must not be empty, got {s} and {p} values"));
        }
        let wanted = [s, s, p, p, p, 1, s, s];
        for (name, wanted) in FEATURES.iter().zip(wanted) {
            if *name == TOKEN_BOUNDARY && starts.is_none() {
                continue;
            }
            let length = example.0.get(*name).map_or(0, Values::len);
            if length != wanted {
                problems.add(format!("{name} must have {wanted} values, got {length}"));
            }
        }
        if !problems.0.is_empty() {
            return problems.0;
        }

        let tokens = mask.iter().take_while(|&&one| one == 1).count();
        problems.first(FEATURES[1], &mask[tokens..], tokens, |&one| one == 0, "ones, then zeros");
        self.check_ids(FEATURES[0], ids, &mut problems);
        problems.first(FEATURES[0], &ids[tokens..], tokens, |&id| id == 0, "0 in the padding");
        let first = segments[..tokens].iter().take_while(|&&segment| segment == 0).count();
        let rule = "zeros, then ones";
        problems.first(FEATURES[6], &segments[first..tokens], first, |&segment| segment == 1, rule);
        problems.first(FEATURES[6], &segments[tokens..], tokens, |&segment| segment == 0, "0 in the padding");
        if let Some(starts) = starts {
            problems.first(TOKEN_BOUNDARY, &starts[..tokens], 0, |start| (0..=1).contains(start), "0 or 1");
            problems.first(TOKEN_BOUNDARY, &starts[tokens..], tokens, |&start| start == 0, "0 in the padding");
        }
        problems.first(FEATURES[5], next, 0, |label| (0..=1).contains(label), "0 or 1");
        if let Some(cls_sep) = self.cls_sep {
            problems.layout(&ids[..tokens], first, cls_sep);
        }

        // Weights are written as exactly 1 and 0.
        let masks = weights.iter().take_while(|&&weight| weight.to_bits() == 1.0_f32.to_bits()).count();
        let rule = "ones, then zeros";
        problems.first(FEATURES[4], &weights[masks..], masks, |&weight| weight == 0.0, rule);
        self.check_ids(FEATURES[2], labels, &mut problems);
        let rule = format!("on the {tokens} tokens");
        let on_tokens = |&position: &i64| (0..tokens as i64).contains(&position);
        problems.first(FEATURES[3], &positions[..masks], 0, on_tokens, &rule);
        if let Some(at) = positions[..masks].windows(2).position(|pair| pair[0] >= pair[1]) {
            let (before, after) = (positions[at], positions[at + 1]);
            problems.add(format!("masked_lm_positions must ascend, got {after} after {before}"));
        }
        problems.first(FEATURES[2], &labels[masks..], masks, |&id| id == 0, "0 in the padding");
        problems.first(FEATURES[3], &positions[masks..], masks, |&position| position == 0, "0 in the padding");
        problems.0
    }

    fn check_ids(&self, name: &str, ids: &[i64], problems: &mut Problems) {
        let size = self.vocab_size.map_or(i64::from(u32::MAX) + 1, i64::from);
        let rule = format!("from 0 to {}, the ids of the vocabulary", size - 1);
        problems.first(name, ids, 0, |id| (0..size).contains(id), &rule);
    }
}

struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    /// Reports the first of `values`, which begin at position `start` of feature `name`, that is not `good`.
    fn first<T: std::fmt::Display>(
        &mut self,
        name: &str,
        values: &[T],
        start: usize,
        good: impl Fn(&T) -> bool,
        rule: &str,
    ) {
        if let Some(at) = values.iter().position(|value| !good(value)) {
            self.add(format!("{name} must be {rule}, got {} at position {}", values[at], start + at));
        }
    }

    fn names_and_types(&mut self, example: &Example) {
        for (index, name) in FEATURES.iter().enumerate() {
            let wanted = if index == 4 { "FloatList" } else { "Int64List" };
            match example.0.get(*name) {
                None if *name == TOKEN_BOUNDARY => {}
                None => self.add(format!("{name} is missing")),
                Some(values) if values.kind() != wanted => {
                    self.add(format!("{name} must be of type {wanted}, got {}", values.kind()));
                }
                Some(_) => {}
            }
        }
    }

    /// Checks for `[CLS] A [SEP] B [SEP]` with `first` tokens in segment 0.
    fn layout(&mut self, ids: &[i64], first: usize, (cls, sep): (u32, u32)) {
        let (cls, sep) = (i64::from(cls), i64::from(sep));
        if ids.first() != Some(&cls) {
            self.add(format!("input_ids: the first token must be [CLS] ({cls})"));
        }
        if ids.last() != Some(&sep) {
            self.add(format!("input_ids: the last token must be [SEP] ({sep})"));
        }
        if first == 0 || first >= ids.len() || ids[first - 1] != sep {
            self.add(format!("segment_ids: segment 0 ends at position {first}, which is not after a [SEP] ({sep})"));
        }
    }
}
