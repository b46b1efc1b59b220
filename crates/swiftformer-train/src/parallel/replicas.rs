//! Copies of the program on one machine: the first process starts the others and adds up what they send.
//!
//! The first process receives from all others in the order of ranks and sends each the result, so all have the same bits.
//! Long lists travel in pieces, of which one is added while the next is on its way. Whoever ends closes its channels, and
//! those who wait for it learn so at once, however it ended.

use std::{
    ops::AddAssign,
    process::{Child, Command, ExitStatus},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytemuck::Pod;
use ipc_channel::{
    IpcError,
    ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender},
};
use serde::{Deserialize, Serialize};

use super::{Communicator, Group, ParallelError};
use crate::data::Shard;

/// Bytes that travel at once: two of them fit a socket's buffer, so that nobody waits to send what another waits to send.
const PIECE: usize = 1 << 16;

/// How long a process that was started may take to report.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a process whose channel closed may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// Both ways between two processes.
#[derive(Debug, Serialize, Deserialize)]
struct Link {
    sender: IpcBytesSender,
    receiver: IpcBytesReceiver,
}

/// The first process's view of another.
#[derive(Debug)]
struct Replica {
    child: Child,
    link: Link,
}

/// The first process.
#[derive(Debug)]
struct First {
    replicas: Mutex<Vec<Replica>>,
    world: usize,
}

/// Any other process.
#[derive(Debug)]
struct Other {
    link: Mutex<Link>,
    shard: Shard,
}

/// Starts `world - 1` processes and makes a group with them, of which this process is the first. `command` gives, for a
/// server's name and a rank, the command of a process that calls [`join`] with these.
///
/// # Errors
/// When a process cannot be started, or ends before it joins.
pub fn start(world: usize, mut command: impl FnMut(&str, Shard) -> Command) -> Result<Group, ParallelError> {
    // Dropped on an error, which ends those that were started already.
    let mut first = First { replicas: Mutex::new(Vec::new()), world };
    let mut waiting = Vec::new();
    for rank in 1..world {
        let failed = |why: String| ParallelError::Start { rank, world, why };
        let (server, name) = IpcOneShotServer::<Link>::new().map_err(|error| failed(error.to_string()))?;
        let child = command(&name, Shard { rank, world }).spawn().map_err(|error| failed(error.to_string()))?;
        let (sender, accepted) = mpsc::channel();
        // Accepting has no time limit of its own. Without a thread it would outlive a child that failed.
        thread::spawn(move || sender.send(server.accept().map(|(_, link)| link)));
        waiting.push((Started(Some(child)), accepted));
    }
    for (rank, (mut started, accepted)) in (1..).zip(waiting) {
        let link = started.link(&accepted).map_err(|why| ParallelError::Start { rank, world, why })?;
        let replicas = first.replicas.get_mut().unwrap_or_else(PoisonError::into_inner);
        replicas.extend(started.0.take().map(|child| Replica { child, link }));
    }
    Ok(Group::new(first))
}

/// A process that has not joined yet; ended when it is dropped.
struct Started(Option<Child>);

impl Started {
    fn link(&mut self, accepted: &mpsc::Receiver<Result<Link, IpcError>>) -> Result<Link, String> {
        let begun = Instant::now();
        loop {
            match accepted.recv_timeout(Duration::from_millis(20)) {
                Ok(link) => return link.map_err(|error| error.to_string()),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err("its server ended".into()),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if let Some(Ok(Some(status))) = self.0.as_mut().map(Child::try_wait) {
                return Err(status.to_string());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("it did not report within {} s", PATIENCE.as_secs()));
            }
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

/// Joins the group of the process that started this one.
///
/// # Errors
/// When that process cannot be reached.
pub fn join(server: &str, shard: Shard) -> Result<Group, ParallelError> {
    let Shard { rank, world } = shard;
    let connect = || -> Result<Link, Box<dyn std::error::Error>> {
        let (sender, far_receiver) = ipc::bytes_channel()?;
        let (far_sender, receiver) = ipc::bytes_channel()?;
        let far = Link { sender: far_sender, receiver: far_receiver };
        IpcSender::connect(server.to_owned())?.send(far)?;
        Ok(Link { sender, receiver })
    };
    let link = connect().map_err(|error| ParallelError::Start { rank, world, why: error.to_string() })?;
    Ok(Group::new(Other { link: Mutex::new(link), shard }))
}

/// Stops a process and takes its status, without which it would stay in the system's list.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// How a process ended, given a little time to do so.
fn status(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if begun.elapsed() < GRACE => thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers in a message, wherever it lies in memory.
fn numbers<T: Pod>(bytes: &[u8]) -> impl Iterator<Item = T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned)
}

impl Link {
    fn send(&self, bytes: &[u8]) -> Result<(), IpcError> {
        self.sender.send(bytes).map_err(IpcError::from)
    }
}

impl First {
    /// Calls `exchange` with every other process's link, in the order of ranks.
    fn with_all(&self, mut exchange: impl FnMut(&Link) -> Result<(), IpcError>) -> Result<(), ParallelError> {
        let mut replicas = lock(&self.replicas);
        for index in 0..replicas.len() {
            if let Err(error) = exchange(&replicas[index].link) {
                return Err(self.lost(&mut replicas, index, &error));
            }
        }
        Ok(())
    }

    fn add<T: Pod + AddAssign>(&self, values: &mut [T]) -> Result<(), ParallelError> {
        for piece in values.chunks_mut(PIECE / size_of::<T>()) {
            self.with_all(|link| {
                let others = link.receiver.recv()?;
                piece.iter_mut().zip(numbers::<T>(&others)).for_each(|(value, other)| *value += other);
                Ok(())
            })?;
            self.with_all(|link| link.send(bytemuck::cast_slice(piece)))?;
        }
        Ok(())
    }

    fn lost(&self, replicas: &mut [Replica], index: usize, error: &IpcError) -> ParallelError {
        let how = status(&mut replicas[index].child).map_or_else(|| error.to_string(), |status| status.to_string());
        replicas.iter_mut().for_each(|replica| end(&mut replica.child));
        ParallelError::Lost { rank: index + 1, world: self.world, how }
    }
}

impl Communicator for First {
    fn shard(&self) -> Shard {
        Shard { rank: 0, world: self.world }
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), ParallelError> {
        self.add(values)
    }

    fn sum_wide(&self, values: &mut [f64]) -> Result<(), ParallelError> {
        self.add(values)
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
        let mut all = vec![bytes.to_vec()];
        self.with_all(|link| {
            all.push(link.receiver.recv()?);
            Ok(())
        })?;
        let list = joined(&all);
        self.with_all(|link| link.send(&list))?;
        Ok(all)
    }

    fn abort(&self) {
        lock(&self.replicas).iter_mut().for_each(|replica| end(&mut replica.child));
    }
}

impl Drop for First {
    /// Those who have done their work end by themselves; nobody is left behind.
    fn drop(&mut self) {
        for Replica { mut child, link } in lock(&self.replicas).drain(..) {
            drop(link);
            if status(&mut child).is_none() {
                end(&mut child);
            }
        }
    }
}

impl Other {
    fn with_first<T>(&self, exchange: impl FnOnce(&Link) -> Result<T, IpcError>) -> Result<T, ParallelError> {
        let world = self.shard.world;
        exchange(&lock(&self.link)).map_err(|error| ParallelError::Lost { rank: 0, world, how: error.to_string() })
    }

    fn take<T: Pod>(&self, values: &mut [T]) -> Result<(), ParallelError> {
        let length = PIECE / size_of::<T>();
        self.with_first(|link| {
            // A piece ahead of the sums that come back.
            let mut sent = 0;
            for at in 0..values.len().div_ceil(length) {
                while sent < values.len() && sent < (at + 2) * length {
                    let end = values.len().min(sent + length);
                    link.send(bytemuck::cast_slice(&values[sent..end]))?;
                    sent = end;
                }
                let sums = link.receiver.recv()?;
                values[at * length..].iter_mut().zip(numbers(&sums)).for_each(|(value, sum)| *value = sum);
            }
            Ok(())
        })
    }
}

impl Communicator for Other {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), ParallelError> {
        self.take(values)
    }

    fn sum_wide(&self, values: &mut [f64]) -> Result<(), ParallelError> {
        self.take(values)
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
        self.with_first(|link| {
            link.send(bytes)?;
            Ok(parted(&link.receiver.recv()?))
        })
    }

    /// The first process notices that this one is gone, and ends the others.
    fn abort(&self) {}
}

/// Lists behind each other, each behind its length.
fn joined(lists: &[Vec<u8>]) -> Vec<u8> {
    lists.iter().flat_map(|list| (list.len() as u64).to_ne_bytes().into_iter().chain(list.iter().copied())).collect()
}

/// What [`joined`] put together.
fn parted(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lists = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (list, rest) = rest.split_at(rest.len().min(u64::from_ne_bytes(*length) as usize));
        lists.push(list.to_vec());
        bytes = rest;
    }
    lists
}
