//! Which processes train together, and what of the machine each of them uses.

use std::{
    ffi::OsString,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use swiftformer_train::{
    data::Shard,
    parallel::{Group, replicas},
    run::Workers,
};

use super::TrainArgs;

/// The option by which a copy of the program learns whose copy it is: `SERVER,RANK,WORLD`.
const REPLICA: &str = "--replica";

/// Starts or joins the other processes, if there shall be any.
pub(super) fn workers(args: &TrainArgs) -> anyhow::Result<Workers> {
    let launched = Launched::read(|name| std::env::var(name).ok())?;
    let threads = args.threads.min(1024);
    let local = |world: usize, threads: usize| {
        let threads = if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, usize::from) };
        (threads / world).max(1)
    };
    if let Some(text) = &args.replica {
        let (server, shard) =
            parse(text).with_context(|| format!("{REPLICA} is for copies that the program starts"))?;
        let group = replicas::join(server, shard)?;
        return Ok(Workers { threads: local(shard.world, threads), group, card: shard.rank });
    }
    let copies = usize::from(args.replicas);
    if copies > 1 {
        if launched.world.is_some() {
            bail!("--replicas starts processes, but a launcher has started several already (WORLD_SIZE)");
        }
        let group = replicas::start(copies, copy)?;
        return Ok(Workers { threads: local(copies, threads), group, card: 0 });
    }
    let group = launched.group()?;
    Ok(Workers { threads, group, card: launched.local.unwrap_or(0) })
}

/// This command once more, as another of its processes.
fn copy(server: &str, Shard { rank, world }: Shard) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "swiftformer".into());
    let mut command = Command::new(program);
    let own: Vec<OsString> = std::env::args_os().skip(1).collect();
    command.args(own).arg(REPLICA).arg(format!("{server},{rank},{world}"));
    // Results are the first process's to print.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn parse(text: &str) -> Option<(&str, Shard)> {
    let (rest, world) = text.rsplit_once(',')?;
    let (server, rank) = rest.rsplit_once(',')?;
    Some((server, Shard { rank: rank.parse().ok()?, world: world.parse().ok()? }))
}

/// What a launcher of processes says in the environment, in the words that PyTorch's `torchrun` uses.
#[derive(Debug, Default, PartialEq, Eq)]
struct Launched {
    rank: Option<usize>,
    world: Option<usize>,
    local: Option<usize>,
}

impl Launched {
    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let number = |names: &[&str]| -> anyhow::Result<Option<usize>> {
            let Some((name, text)) = names.iter().find_map(|name| Some((name, variable(name)?))) else {
                return Ok(None);
            };
            Ok(Some(text.parse().with_context(|| format!("{name} is `{text}`, not a number"))?))
        };
        let local = number(&["LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"])?;
        Ok(Self { rank: number(&["RANK"])?, world: number(&["WORLD_SIZE"])?, local })
    }

    /// The processes that a launcher started.
    #[cfg(feature = "mpi")]
    fn group(&self) -> anyhow::Result<Group> {
        let group = swiftformer_train::parallel::mpi::join()?;
        let Shard { rank, world } = group.shard();
        let differs = self.world.is_some_and(|named| named != world) || self.rank.is_some_and(|named| named != rank);
        // A process that ends alone would wait for the others at the end of MPI, and they for it.
        let any_differs = group.any(differs)?;
        if differs {
            let named = |number: Option<usize>| number.map_or("unset".to_owned(), |number| number.to_string());
            let (other_rank, other_world) = (named(self.rank), named(self.world));
            bail!(
                "MPI says process {rank} of {world}, but RANK is {other_rank} and WORLD_SIZE {other_world}: processes find \
                 each other through MPI, so start them with mpirun or srun, or unset both"
            );
        }
        if any_differs {
            bail!("RANK or WORLD_SIZE of another process is not what MPI says");
        }
        Ok(group)
    }

    /// The processes that a launcher started.
    #[cfg(not(feature = "mpi"))]
    fn group(&self) -> anyhow::Result<Group> {
        match self.world {
            None | Some(1) => Ok(Group::alone()),
            Some(world) => bail!(
                "WORLD_SIZE is {world}: processes that a launcher starts find each other through MPI, which this program was \
                 built without (--features mpi); on one machine use --replicas {world} without a launcher"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Launched> {
        Launched::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn ranks_are_read_from_the_environment() {
        assert_eq!(read(&[]).unwrap(), Launched::default());
        let found = read(&[("RANK", "3"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1"), ("SLURM_LOCALID", "7")]).unwrap();
        assert_eq!(found, Launched { rank: Some(3), world: Some(8), local: Some(1) });
        assert_eq!(read(&[("SLURM_LOCALID", "2")]).unwrap().local, Some(2));
        assert!(read(&[("RANK", "first")]).unwrap_err().to_string().contains("RANK is `first`"));
    }

    #[test]
    fn a_copy_learns_its_place() {
        let (server, shard) = parse("/tmp/a,b/socket,1,4").unwrap();
        assert_eq!((server, shard), ("/tmp/a,b/socket", Shard { rank: 1, world: 4 }));
        assert!(parse("socket,1").is_none() && parse("socket,one,2").is_none());
    }
}
