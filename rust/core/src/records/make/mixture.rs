//! Makes records from several token stores, each with a weight.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Job;
use crate::batches::pattern::Pattern;
use crate::instances::instance::Instance;
use crate::instances::options::{InstanceOptions, RngKind};
use crate::instances::plan::{Plan, Scratch};
use crate::records::write::{InstanceSource, Origin, RecordsOptions};
use crate::tokens::documents::Documents;
use crate::tokens::line_encoder::{check_tokenizer, store_digest};
use crate::tokens::store::TokenStore;
use crate::tokens::tokenize::Encode;
use crate::tokens::vocab::Vocab;
use crate::{Error, Progress, Result};

/// The most passes over a store: that of `dupe_factor`.
const MOST_PASSES: u64 = 100_000;

/// What a mixture has of one store.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The number of instances.
    pub instances: u64,
    /// The number of passes over the store, of which the last may not be whole.
    pub passes: f64,
}

/// The instances of several stores, in the order of a [`Pattern`]. Of each store, they are those of whole passes, shuffled
/// together, and then the first ones of another pass.
#[derive(Debug)]
pub(super) struct Mixture<'a, D> {
    pattern: &'a Pattern,
    len: u64,
    /// For each store, the plan of its whole passes, and that of the last one.
    plans: Vec<Vec<Plan<'a, D>>>,
    drawn: Vec<Drawn>,
}

impl<'a, D: Documents> Mixture<'a, D> {
    /// Plans as many instances as `dupe_factor` passes over all stores have, if each pass has as many as the first.
    ///
    /// # Errors
    /// Those of [`Plan::build`]; the number of the store with [`Unusable`] if it cannot be mixed.
    pub fn build(
        stores: &'a [D],
        vocab: &'a Vocab,
        options: &InstanceOptions,
        pattern: &'a Pattern,
        progress: &mut dyn Progress,
    ) -> Result<std::result::Result<Self, (usize, Unusable)>> {
        let mut sizes = Vec::with_capacity(stores.len());
        for (number, store) in stores.iter().enumerate() {
            match Plan::build(store, vocab, options, 0..1, &mut *progress)?.len() {
                0 => return Ok(Err((number, Unusable::Empty))),
                size => sizes.push(size),
            }
        }
        let len = sizes.iter().sum::<u64>().saturating_mul(options.dupe_factor);
        let (mut plans, mut drawn) = (Vec::new(), Vec::new());
        for (number, store) in stores.iter().enumerate() {
            let wanted = pattern.count(number, len);
            let mut whole = wanted / sizes[number];
            // Passes differ a little in size, because documents are split at random.
            let found = loop {
                if whole >= MOST_PASSES {
                    return Ok(Err((number, Unusable::Passes(whole + 1))));
                }
                let first = Plan::build(store, vocab, options, 0..whole, &mut *progress)?;
                if first.len() > wanted {
                    whole -= 1;
                    continue;
                }
                let last = Plan::build(store, vocab, options, whole..whole + 1, &mut *progress)?;
                if first.len() + last.len() <= wanted {
                    whole += 1;
                    continue;
                }
                break [first, last];
            };
            let rest = (wanted - found[0].len()) as f64 / found[1].len() as f64;
            drawn.push(Drawn { instances: wanted, passes: whole as f64 + rest });
            plans.push(found.into_iter().filter(|plan| !plan.is_empty()).collect());
        }
        Ok(Ok(Self { pattern, len, plans, drawn }))
    }

    /// Returns how many documents give no instance in the first plan of their store.
    fn short_documents(&self) -> u64 {
        self.plans.iter().filter_map(|plans| plans.first()).map(Plan::short_documents).sum()
    }
}

/// Why a store cannot be part of a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It has no instances.
    Empty,
    /// It would be read this many times.
    Passes(u64),
}

impl<D: Documents> InstanceSource for Mixture<'_, D> {
    type Scratch = Vec<Scratch>;

    fn len(&self) -> u64 {
        self.len
    }

    fn scratch(&self) -> Vec<Scratch> {
        self.plans.iter().map(|_| Scratch::default()).collect()
    }

    fn fill(&self, position: u64, scratch: &mut Vec<Scratch>, instance: &mut Instance) -> Result<()> {
        let (store, mut place) = self.pattern.locate(position);
        for plan in &self.plans[store] {
            if place < plan.len() {
                return plan.instance(place, &mut scratch[store], instance);
            }
            place -= plan.len();
        }
        unreachable!("the plans have the instances of all positions")
    }

    fn release(&self) {
        for plan in self.plans.iter().filter_map(|plans| plans.first()) {
            plan.documents().release();
        }
    }
}

/// The opened stores of a mixture.
pub(super) struct Stores {
    stores: Vec<TokenStore>,
    pattern: Pattern,
}

impl Stores {
    /// Returns the number of invalid UTF-8 sequences that became U+FFFD in the stores.
    pub fn replaced(&self) -> u64 {
        self.stores.iter().map(|store| store.meta().replaced).sum()
    }
}

impl Job<'_> {
    /// Opens the stores in `directories`, and returns them with the identity of their records.
    pub(super) fn open_stores<P: AsRef<Path>>(&self, directories: &[P]) -> Result<(Stores, Map<String, Value>)> {
        let options = &self.options.records.instances;
        let weights = &self.options.weights;
        if options.rng == RngKind::Reference {
            let reason = "rng='reference' makes records of one corpus; drop it to mix token stores";
            return Err(Error::conflict("rng", reason));
        }
        if self.reads_blocks() {
            let reason = "shuffle='blocks' makes records of one token store; drop it to mix several, or make the records \
                          of each";
            return Err(Error::conflict("shuffle", reason));
        }
        if weights.len() != directories.len() {
            let wanted = format!("{} numbers, one for each store", directories.len());
            return Err(Error::rule("weights", wanted, weights.len()));
        }
        let pattern = Pattern::new(weights, options.random_seed)?;
        let mut stores = Vec::with_capacity(directories.len());
        let mut described = Vec::with_capacity(directories.len());
        for (directory, share) in directories.iter().zip(pattern.shares()) {
            let store = TokenStore::open(directory.as_ref())?.copying();
            check_tokenizer(&store, self.encoder.tokenizer)?;
            described.push(json!({ "token_store": store_digest(store.meta()), "share": share }));
            stores.push(store);
        }
        Ok((Stores { stores, pattern }, self.identity("mixture", described.into())))
    }

    /// Plans the records of a mixture, and writes them with `write`.
    pub(super) fn write_mixture<T>(
        &mut self,
        Stores { stores, pattern }: &Stores,
        identity: Map<String, Value>,
        progress: &mut dyn Progress,
        write: impl FnOnce(&Mixture<'_, TokenStore>, &Path, &RecordsOptions, &Origin, &mut dyn Progress) -> Result<T>,
    ) -> Result<T> {
        self.timed("verify", |_| {
            stores.iter().try_for_each(|store| {
                store.verify()?;
                store.release();
                Ok(())
            })
        })?;
        let options = &self.options.records;
        let vocab = self.vocab.clone();
        let instances = &options.instances;
        let planned = self.timed("plan", |_| Mixture::build(stores, &vocab, instances, pattern, &mut *progress))?;
        let mixture = planned.map_err(|(number, why)| unusable(stores[number].directory(), why))?;
        stores.iter().for_each(TokenStore::release);
        let origin = Origin {
            identity,
            tokenizer: self.encoder.description(),
            documents: stores.iter().map(Documents::num_documents).sum(),
            short_documents: mixture.short_documents(),
        };
        self.drawn.clone_from(&mixture.drawn);
        let output = self.output;
        self.timed("records", |_| write(&mixture, output, options, &origin, &mut *progress))
    }
}

fn unusable(store: &Path, why: Unusable) -> Error {
    let reason = match why {
        Unusable::Empty => {
            "no instances: none of its documents is long enough; the text of a store must have one sentence per line, \
             with a blank line between documents"
                .to_owned()
        }
        Unusable::Passes(passes) => format!(
            "would be read {passes} times, and at most {MOST_PASSES} are possible; give the store a smaller weight, or \
             lower `dupe_factor`"
        ),
    };
    Error::input_at(store, reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NoProgress;
    use crate::instances::testing::{corpus, documents, options, vocab};
    use crate::tokens::documents::MemoryDocuments;

    /// Returns all instances of a source, as text that can be compared and sorted.
    fn all(source: &impl InstanceSource) -> Vec<String> {
        let (mut scratch, mut instance) = (source.scratch(), Instance::default());
        (0..source.len())
            .map(|position| {
                source.fill(position, &mut scratch, &mut instance).unwrap();
                format!("{instance:?}")
            })
            .collect()
    }

    fn sorted(mut instances: Vec<String>) -> Vec<String> {
        instances.sort();
        instances
    }

    proptest! {
        /// What a mixture has of a store is each instance of its first passes once, and some of the next pass.
        #[test]
        fn passes_of_a_store_are_whole(
            lengths in prop::collection::vec(corpus(), 1..4),
            weights in prop::collection::vec(0.05..1.0, 3),
            options in options(),
            dupe_factor in 1..4_u64,
        ) {
            let (stores, vocab): (Vec<_>, _) = (lengths.iter().map(|one| documents(one)).collect(), vocab());
            let options = InstanceOptions { dupe_factor, ..options };
            let pattern = Pattern::new(&weights[..stores.len()], 7).unwrap();
            let of_pass = |store: &MemoryDocuments, pass: u64| {
                all(&Plan::build(store, &vocab, &options, pass..pass + 1, &mut NoProgress).unwrap())
            };
            let sizes: Vec<_> = stores.iter().map(|store| of_pass(store, 0).len() as u64).collect();
            let mixture = Mixture::build(&stores, &vocab, &options, &pattern, &mut NoProgress).unwrap();
            if let Some(empty) = sizes.iter().position(|&size| size == 0) {
                prop_assert_eq!(mixture.unwrap_err(), (empty, Unusable::Empty));
                return Ok(());
            }
            let mixture = mixture.unwrap();
            prop_assert_eq!(InstanceSource::len(&mixture), sizes.iter().sum::<u64>() * dupe_factor);
            let instances = all(&mixture);
            for (number, store) in stores.iter().enumerate() {
                let own = instances.iter().enumerate().filter(|&(at, _)| pattern.locate(at as u64).0 == number);
                let own: Vec<_> = own.map(|(_, instance)| instance.clone()).collect();
                let drawn = &mixture.drawn[number];
                prop_assert_eq!(own.len() as u64, drawn.instances);
                let whole: Vec<_> = (0..drawn.passes as u64).flat_map(|pass| of_pass(store, pass)).collect();
                let (first, rest) = own.split_at(whole.len());
                prop_assert_eq!(sorted(first.to_vec()), sorted(whole));
                let last = of_pass(store, drawn.passes as u64);
                prop_assert!(rest.len() < last.len());
                prop_assert_eq!(rest, &last[..rest.len()]);
                prop_assert!((drawn.passes.fract() - rest.len() as f64 / last.len() as f64).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_store_is_not_read_too_often() {
        let (stores, vocab) = ([documents(&vec![vec![9, 9, 9]; 4000]), documents(&[vec![5, 5], vec![5, 5]])], vocab());
        let options = InstanceOptions { dupe_factor: 2000, ..InstanceOptions::default() };
        let pattern = Pattern::new(&[1.0, 1.0], 7).unwrap();
        let refused = Mixture::build(&stores, &vocab, &options, &pattern, &mut NoProgress).unwrap().unwrap_err();
        assert_eq!(refused.0, 1);
        assert!(matches!(refused.1, Unusable::Passes(passes) if passes > MOST_PASSES), "{:?}", refused.1);
        let told = unusable(Path::new("small"), Unusable::Passes(2_000_001)).to_string();
        assert!(told.starts_with("small: would be read 2000001 times, and at most 100000 are possible;"), "{told}");
    }
}
