//! The options of the search for near-duplicates.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most words in a shingle, bands, and rows in a band.
const MOST: usize = 256;
/// The most hashes of a document, which are computed for each of its shingles.
const MOST_HASHES: usize = 4096;

/// Which document of a cluster is kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepRule {
    /// The first in the order of the input.
    #[default]
    First,
    /// The one with the most characters, and of several such, the first.
    Longest,
}

/// Whether and how to find near-duplicates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NearOptions {
    /// Whether to drop near-duplicates.
    pub dedup_near: bool,
    /// Which document of a cluster to keep.
    pub dedup_near_keep: KeepRule,
    /// The number of consecutive words in a shingle.
    pub dedup_near_shingle: usize,
    /// The number of bands. Two documents are near-duplicates if all hashes of a band are equal.
    pub dedup_near_bands: usize,
    /// The number of hashes in a band.
    pub dedup_near_rows: usize,
    /// The least similarity of two documents that share a band, as all their hashes estimate it. `None` accepts all.
    pub dedup_near_threshold: Option<f64>,
}

impl Default for NearOptions {
    /// The defaults of datatrove.
    fn default() -> Self {
        Self {
            dedup_near: false,
            dedup_near_keep: KeepRule::First,
            dedup_near_shingle: 5,
            dedup_near_bands: 14,
            dedup_near_rows: 8,
            dedup_near_threshold: None,
        }
    }
}

impl NearOptions {
    /// Checks that each value follows its rule.
    ///
    /// # Errors
    /// [`Error::Rule`] or [`Error::Conflict`] naming the first that does not.
    pub fn check(&self) -> Result<()> {
        let defaults = Self::default();
        for (name, value, default) in [
            ("dedup_near_shingle", self.dedup_near_shingle, defaults.dedup_near_shingle),
            ("dedup_near_bands", self.dedup_near_bands, defaults.dedup_near_bands),
            ("dedup_near_rows", self.dedup_near_rows, defaults.dedup_near_rows),
        ] {
            if !(1..=MOST).contains(&value) {
                return Err(Error::rule(name, format!("a whole number from 1 to {MOST}"), value));
            }
            if !self.dedup_near && value != default {
                return Err(without_effect(name));
            }
        }
        if !self.dedup_near && self.dedup_near_keep != defaults.dedup_near_keep {
            return Err(without_effect("dedup_near_keep"));
        }
        if let Some(threshold) = self.dedup_near_threshold {
            if !(threshold > 0.0 && threshold <= 1.0) {
                return Err(Error::rule("dedup_near_threshold", "a number above 0 and at most 1", threshold));
            }
            if !self.dedup_near {
                return Err(without_effect("dedup_near_threshold"));
            }
        }
        let hashes = self.hashes();
        if hashes > MOST_HASHES {
            let reason = format!(
                "dedup_near_bands={} times dedup_near_rows={} are {hashes} hashes, more than {MOST_HASHES}; pass fewer \
                 bands or rows",
                self.dedup_near_bands, self.dedup_near_rows
            );
            return Err(Error::conflict("dedup_near_bands", reason));
        }
        Ok(())
    }

    /// Whether documents have a key of all hashes, besides those of the bands.
    pub(super) fn has_last_key(&self) -> bool {
        self.dedup_near_threshold.is_some()
    }

    /// The number of keys of a document.
    pub(super) fn keys(&self) -> usize {
        self.dedup_near_bands + usize::from(self.has_last_key())
    }

    /// The number of hashes of a document.
    pub(super) fn hashes(&self) -> usize {
        self.dedup_near_bands * self.dedup_near_rows
    }

    /// Returns how many hashes of two documents must be equal in their last byte, if their similarity is checked.
    pub(super) fn least_equal(&self) -> Option<usize> {
        self.dedup_near_threshold.map(|threshold| {
            // Of the hashes that are not equal, one in 256 has the same last byte.
            let fraction = threshold + (1.0 - threshold) / 256.0;
            (fraction * self.hashes() as f64).ceil() as usize
        })
    }
}

fn without_effect(name: &'static str) -> Error {
    Error::conflict(
        name,
        format!("`{name}` has no effect without dedup_near=True; pass dedup_near=True, or no `{name}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_and_without_effect() {
        let error = |change: fn(&mut NearOptions)| {
            let mut options = NearOptions { dedup_near: true, ..NearOptions::default() };
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(NearOptions::default().check().is_ok());
        assert_eq!(
            error(|it| it.dedup_near_shingle = 0),
            "dedup_near_shingle must be a whole number from 1 to 256, got 0"
        );
        assert_eq!(
            error(|it| it.dedup_near_rows = 257),
            "dedup_near_rows must be a whole number from 1 to 256, got 257"
        );
        for threshold in [0.0, -1.0, 1.5, f64::NAN] {
            let options =
                NearOptions { dedup_near: true, dedup_near_threshold: Some(threshold), ..NearOptions::default() };
            assert!(options.check().is_err_and(|it| it.facts().option == Some("dedup_near_threshold")));
        }
        assert!(
            error(|it| (it.dedup_near, it.dedup_near_threshold) = (false, Some(0.8)))
                .contains("`dedup_near_threshold` has")
        );
        assert_eq!(
            error(|it| (it.dedup_near_bands, it.dedup_near_rows) = (256, 17)),
            "dedup_near_bands=256 times dedup_near_rows=17 are 4352 hashes, more than 4096; pass fewer bands or rows"
        );
        assert_eq!(
            error(|it| (it.dedup_near, it.dedup_near_keep) = (false, KeepRule::Longest)),
            "`dedup_near_keep` has no effect without dedup_near=True; pass dedup_near=True, or no `dedup_near_keep`"
        );
        assert_eq!(
            error(|it| (it.dedup_near, it.dedup_near_bands) = (false, 20)),
            "`dedup_near_bands` has no effect without dedup_near=True; pass dedup_near=True, or no `dedup_near_bands`"
        );
    }
}
