//! A trial of the cluster before anything depends on it: a row that only an executor that sees the shared folder can read.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, StringArray};
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use tempfile::NamedTempFile;

use super::cause;
use super::error::ClusterError;
use crate::dataset::DatasetError;
use crate::dataset::engine::{Cluster, EngineError};
use crate::dataset::shared::SharedFolder;

/// The table of the trial.
const TABLE: &str = "trial";
/// What its only row says.
const WORD: &str = "read by an executor";

/// Has an executor read a row from the shared folder, and waits for one that does.
pub(super) async fn try_out(
    sql: &SessionContext,
    cluster: &Cluster,
    shared: &mut SharedFolder,
) -> Result<(), DatasetError> {
    let file = NamedTempFile::new().map_err(DatasetError::Folder)?;
    write(file.as_file().try_clone().map_err(DatasetError::Folder)?).map_err(DatasetError::Staging)?;
    let url = shared.put(TABLE, file.path()).await?;
    let Cluster { scheduler, wait, .. } = cluster;
    let scheduler = scheduler.clone();
    let error = match tokio::time::timeout(*wait, read(sql, &url)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(source)) => ClusterError::Unseen {
            scheduler,
            folder: shared.to_string(),
            source: cause::plain(&source.strip_backtrace()).into(),
        },
        Err(_) => ClusterError::NoExecutor {
            scheduler,
            seconds: wait.as_secs(),
        },
    };
    Err(EngineError::from(error).into())
}

fn write(file: File) -> Result<(), ParquetError> {
    let words: ArrayRef = Arc::new(StringArray::from(vec![WORD]));
    let row = RecordBatch::try_from_iter([("word", words)])?;
    let mut writer = ArrowWriter::try_new(file, row.schema(), None)?;
    writer.write(&row)?;
    writer.close().map(drop)
}

async fn read(sql: &SessionContext, url: &str) -> Result<(), DataFusionError> {
    let table = sql.read_parquet(url, ParquetReadOptions::default()).await?;
    let batches = table.collect().await?;
    let words = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_string::<i32>());
    match words.flatten().eq([WORD]) {
        true => Ok(()),
        false => Err(DataFusionError::Execution(
            "a table of one row was read as something else".to_owned(),
        )),
    }
}
