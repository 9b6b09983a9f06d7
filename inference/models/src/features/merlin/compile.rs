//! How an output of NVTabular becomes columns of ours.
//!
//! An output is a chain of operators. What ends in an index is categorical: a vocabulary, or buckets. All else is a number: a raw one,
//! or one that is looked up, and operations on it.

mod lists;

use std::path::Path;
use std::sync::Arc;

use super::exported::{
    Categorify, Exported, ExportedColumn, Expression, InputKind, JoinGroupby, TargetEncoding, Unsupported,
};
use super::refusal::{MerlinError, Reason};
use super::tables::Tables;
use super::{Difference, Note};
use crate::features::columns::{
    CategoricalColumn, Encoding, NamedVocabulary, NumberSource, NumericColumn, Reading,
};
use crate::features::operation::{Operation, apply_all};

/// What an output becomes.
pub(super) enum Made {
    /// One column, or one for each element of a list.
    Categorical(Vec<CategoricalColumn>),
    /// One column.
    Numeric(NumericColumn),
}

/// Makes columns of outputs.
pub(super) struct Compiler<'a> {
    tables: Tables<'a>,
    exported: &'a Exported,
    pub(super) notes: Vec<Note>,
}

/// A number on its way.
struct Number {
    source: NumberSource,
    operations: Vec<Operation>,
}

/// What a step of a chain does to a number, and what the number is.
struct Step<'e> {
    of: &'e Expression,
    operation: Option<Operation>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(folder: &'a Path, exported: &'a Exported) -> Self {
        Self {
            tables: Tables::new(folder),
            exported,
            notes: Vec::new(),
        }
    }

    pub(super) fn compile(&mut self, output: &ExportedColumn) -> Result<Made, MerlinError> {
        match &output.value {
            Expression::Categorify(categorify) => match categorify.of.as_slice() {
                [list] if self.is_list(list) => self.list(output, categorify, list),
                _ => Ok(Made::Categorical(vec![self.categorical(output, categorify)?])),
            },
            Expression::ListSlice(slice) => self.sliced(output, slice),
            Expression::Bucketize { of, boundaries } => {
                let mut reading = self.reading(output, of)?;
                reading.operations.push(Operation::Bucket(boundaries.clone()));
                Ok(Made::Categorical(vec![CategoricalColumn {
                    column: output.name.clone(),
                    reads: vec![reading],
                    encoding: Encoding::Buckets(boundaries.len() as u32 + 1),
                }]))
            }
            value => Ok(Made::Numeric(self.numeric(output, value)?)),
        }
    }

    fn categorical(
        &mut self,
        output: &ExportedColumn,
        categorify: &Categorify,
    ) -> Result<CategoricalColumn, MerlinError> {
        let of = categorify.of.iter();
        Ok(CategoricalColumn {
            column: output.name.clone(),
            reads: of
                .map(|part| self.reading(output, part))
                .collect::<Result<_, _>>()?,
            encoding: Encoding::Vocabulary(self.vocabulary(categorify)?),
        })
    }

    /// The vocabulary of a Categorify; outputs that share its file share it.
    fn vocabulary(&mut self, categorify: &Categorify) -> Result<NamedVocabulary, MerlinError> {
        let Categorify {
            table, keys, indexes, ..
        } = categorify;
        Ok(NamedVocabulary {
            name: name_of(table),
            vocabulary: self.tables.vocabulary(table, keys, *indexes)?,
        })
    }

    /// A raw column, and the operations on it before it is looked up.
    fn reading(&mut self, output: &ExportedColumn, part: &Expression) -> Result<Reading, MerlinError> {
        let Number { source, operations } = self.number(output, part)?;
        match source {
            NumberSource::Raw(column) => Ok(Reading { column, operations }),
            NumberSource::Lookup { .. } => Err(refuse(output, output.value.operator(), Reason::OnEncoded)),
        }
    }

    fn numeric(&mut self, output: &ExportedColumn, value: &Expression) -> Result<NumericColumn, MerlinError> {
        if let Expression::Column { name } = value {
            self.check_number(output, value, name)?;
        }
        let Number { source, operations } = self.number(output, value)?;
        if apply_all(&operations, None).is_none() {
            self.note(output, Difference::MissingIsZero);
        }
        Ok(NumericColumn {
            column: output.name.clone(),
            source,
            operations,
        })
    }

    fn number(&mut self, output: &ExportedColumn, value: &Expression) -> Result<Number, MerlinError> {
        let Step { of, operation } = match value {
            Expression::Column { name } => {
                return Ok(Number {
                    source: NumberSource::Raw(name.clone()),
                    operations: vec![],
                });
            }
            Expression::TargetEncoding(encoding) => return self.target_encoding(output, encoding),
            Expression::JoinGroupby(join) => return self.join_groupby(output, join),
            Expression::Unsupported(unsupported) => return Err(refused(output, unsupported)),
            Expression::Categorify(_) => {
                return Err(refuse(output, output.value.operator(), Reason::OnIndex));
            }
            Expression::ListSlice(_) => return Err(refuse(output, value.operator(), Reason::ListOfNumbers)),
            Expression::FillMissing { of, value } | Expression::FillMedian { of, value } => {
                step(of, Operation::Fill(*value))
            }
            Expression::Filled { of } => step(of, Operation::IsMissing),
            Expression::Clip { of, min, max } => Step {
                of,
                operation: clip(*min, *max),
            },
            Expression::LogOp { of } => step(of, Operation::NaturalLog),
            Expression::Normalize { of, mean, std } => step(of, normalize(*mean, *std)),
            Expression::NormalizeMinMax { of, min, max } => {
                let (minimum, maximum) = (*min, *max);
                step(of, Operation::Range { minimum, maximum })
            }
            Expression::Bucketize { of, boundaries } => step(of, Operation::Bucket(boundaries.clone())),
        };
        if let Expression::Column { name } = of {
            self.check_number(output, value, name)?;
        }
        let mut number = self.number(output, of)?;
        number.operations.extend(operation);
        Ok(number)
    }

    /// Refuses to take a text or a list as a number.
    fn check_number(
        &self,
        output: &ExportedColumn,
        operator: &Expression,
        raw: &str,
    ) -> Result<(), MerlinError> {
        let reason = match self.kind(raw) {
            InputKind::Text => Reason::RawText,
            InputKind::List => Reason::ListOfNumbers,
            InputKind::Number | InputKind::Unknown => return Ok(()),
        };
        Err(refuse(output, operator.operator(), reason))
    }

    fn kind(&self, raw: &str) -> InputKind {
        let inputs = &self.exported.inputs;
        let input = inputs.iter().find(|input| input.name == raw);
        input.map_or(InputKind::Unknown, |input| input.kind)
    }

    fn target_encoding(
        &mut self,
        output: &ExportedColumn,
        encoding: &TargetEncoding,
    ) -> Result<Number, MerlinError> {
        let name = &output.name;
        let lookup = self.tables.smoothed(encoding, name)?;
        if encoding.kfold > 1 {
            self.note(output, Difference::AllFolds);
        }
        Ok(Number {
            source: NumberSource::Lookup {
                reads: raw_columns(output, "TargetEncoding", &encoding.of)?,
                name: name.clone(),
                lookup: Arc::new(lookup),
                value: 0,
            },
            operations: vec![Operation::Fill(encoding.precision.round(encoding.mean))],
        })
    }

    fn join_groupby(&mut self, output: &ExportedColumn, join: &JoinGroupby) -> Result<Number, MerlinError> {
        let lookup = self.tables.statistics(&join.table, &join.keys)?;
        let value = self.tables.column(&lookup, join)?;
        Ok(Number {
            source: NumberSource::Lookup {
                reads: raw_columns(output, "JoinGroupby", &join.of)?,
                name: name_of(&join.table),
                lookup,
                value,
            },
            operations: vec![],
        })
    }

    fn note(&mut self, output: &ExportedColumn, difference: Difference) {
        self.notes.push(Note {
            column: output.name.clone(),
            difference,
        });
    }
}

/// The categories by which an operator looks something up: raw columns.
fn raw_columns(
    output: &ExportedColumn,
    operator: &str,
    of: &[Expression],
) -> Result<Vec<Reading>, MerlinError> {
    let raw = |part: &Expression| match part {
        Expression::Column { name } => Ok(Reading::of(name)),
        Expression::Unsupported(unsupported) => Err(refused(output, unsupported)),
        _ => Err(refuse(output, operator, Reason::OnEncoded)),
    };
    of.iter().map(raw).collect()
}

fn step(of: &Expression, operation: Operation) -> Step<'_> {
    Step {
        of,
        operation: Some(operation),
    }
}

fn clip(min: Option<f64>, max: Option<f64>) -> Option<Operation> {
    match (min, max) {
        (Some(minimum), Some(maximum)) => Some(Operation::Clip { minimum, maximum }),
        (Some(minimum), None) => Some(Operation::AtLeast(minimum)),
        (None, Some(maximum)) => Some(Operation::AtMost(maximum)),
        (None, None) => None,
    }
}

/// NVTabular does not divide by a deviation of 0.
fn normalize(mean: f64, std: f64) -> Operation {
    Operation::Normalize {
        mean,
        standard_deviation: if std > 0.0 { std } else { 1.0 },
    }
}

/// The name of a table's file, without the folder and the extension.
fn name_of(table: &str) -> String {
    let stem = Path::new(table).file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The refusal of an operator that the export marks.
fn refused(output: &ExportedColumn, unsupported: &Unsupported) -> MerlinError {
    refuse(output, &unsupported.operator, unsupported.reason)
}

fn refuse(output: &ExportedColumn, operator: &str, reason: Reason) -> MerlinError {
    MerlinError::Refused {
        column: output.name.clone(),
        operator: operator.to_owned(),
        reason,
    }
}
