//! Several processes that train one model, each with its share of every batch.
//!
//! A step's batch is cut among the processes, each computes gradients of its part, and all take the average: they stay at
//! the same weights without ever sending them. What a run comes to does not depend on the number of processes but for the
//! order in which floats are summed, which single values dropout drops, and BatchNorm's statistics, which can be taken from
//! all processes' images ([`Network::join`](crate::model::Network::join)).
//!
//! | who exchanges | how |
//! |---|---|
//! | [`replicas`]: copies of the program on one machine | the channels of the crate `ipc-channel` |
//! | `mpi` (feature `mpi`): processes that `mpirun` or Slurm started, on any number of machines | MPI |
//!
//! [`Group`] is what training sees of either.

#[cfg(feature = "mpi")]
pub mod mpi;
pub mod replicas;

use std::{
    fmt::Debug,
    sync::{Arc, OnceLock},
};

use crate::data::Shard;

/// Why processes cannot train together any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParallelError {
    /// Another process has ended before its work was done.
    #[error("process {rank} of {world} is gone ({how}); what was saved before is whole, go on with --resume")]
    Lost {
        /// Which.
        rank: usize,
        /// Of how many.
        world: usize,
        /// What is known about its end.
        how: String,
    },
    /// A process could not be started or reached.
    #[error("cannot start process {rank} of {world}: {why}")]
    Start {
        /// Which.
        rank: usize,
        /// Of how many.
        world: usize,
        /// Why.
        why: String,
    },
    /// The processes do not do the same: they were started with other arguments, or see other files.
    #[error("process {rank} of {world} trains something else: {what}")]
    Differs {
        /// The first that differs from process 0.
        rank: usize,
        /// Of how many.
        world: usize,
        /// What differs.
        what: String,
    },
    /// The environment names a place among processes that cannot be had.
    #[error("{0}")]
    Environment(String),
}

/// Exchanges numbers between processes. All of them call the same methods in the same order with lists of the same length;
/// a call returns when the others' part is there, and fails when another process has ended.
pub trait Communicator: Debug + Send + Sync {
    /// Which of the processes this is.
    fn shard(&self) -> Shard;

    /// Replaces every value by its sum over all processes, to the same bits in each of them.
    ///
    /// # Errors
    /// When another process is gone.
    fn sum(&self, values: &mut [f32]) -> Result<(), ParallelError>;

    /// As [`Communicator::sum`], for few values that need more digits.
    ///
    /// # Errors
    /// When another process is gone.
    fn sum_wide(&self, values: &mut [f64]) -> Result<(), ParallelError>;

    /// Every process's bytes, in the order of ranks. Their lengths may differ.
    ///
    /// # Errors
    /// When another process is gone.
    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError>;

    /// Ends the other processes, when this one cannot go on.
    fn abort(&self);
}

/// The processes that train together; a process of its own costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Group {
    communicator: Option<Arc<dyn Communicator>>,
    /// The first failure: inside of a pass there is nobody to report it to.
    failed: Arc<OnceLock<ParallelError>>,
}

impl Group {
    /// A single process.
    pub fn alone() -> Self {
        Self::default()
    }

    /// The processes behind `communicator`.
    pub fn new(communicator: impl Communicator + 'static) -> Self {
        let communicator: Option<Arc<dyn Communicator>> = Some(Arc::new(communicator));
        Self { communicator: communicator.filter(|c| c.shard().world > 1), failed: Arc::default() }
    }

    /// Which of how many processes this is.
    pub fn shard(&self) -> Shard {
        self.communicator.as_ref().map_or(Shard::WHOLE, |communicator| communicator.shard())
    }

    /// Whether this is the process that writes files and speaks to people.
    pub fn is_first(&self) -> bool {
        self.shard().rank == 0
    }

    fn call<T>(
        &self,
        alone: T,
        exchange: impl FnOnce(&dyn Communicator) -> Result<T, ParallelError>,
    ) -> Result<T, ParallelError> {
        let Some(communicator) = &self.communicator else { return Ok(alone) };
        // Others may wait for another call than this one by now.
        if let Some(error) = self.failed.get() {
            return Err(error.clone());
        }
        exchange(communicator.as_ref()).inspect_err(|error| drop(self.failed.set(error.clone())))
    }

    /// Replaces every value by its sum over all processes.
    ///
    /// # Errors
    /// When another process is gone.
    pub fn sum(&self, values: &mut [f32]) -> Result<(), ParallelError> {
        self.call((), |communicator| communicator.sum(values))
    }

    /// As [`Group::sum`], for few values that need more digits.
    ///
    /// # Errors
    /// When another process is gone.
    pub fn sum_wide(&self, values: &mut [f64]) -> Result<(), ParallelError> {
        self.call((), |communicator| communicator.sum_wide(values))
    }

    /// Replaces every value by its average over all processes. A failure leaves the values as they are and fails the next
    /// call that can say so.
    pub(crate) fn average(&self, values: &mut [f64]) {
        if self.sum_wide(values).is_ok() {
            let world = self.shard().world as f64;
            values.iter_mut().for_each(|value| *value /= world);
        }
    }

    /// Every process's bytes, in the order of ranks.
    ///
    /// # Errors
    /// When another process is gone.
    pub fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
        if self.communicator.is_none() {
            return Ok(vec![bytes.to_vec()]);
        }
        self.call(Vec::new(), |communicator| communicator.gather(bytes))
    }

    /// Whether any process says yes.
    ///
    /// # Errors
    /// When another process is gone.
    pub fn any(&self, yes: bool) -> Result<bool, ParallelError> {
        let mut votes = [f64::from(u8::from(yes))];
        self.sum_wide(&mut votes)?;
        Ok(votes[0] > 0.0)
    }

    /// Makes sure that all processes mean the same by `what`.
    ///
    /// # Errors
    /// When one does not, or is gone.
    pub fn agree(&self, what: &str, value: &[u8]) -> Result<(), ParallelError> {
        let all = self.gather(value)?;
        match all.iter().position(|other| Some(other) != all.first()) {
            None => Ok(()),
            Some(rank) => Err(ParallelError::Differs { rank, world: all.len(), what: what.to_owned() }),
        }
    }

    /// Ends the other processes, when this one cannot go on.
    pub fn abort(&self) {
        if let Some(communicator) = &self.communicator {
            communicator.abort();
        }
    }
}
