//! Opening a data folder to look at it, without serving it.
//!
//! In: the folder, and what to do with what is found. Out: what that gave. The folder is locked
//! meanwhile, so no server can run on it, and nothing in it is changed.

use crate::catalog::{State, owner};
use crate::env::real::{self, Core, RealEnv};
use crate::model::{DbId, MeasurementId, PartitionId, ShardId};
use crate::server::lock;
use crate::shard::audit::{Audit, Fault, audit, log_fault};
use crate::shard::journal;
use crate::shard::log::Identity;
use crate::shard::store::{self, Store};
use std::path::{Path, PathBuf};

/// Registered buffers of the one executor (bytes).
const IO_MEMORY: usize = 1 << 20;

/// A store and its catalog.
pub(super) struct Opened {
    env: RealEnv,
    pub data: PathBuf,
    pub store: Store,
    /// `None` when it cannot be read, or is not there yet.
    pub catalog: Option<State>,
    pub catalog_fault: Option<Fault>,
}

/// Opens the store of a folder and runs `work` on it.
///
/// # Errors
/// One sentence: no store, in use, or the store's own file is unreadable.
pub(super) fn with<T, F>(
    dir: &Path,
    work: impl FnOnce(Opened) -> F + Send + 'static,
) -> Result<T, String>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    if !dir.join("STORE").is_file() {
        return Err(format!("{}: there is no store (no file STORE)", dir.display()));
    }
    let locked = lock::take(dir).map_err(|error| error.to_string())?;
    let data = locked.path.clone();
    let core = Core { processor: None, name: "ringtail-look".to_owned(), io_memory: IO_MEMORY };
    let run = move |env: RealEnv| async move {
        real::probe(&data).await.map_err(|error| format!("{}: {error}", data.display()))?;
        let opened = open(env, data).await?;
        Ok::<T, String>(work(opened).await)
    };
    let handle = real::run_on_core(core, run).map_err(|error| error.to_string())?;
    handle.join().map_err(|error| error.to_string())?
}

async fn open(env: RealEnv, data: PathBuf) -> Result<Opened, String> {
    let store = store::look(&env, &data).await.map_err(|error| error.to_string())?;
    let dir = store::epoch_dir(&data, store.epoch);
    let identity = Identity { store: store.id, shard: ShardId(0), epoch: store.epoch };
    let wrong =
        |what: &str| Fault { file: dir.join("catalog"), offset: None, what: what.to_owned() };
    let (catalog, catalog_fault) = match journal::look(&env, &dir, "catalog", identity).await {
        Ok(Some((snapshot, edits, _))) => match owner::restore(snapshot.as_deref(), &edits) {
            Some(state) => (Some(state), None),
            None => (None, Some(wrong("is whole, yet not what this version writes"))),
        },
        Ok(None) => (None, Some(wrong("there is no catalog"))),
        Err(error) => (None, Some(log_fault(error))),
    };
    Ok(Opened { env, data, store, catalog, catalog_fault })
}

impl Opened {
    /// Looks at each shard in turn; `whole` reads every byte.
    pub async fn shards(&self, whole: bool, mut each: impl FnMut(Audit)) {
        let dir = store::epoch_dir(&self.data, self.store.epoch);
        for number in 0..self.store.shards {
            each(audit(&self.env, &dir, &self.store, ShardId(number), whole).await);
        }
    }

    /// The name of a measurement behind that of its database.
    pub fn measurement(&self, db: DbId, id: MeasurementId) -> String {
        let catalog = self.catalog.as_ref();
        let name = catalog.and_then(|catalog| catalog.measurement_name(id));
        let name = name
            .map_or(format!("#{}", id.0), |(_, name)| String::from_utf8_lossy(name).into_owned());
        let db = catalog
            .and_then(|catalog| catalog.database_by_id(db))
            .map_or(format!("#{}", db.0), |db| db.name.clone());
        format!("{db}.{name}")
    }

    /// The names of the database and policy of a partition.
    pub fn partition(&self, id: PartitionId) -> String {
        let names = self.catalog.as_ref().and_then(|catalog| {
            let partition = catalog.partition(id)?;
            let db = catalog.database_by_id(partition.db)?;
            let policy = catalog.policy_by_id(partition.policy)?;
            Some(format!("{}.{}", db.name, policy.spec.name))
        });
        names.unwrap_or_else(|| format!("partition {}", id.0))
    }
}
