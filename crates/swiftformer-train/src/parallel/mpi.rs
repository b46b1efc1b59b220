//! Processes that `mpirun`, `srun` or another launcher of MPI started, on any number of machines.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mpi::{
    Threading,
    collective::SystemOperation,
    datatype::PartitionMut,
    environment::Universe,
    topology::{Communicator as _, SimpleCommunicator},
    traits::CommunicatorCollectives,
};

use super::{Communicator, Group, ParallelError};
use crate::data::Shard;

/// Exit code of processes that another one ended.
const ABORTED: i32 = 2;

/// MPI's world. A process that another one loses is ended by the launcher, which says so: MPI has no call that fails.
struct World {
    /// Ends MPI when it is dropped. One call at a time, from whatever thread.
    universe: Mutex<Universe>,
    shard: Shard,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("shard", &self.shard).finish_non_exhaustive()
    }
}

/// Joins the processes that the launcher started together with this one; a process that no launcher started is alone.
///
/// # Errors
/// When MPI does not start, or started already.
pub fn join() -> Result<Group, ParallelError> {
    let failed = |why: &str| ParallelError::Environment(format!("MPI cannot be used: {why}"));
    let started = mpi::initialize_with_threading(Threading::Serialized);
    let (universe, threading) = started.ok_or_else(|| failed("it was started already"))?;
    if threading < Threading::Serialized {
        return Err(failed("this build of it allows one thread only"));
    }
    let world = universe.world();
    let shard = Shard { rank: world.rank() as usize, world: world.size() as usize };
    Ok(Group::new(World { universe: Mutex::new(universe), shard }))
}

impl Drop for World {
    /// The end of MPI is a call that waits for all processes; after a failure they do not come.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort();
        }
    }
}

impl World {
    fn lock(&self) -> (MutexGuard<'_, Universe>, SimpleCommunicator) {
        let guard = self.universe.lock().unwrap_or_else(PoisonError::into_inner);
        let world = guard.world();
        (guard, world)
    }
}

impl Communicator for World {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), ParallelError> {
        let (_guard, world) = self.lock();
        world.all_reduce_into(&values.to_vec(), values, SystemOperation::sum());
        Ok(())
    }

    fn sum_wide(&self, values: &mut [f64]) -> Result<(), ParallelError> {
        let (_guard, world) = self.lock();
        world.all_reduce_into(&values.to_vec(), values, SystemOperation::sum());
        Ok(())
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
        let (_guard, world) = self.lock();
        let mut counts = vec![0_i32; self.shard.world];
        world.all_gather_into(&(bytes.len() as i32), &mut counts[..]);
        let starts: Vec<i32> = counts
            .iter()
            .scan(0, |start, count| {
                let own = *start;
                *start += count;
                Some(own)
            })
            .collect();
        let mut all = vec![0_u8; counts.iter().map(|&count| count as usize).sum()];
        world.all_gather_varcount_into(bytes, &mut PartitionMut::new(&mut all[..], &counts[..], &starts[..]));
        let ranges = starts.iter().zip(&counts).map(|(&start, &count)| start as usize..(start + count) as usize);
        Ok(ranges.map(|range| all[range].to_vec()).collect())
    }

    fn abort(&self) {
        let (_guard, world) = self.lock();
        world.abort(ABORTED);
    }
}
