//! Rows of users and items after the workflow: the numbers that models read.

use std::marker::PhantomData;

use candle_core::{Device, Result as CandleResult, Tensor};
use gondola_models::features::{EncodedRow, EncodedTable, Workflow};

use crate::features::Snapshot;
use crate::rows::{Row, SnapshotRow};

/// Encoded rows, which only rows of their own space can name.
pub(crate) struct EncodedRows<R> {
    table: EncodedTable,
    space: PhantomData<R>,
}

pub(crate) struct Encoded<R> {
    pub(crate) users: EncodedRows<R>,
    pub(crate) items: EncodedRows<R>,
}

impl Encoded<SnapshotRow> {
    /// Encodes all rows of a snapshot, in its order.
    pub(crate) fn of(workflow: &Workflow, snapshot: &Snapshot) -> Self {
        Self {
            users: EncodedRows::new(workflow.user.encode_table(&snapshot.users)),
            items: EncodedRows::new(workflow.item.encode_table(&snapshot.items)),
        }
    }
}

impl<R: Row> EncodedRows<R> {
    /// The rows of a table.
    pub(crate) fn new(table: EncodedTable) -> Self {
        let space = PhantomData;
        Self { table, space }
    }

    /// All rows, for what reads whole tables.
    pub(crate) fn table(&self) -> &EncodedTable {
        &self.table
    }

    pub(crate) fn row(&self, row: R) -> EncodedRow {
        self.table.row(row.position())
    }

    /// The categorical values of one row.
    pub(crate) fn categorical(&self, row: R) -> &[u32] {
        self.table.categorical(row.position())
    }

    /// The numeric values of one row.
    pub(crate) fn numeric(&self, row: R) -> &[f32] {
        self.table.numeric(row.position())
    }

    /// Adds a row, and says which it is.
    pub(crate) fn push(&mut self, row: &EncodedRow) -> R {
        self.table.push(row);
        R::at(self.table.rows() - 1)
    }

    /// Some rows as tensors: categorical (`[rows, columns]`, `u32`) and numeric (`[rows, columns]`, `f32`).
    pub(crate) fn tensors(&self, rows: &[R]) -> CandleResult<(Tensor, Tensor)> {
        let categorical: Vec<u32> = rows
            .iter()
            .flat_map(|row| self.categorical(*row))
            .copied()
            .collect();
        let numeric: Vec<f32> = rows.iter().flat_map(|row| self.numeric(*row)).copied().collect();
        let (categorical_width, numeric_width) = (self.table.categorical_width(), self.table.numeric_width());
        Ok((
            Tensor::from_vec(categorical, (rows.len(), categorical_width), &Device::Cpu)?,
            Tensor::from_vec(numeric, (rows.len(), numeric_width), &Device::Cpu)?,
        ))
    }
}
