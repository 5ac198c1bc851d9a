//! Says which instances are in which shard.

use super::{INSTANCES_PER_SHARD, InstanceSource};
use crate::Result;
use crate::instances::instance::Instance;

/// The instances of numbered shards, each of which can be made independently.
pub trait ShardSource: Sync {
    /// What a thread keeps from one instance to the next.
    type Scratch: Send;
    /// What the instances of a shard are made from.
    type Shard: Send + Sync;
    /// Whether a [`ShardSource::Shard`] takes so much memory that there must be only one at a time.
    const IS_LARGE: bool = false;

    /// The number of instances in all shards, if it is known before they are made.
    fn total(&self) -> Option<u64>;
    /// The number of shards by default.
    fn default_shards(&self) -> u64;
    /// The most shards, and why.
    fn most_shards(&self) -> (u64, String);
    /// Refuses a number of shards, from 1 to the most, that is not possible for another reason.
    ///
    /// # Errors
    /// [`Error::Rule`](crate::Error::Rule).
    fn check(&self, _num_shards: u64) -> Result<()> {
        Ok(())
    }
    /// Returns a new scratch.
    fn scratch(&self) -> Self::Scratch;
    /// Makes shard `shard` of `num_shards` ready.
    ///
    /// # Errors
    /// Those of reading what the instances are made from.
    fn open(&self, shard: u64, num_shards: u64) -> Result<Self::Shard>;
    /// Returns the number of instances of a shard.
    fn len(&self, shard: &Self::Shard) -> u64;
    /// Returns how many documents of the shard give no instance, if nothing counts them for the whole corpus.
    fn short_documents(&self, _shard: &Self::Shard) -> u64 {
        0
    }
    /// Makes instance `index` of a shard in `instance`, masks included. The result depends only on shard and `index`.
    ///
    /// # Errors
    /// Those of reading what the instances are made from.
    fn fill(&self, shard: &Self::Shard, index: u64, scratch: &mut Self::Scratch, instance: &mut Instance)
    -> Result<()>;
    /// Releases memory that reading took and can take again. Called from time to time, while other threads fill
    /// instances.
    fn release(&self) {}
}

/// Puts consecutive instances into each shard.
pub struct Consecutive<'a, S>(pub &'a S);

/// Where the instances of a shard are.
pub struct Run {
    start: u64,
    len: u64,
}

impl<S: InstanceSource> ShardSource for Consecutive<'_, S> {
    type Scratch = S::Scratch;
    type Shard = Run;

    fn total(&self) -> Option<u64> {
        Some(self.0.len())
    }

    fn default_shards(&self) -> u64 {
        self.0.len().div_ceil(INSTANCES_PER_SHARD)
    }

    fn most_shards(&self) -> (u64, String) {
        at_most(self.0.len())
    }

    fn scratch(&self) -> S::Scratch {
        self.0.scratch()
    }

    fn open(&self, shard: u64, num_shards: u64) -> Result<Run> {
        let start = |shard: u64| (u128::from(self.0.len()) * u128::from(shard) / u128::from(num_shards)) as u64;
        Ok(Run { start: start(shard), len: start(shard + 1) - start(shard) })
    }

    fn len(&self, shard: &Run) -> u64 {
        shard.len
    }

    fn fill(&self, shard: &Run, index: u64, scratch: &mut S::Scratch, instance: &mut Instance) -> Result<()> {
        self.0.fill(shard.start + index, scratch, instance)
    }

    fn release(&self) {
        self.0.release();
    }
}

/// Puts instance i into shard i modulo the number of shards, as the reference does.
pub(super) struct Dealt<'a>(pub &'a [Instance]);

/// Which instances are in a shard: the first, and each that is `step` after another.
pub(super) struct Deal {
    first: u64,
    step: u64,
    len: u64,
}

impl ShardSource for Dealt<'_> {
    type Scratch = ();
    type Shard = Deal;

    fn total(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn default_shards(&self) -> u64 {
        (self.0.len() as u64).div_ceil(INSTANCES_PER_SHARD)
    }

    fn most_shards(&self) -> (u64, String) {
        at_most(self.0.len() as u64)
    }

    fn scratch(&self) {}

    fn open(&self, shard: u64, num_shards: u64) -> Result<Deal> {
        let len = (self.0.len() as u64 - shard).div_ceil(num_shards);
        Ok(Deal { first: shard, step: num_shards, len })
    }

    fn len(&self, shard: &Deal) -> u64 {
        shard.len
    }

    fn fill(&self, shard: &Deal, index: u64, (): &mut (), instance: &mut Instance) -> Result<()> {
        instance.clone_from(&self.0[(shard.first + index * shard.step) as usize]);
        Ok(())
    }
}

fn at_most(instances: u64) -> (u64, String) {
    (instances, format!("there are {instances} instances"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Numbered(u64);

    impl InstanceSource for Numbered {
        type Scratch = ();

        fn len(&self) -> u64 {
            self.0
        }

        fn scratch(&self) {}

        fn fill(&self, position: u64, (): &mut (), instance: &mut Instance) -> Result<()> {
            instance.tokens = vec![position as u32];
            Ok(())
        }
    }

    /// Returns the numbers of the instances of each shard.
    fn numbers<S: ShardSource<Scratch = ()>>(source: &S, num_shards: u64) -> Vec<Vec<u32>> {
        let mut instance = Instance::default();
        let mut of_shard = |shard| -> Vec<_> {
            let shard = source.open(shard, num_shards).unwrap();
            let mut number = |index| {
                source.fill(&shard, index, &mut (), &mut instance).unwrap();
                instance.tokens[0]
            };
            (0..source.len(&shard)).map(&mut number).collect()
        };
        (0..num_shards).map(&mut of_shard).collect()
    }

    #[test]
    fn shards_are_runs_or_dealt() {
        assert_eq!(numbers(&Consecutive(&Numbered(5)), 2), [vec![0, 1], vec![2, 3, 4]]);
        let instances: Vec<_> = (0..5).map(|it| Instance { tokens: vec![it], ..Instance::default() }).collect();
        assert_eq!(numbers(&Dealt(&instances), 2), [vec![0, 2, 4], vec![1, 3]]);
    }

    proptest! {
        #[test]
        fn every_instance_is_in_one_shard(instances in 1..500_u64, shards in 1..20_u64, dealt: bool) {
            let shards = shards.min(instances);
            let found = if dealt {
                let instances: Vec<_> =
                    (0..instances as u32).map(|it| Instance { tokens: vec![it], ..Instance::default() }).collect();
                numbers(&Dealt(&instances), shards)
            } else {
                numbers(&Consecutive(&Numbered(instances)), shards)
            };
            let lengths = found.iter().map(Vec::len);
            prop_assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
            let mut all = found.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..instances as u32).collect::<Vec<_>>());
        }
    }
}
