//! Makes records from several token stores, each with a weight.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value, json};

use super::Job;
use crate::batches::pattern::Pattern;
use crate::instances::instance::Instance;
use crate::instances::options::{InstanceOptions, RngKind};
use crate::instances::permute::Permutation;
use crate::instances::plan::{Plan, Scratch, shuffle_key};
use crate::records::write::{Drawn, InstanceSource, Origin, RecordsOptions};
use crate::tokens::documents::Documents;
use crate::tokens::line_encoder::{check_tokenizer, store_digest};
use crate::tokens::store::TokenStore;
use crate::tokens::tokenize::Encode;
use crate::tokens::vocab::Vocab;
use crate::{Error, Progress, Result};

/// The most passes over a store: that of `dupe_factor`.
const MOST_PASSES: u64 = if cfg!(test) { 1_000 } else { 100_000 };

/// The instances of several stores, in the order of a [`Pattern`]. Of each store, they are those of whole passes and some
/// of another pass, shuffled together.
#[derive(Debug)]
pub(super) struct Mixture<'a, D> {
    pattern: &'a Pattern,
    len: u64,
    stores: Vec<Taken<'a, D>>,
}

/// What a mixture takes from one store.
#[derive(Debug)]
struct Taken<'a, D> {
    whole: Plan<'a, D>,
    /// The pass after the whole ones. Its first instances are taken.
    last: Plan<'a, D>,
    shuffle: Permutation,
    passes: f64,
}

/// Why a store cannot be part of a mixture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unusable {
    /// It has no instances.
    Empty,
    /// The mixture, of so many instances, has none of it.
    Nothing(u64),
    /// It would be read about this many times.
    Passes(f64),
}

/// A mixture, or the number of a store that cannot be part of it.
type Built<'a, D> = std::result::Result<Mixture<'a, D>, (usize, Unusable)>;

impl<'a, D: Documents> Mixture<'a, D> {
    /// Plans as many instances as `dupe_factor` passes over all stores have.
    ///
    /// # Errors
    /// Those of [`Plan::build`].
    pub fn build(
        stores: &'a [D],
        vocab: &'a Vocab,
        options: &InstanceOptions,
        pattern: &'a Pattern,
        progress: &mut dyn Progress,
    ) -> Result<Built<'a, D>> {
        let mut steps = Steps { progress, before: 0, done: 0 };
        let mut plan = |store: &'a D, passes: Range<u64>| {
            let plan = Plan::build(store, vocab, options, passes, &mut steps);
            steps.before = steps.done;
            plan
        };
        let mut sizes = Vec::with_capacity(stores.len());
        for (number, store) in stores.iter().enumerate() {
            match plan(store, 0..options.dupe_factor)?.len() {
                0 => return Ok(Err((number, Unusable::Empty))),
                size => sizes.push(size),
            }
        }
        let len = sizes.iter().sum();
        let wanted = pattern.counts(len);
        for (number, (&wanted, &size)) in wanted.iter().zip(&sizes).enumerate() {
            let passes = options.dupe_factor as f64 * wanted as f64 / size as f64;
            if wanted == 0 {
                return Ok(Err((number, Unusable::Nothing(len))));
            }
            if passes > MOST_PASSES as f64 {
                return Ok(Err((number, Unusable::Passes(passes))));
            }
        }
        let mut taken = Vec::with_capacity(stores.len());
        for (number, store) in stores.iter().enumerate() {
            let (wanted, size) = (wanted[number], sizes[number]);
            // Passes differ in size, because documents are split at random. So each is counted once.
            let (mut whole, mut counted) = if size <= wanted { (options.dupe_factor, size) } else { (0, 0) };
            let last = loop {
                let next = plan(store, whole..whole + 1)?;
                if counted + next.len() > wanted {
                    break next;
                }
                (whole, counted) = (whole + 1, counted + next.len());
                if whole == MOST_PASSES {
                    // The passes that were counted first had more instances than most.
                    return Ok(Err((number, Unusable::Passes((whole + 1) as f64))));
                }
            };
            let passes = whole as f64 + (wanted - counted) as f64 / last.len() as f64;
            let shuffle = Permutation::new(wanted, shuffle_key(options.random_seed, &(0..whole + 1)));
            taken.push(Taken { whole: plan(store, 0..whole)?, last, shuffle, passes });
        }
        Ok(Ok(Self { pattern, len, stores: taken }))
    }

    /// Returns how many instances are from each store, and the passes over it.
    fn drawn(&self) -> impl Iterator<Item = (u64, f64)> {
        self.stores.iter().map(|store| (store.shuffle.len(), store.passes))
    }

    /// Returns how many documents give no instance in the whole passes, or in the only one.
    fn short_documents(&self) -> u64 {
        let of_store = |store: &Taken<'_, D>| {
            if store.whole.is_empty() { store.last.short_documents() } else { store.whole.short_documents() }
        };
        self.stores.iter().map(of_store).sum()
    }
}

impl<D: Documents> InstanceSource for Mixture<'_, D> {
    type Scratch = Vec<Scratch>;

    fn len(&self) -> u64 {
        self.len
    }

    fn scratch(&self) -> Vec<Scratch> {
        self.stores.iter().map(|_| Scratch::default()).collect()
    }

    fn fill(&self, position: u64, scratch: &mut Vec<Scratch>, instance: &mut Instance) -> Result<()> {
        let (number, rank) = self.pattern.locate(position);
        let store = &self.stores[number];
        let place = store.shuffle.apply(rank);
        match place.checked_sub(store.whole.len()) {
            None => store.whole.instance(place, &mut scratch[number], instance),
            Some(place) => store.last.instance(place, &mut scratch[number], instance),
        }
    }

    fn release(&self) {
        for store in &self.stores {
            store.last.documents().release();
        }
    }
}

/// Reports the documents of plans that are built one after the other, of which the number is not known.
struct Steps<'a> {
    progress: &'a mut dyn Progress,
    before: u64,
    done: u64,
}

impl Progress for Steps<'_> {
    fn report(&mut self, stage: &'static str, unit: &'static str, done: u64, _: u64) -> bool {
        self.done = self.before + done;
        self.progress.report(stage, unit, self.done, 0)
    }

    fn stop(&self) -> Arc<AtomicBool> {
        self.progress.stop()
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
            let reason = "rng='reference' makes records of one corpus; omit it to mix token stores";
            return Err(Error::conflict("rng", reason));
        }
        if self.reads_blocks() {
            let reason = "shuffle='blocks' makes records of one token store; omit it to mix several, or make the records \
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
            described.push(json!({ "token_store": store_digest(store.meta()), "weight": share }));
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
            drawn: mixture.drawn().map(|(instances, passes)| Drawn { instances, passes }).collect(),
        };
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
        Unusable::Nothing(instances) => format!(
            "none of the {instances} instances is from this store; give it a larger weight, raise `dupe_factor`, or remove \
             the store"
        ),
        Unusable::Passes(passes) => format!(
            "must be read at most {MOST_PASSES} times, got {passes:.0}; give the store a smaller weight, or lower \
             `dupe_factor`"
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
            let size = |store| (0..dupe_factor).map(|pass| of_pass(store, pass).len() as u64).sum::<u64>();
            let sizes: Vec<_> = stores.iter().map(size).collect();
            let mixture = Mixture::build(&stores, &vocab, &options, &pattern, &mut NoProgress).unwrap();
            if let Some(empty) = sizes.iter().position(|&size| size == 0) {
                prop_assert_eq!(mixture.unwrap_err(), (empty, Unusable::Empty));
                return Ok(());
            }
            let len = sizes.iter().sum();
            if let Some(empty) = pattern.counts(len).iter().position(|&count| count == 0) {
                prop_assert_eq!(mixture.unwrap_err(), (empty, Unusable::Nothing(len)));
                return Ok(());
            }
            let mixture = mixture.unwrap();
            prop_assert_eq!(InstanceSource::len(&mixture), len);
            let (instances, drawn): (_, Vec<_>) = (all(&mixture), mixture.drawn().collect());
            for (number, store) in stores.iter().enumerate() {
                let own = instances.iter().enumerate().filter(|&(at, _)| pattern.locate(at as u64).0 == number);
                let own: Vec<_> = own.map(|(_, instance)| instance.clone()).collect();
                let (count, passes) = drawn[number];
                prop_assert_eq!(own.len() as u64, count);
                let whole: Vec<_> = (0..passes as u64).flat_map(|pass| of_pass(store, pass)).collect();
                let last = of_pass(store, passes as u64);
                let rest = own.len() - whole.len();
                prop_assert!(rest < last.len());
                prop_assert_eq!(sorted(own), sorted([&whole[..], &last[..rest]].concat()));
                prop_assert!((passes.fract() - rest as f64 / last.len() as f64).abs() < 1e-6);
            }
        }
    }

    /// Counts the documents that plans walk over.
    struct Walked(u64);

    impl Progress for Walked {
        fn report(&mut self, _: &'static str, _: &'static str, done: u64, _: u64) -> bool {
            assert!(done >= self.0);
            self.0 = done;
            true
        }
    }

    #[test]
    fn a_store_that_is_read_often_is_walked_over_twice() {
        let (stores, vocab) =
            ([documents(&vec![vec![9, 9, 9]; 300]), documents(&[vec![30, 30, 30], vec![5, 5]])], vocab());
        let options = InstanceOptions { max_seq_length: 20, short_seq_prob: 0.9, ..InstanceOptions::default() };
        let pattern = Pattern::new(&[1.0, 3.0], 7).unwrap();
        let mut walked = Walked(0);
        let mixture = Mixture::build(&stores, &vocab, &options, &pattern, &mut walked).unwrap().unwrap();
        let passes: Vec<_> = mixture.drawn().map(|(_, passes)| passes).collect();
        assert!(passes[1] > 100.0, "{passes:?}");
        let most: f64 =
            stores.iter().zip(&passes).map(|(store, passes)| store.num_documents() as f64 * (2.0 * passes + 4.0)).sum();
        assert!(walked.0 as f64 <= most, "{} of {most}", walked.0);
    }

    #[test]
    fn stores_that_cannot_be_mixed() {
        let (stores, vocab) = ([documents(&vec![vec![9, 9, 9]; 4000]), documents(&[vec![5, 5], vec![5, 5]])], vocab());
        let refused = |options: &InstanceOptions, weights: &[f64]| {
            let pattern = Pattern::new(weights, 7).unwrap();
            Mixture::build(&stores, &vocab, options, &pattern, &mut NoProgress).unwrap().unwrap_err()
        };
        let options = InstanceOptions { dupe_factor: 1, ..InstanceOptions::default() };
        assert!(matches!(refused(&options, &[1.0, 0.0001]), (1, Unusable::Nothing(_))));
        let (number, why) = refused(&InstanceOptions { dupe_factor: 100, ..options }, &[1.0, 1.0]);
        assert_eq!(number, 1);
        assert!(matches!(why, Unusable::Passes(passes) if passes > MOST_PASSES as f64), "{why:?}");
        let told = unusable(Path::new("small"), Unusable::Passes(2_000_000.6)).to_string();
        assert!(told.starts_with("small: must be read at most 1000 times, got 2000001;"), "{told}");
    }

    #[test]
    fn a_store_whose_first_pass_is_large_is_not_read_too_often_either() {
        let (stores, vocab) = ([documents(&vec![vec![9, 9, 9]; 4000]), documents(&[vec![2; 20]])], vocab());
        let pattern = Pattern::new(&[1.0, 1.0], 7).unwrap();
        let refused = (0..40).filter_map(|random_seed| {
            let options = InstanceOptions {
                max_seq_length: 43,
                short_seq_prob: 0.3,
                dupe_factor: 1,
                random_seed,
                ..InstanceOptions::default()
            };
            Mixture::build(&stores, &vocab, &options, &pattern, &mut NoProgress).unwrap().err()
        });
        let found: Vec<_> = refused.collect();
        // By the size of the first pass, it would be read less often.
        assert!(found.contains(&(1, Unusable::Passes(1001.0))), "{found:?}");
    }
}
