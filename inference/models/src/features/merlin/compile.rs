//! How an output of NVTabular becomes columns of ours.
//!
//! An output is a chain of operators. What ends in an index is categorical: a vocabulary, or buckets. All else is a number: a raw one,
//! or one that is looked up, and operations on it.

use std::path::Path;
use std::sync::Arc;

use super::exported::{Exported, ExportedColumn, Expression, InputKind};
use super::refusal::{MerlinError, Reason};
use super::tables::{Smoothed, Tables};
use super::{Difference, Note};
use crate::features::columns::{
    CategoricalColumn, Encoding, NamedVocabulary, NumberSource, NumericColumn, Reading,
};
use crate::features::list::ListElement;
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

/// A part of a list, and what is behind its end.
struct Part {
    start: i64,
    end: Option<i64>,
    length: usize,
    pad: u32,
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
            Expression::Categorify { of, .. } => match of.as_slice() {
                [list] if self.is_list(list) => self.list(output, &output.value, list, false),
                _ => Ok(Made::Categorical(vec![self.categorical(output)?])),
            },
            slice @ Expression::ListSlice { of, .. } => match of.as_ref() {
                categorify @ Expression::Categorify { of: lists, .. } if lists.len() == 1 => {
                    self.list(output, categorify, slice, true)
                }
                unsupported @ Expression::Unsupported { .. } => Err(refused(output, unsupported)),
                _ => Err(refuse(output, slice, Reason::ListOfNumbers)),
            },
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

    fn is_list(&self, value: &Expression) -> bool {
        match value {
            Expression::ListSlice { .. } => true,
            Expression::Column { name } => self.kind(name) == InputKind::List,
            _ => false,
        }
    }

    fn kind(&self, raw: &str) -> InputKind {
        let inputs = &self.exported.inputs;
        let input = inputs.iter().find(|input| input.name == raw);
        input.map_or(InputKind::Unknown, |input| input.kind)
    }

    fn categorical(&mut self, output: &ExportedColumn) -> Result<CategoricalColumn, MerlinError> {
        let of = output.value.parts();
        let reads = of
            .iter()
            .map(|part| self.reading(output, part))
            .collect::<Result<_, _>>()?;
        let vocabulary = self.vocabulary(output, &output.value)?;
        Ok(CategoricalColumn {
            column: output.name.clone(),
            reads,
            encoding: Encoding::Vocabulary(vocabulary),
        })
    }

    /// The vocabulary of a Categorify; outputs that share its file share it.
    fn vocabulary(
        &mut self,
        output: &ExportedColumn,
        categorify: &Expression,
    ) -> Result<NamedVocabulary, MerlinError> {
        let Expression::Categorify {
            table, keys, indexes, ..
        } = categorify
        else {
            return Err(refuse(output, categorify, Reason::ListOfNumbers));
        };
        Ok(NamedVocabulary {
            name: name_of(table),
            vocabulary: self.tables.vocabulary(table, keys, *indexes)?,
        })
    }

    /// A list that is cut before or after Categorify: a column for each element that is kept.
    fn list(
        &mut self,
        output: &ExportedColumn,
        categorify: &Expression,
        slice: &Expression,
        is_after: bool,
    ) -> Result<Made, MerlinError> {
        let part = self.part(output, slice, is_after)?;
        let of = if is_after { categorify } else { slice };
        let raw = match of.parts() {
            [Expression::Column { name }] => name,
            [Expression::Unsupported { .. }] => return Err(refused(output, &of.parts()[0])),
            _ => return Err(refuse(output, categorify, Reason::OnEncoded)),
        };
        let vocabulary = self.vocabulary(output, categorify)?;
        let column = |position: usize| {
            let element = ListElement {
                start: part.start,
                end: part.end,
                position,
                pad: part.pad,
            };
            CategoricalColumn {
                column: format!("{}.{position}", output.name),
                reads: vec![Reading::of(raw)],
                encoding: Encoding::Element(element, vocabulary.clone()),
            }
        };
        self.note(output, Difference::Padded);
        Ok(Made::Categorical((0..part.length).map(column).collect()))
    }

    fn part(&self, output: &ExportedColumn, slice: &Expression, is_after: bool) -> Result<Part, MerlinError> {
        let Expression::ListSlice {
            start,
            end,
            length: Some(length),
            pad,
            ..
        } = slice
        else {
            return Err(refuse(output, &output.value, Reason::AnyLength));
        };
        let pad = match pad {
            None => 0,
            Some(_) if !is_after => return Err(refuse(output, slice, Reason::PadsBefore)),
            Some(pad) if pad.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(pad) => *pad as u32,
            Some(_) => return Err(refuse(output, slice, Reason::PadIsNoIndex)),
        };
        Ok(Part {
            start: *start,
            end: *end,
            length: *length,
            pad,
        })
    }

    fn numeric(&mut self, output: &ExportedColumn, value: &Expression) -> Result<NumericColumn, MerlinError> {
        if let Expression::Column { name } = value {
            match self.kind(name) {
                InputKind::Text => return Err(refuse(output, value, Reason::RawText)),
                InputKind::List => return Err(refuse(output, value, Reason::ListOfNumbers)),
                InputKind::Number | InputKind::Unknown => {}
            }
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
        let (of, operation) = match value {
            Expression::Column { name } => {
                return Ok(Number {
                    source: NumberSource::Raw(name.clone()),
                    operations: vec![],
                });
            }
            Expression::TargetEncoding { .. } => return self.target_encoding(output, value),
            Expression::JoinGroupby { .. } => return self.join_groupby(output, value),
            Expression::Categorify { .. } => return Err(refuse(output, &output.value, Reason::OnIndex)),
            Expression::ListSlice { .. } => return Err(refuse(output, value, Reason::ListOfNumbers)),
            Expression::Unsupported { .. } => return Err(refused(output, value)),
            Expression::FillMissing { of, value } | Expression::FillMedian { of, value } => {
                (of, Some(Operation::Fill(*value)))
            }
            Expression::Filled { of } => (of, Some(Operation::IsMissing)),
            Expression::Clip { of, min, max } => (of, clip(*min, *max)),
            Expression::LogOp { of } => (of, Some(Operation::NaturalLog)),
            Expression::Normalize { of, mean, std } => {
                let standard_deviation = if *std > 0.0 { *std } else { 1.0 };
                let mean = *mean;
                let normalize = Operation::Normalize {
                    mean,
                    standard_deviation,
                };
                (of, Some(normalize))
            }
            Expression::NormalizeMinMax { of, min, max } => {
                let (minimum, maximum) = (*min, *max);
                (of, Some(Operation::Range { minimum, maximum }))
            }
            Expression::Bucketize { of, boundaries } => (of, Some(Operation::Bucket(boundaries.clone()))),
        };
        if let Expression::Column { name } = of.as_ref() {
            match self.kind(name) {
                InputKind::Text => return Err(refuse(output, value, Reason::RawText)),
                InputKind::List => return Err(refuse(output, value, Reason::ListOfNumbers)),
                InputKind::Number | InputKind::Unknown => {}
            }
        }
        let mut number = self.number(output, of)?;
        number.operations.extend(operation);
        Ok(number)
    }

    fn target_encoding(
        &mut self,
        output: &ExportedColumn,
        value: &Expression,
    ) -> Result<Number, MerlinError> {
        let Expression::TargetEncoding {
            of,
            table,
            keys,
            count,
            sum,
            p_smooth,
            mean,
            kfold,
        } = value
        else {
            return Err(refuse(output, value, Reason::NoCounterpart));
        };
        let (p_smooth, mean) = (*p_smooth, *mean);
        let formula = Smoothed {
            count,
            sum,
            p_smooth,
            mean,
        };
        let name = &output.name;
        let lookup = self.tables.smoothed(table, keys, &formula, name)?;
        if *kfold > 1 {
            self.note(output, Difference::AllFolds);
        }
        Ok(Number {
            source: NumberSource::Lookup {
                reads: self.categories(output, value, of)?,
                name: name.clone(),
                lookup: Arc::new(lookup),
                value: 0,
            },
            operations: vec![Operation::Fill(mean)],
        })
    }

    fn join_groupby(&mut self, output: &ExportedColumn, value: &Expression) -> Result<Number, MerlinError> {
        let Expression::JoinGroupby {
            of,
            table,
            keys,
            value: statistic,
        } = value
        else {
            return Err(refuse(output, value, Reason::NoCounterpart));
        };
        let lookup = self.tables.statistics(table, keys)?;
        let Some(column) = lookup.column(statistic) else {
            return Err(refuse(output, value, Reason::NoCounterpart));
        };
        Ok(Number {
            source: NumberSource::Lookup {
                reads: self.categories(output, value, of)?,
                name: name_of(table),
                lookup,
                value: column,
            },
            operations: vec![],
        })
    }

    /// The categories by which an operator looks something up: raw columns.
    fn categories(
        &mut self,
        output: &ExportedColumn,
        operator: &Expression,
        of: &[Expression],
    ) -> Result<Vec<Reading>, MerlinError> {
        let raw = |part: &Expression| match part {
            Expression::Column { name } => Ok(Reading::of(name)),
            Expression::Unsupported { .. } => Err(refused(output, part)),
            _ => Err(refuse(output, operator, Reason::OnEncoded)),
        };
        of.iter().map(raw).collect()
    }

    /// A raw column, and the operations on it before it is looked up.
    fn reading(&mut self, output: &ExportedColumn, part: &Expression) -> Result<Reading, MerlinError> {
        let Number { source, operations } = self.number(output, part)?;
        match source {
            NumberSource::Raw(column) => Ok(Reading { column, operations }),
            NumberSource::Lookup { .. } => Err(refuse(output, &output.value, Reason::OnEncoded)),
        }
    }

    fn note(&mut self, output: &ExportedColumn, difference: Difference) {
        self.notes.push(Note {
            column: output.name.clone(),
            difference,
        });
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

/// The name of a table's file, without the folder and the extension.
fn name_of(table: &str) -> String {
    let stem = Path::new(table).file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The refusal of an operator that the export marks.
fn refused(output: &ExportedColumn, value: &Expression) -> MerlinError {
    let reason = match value {
        Expression::Unsupported { reason, .. } => *reason,
        _ => Reason::NoCounterpart,
    };
    refuse(output, value, reason)
}

fn refuse(output: &ExportedColumn, value: &Expression, reason: Reason) -> MerlinError {
    MerlinError::Refused {
        column: output.name.clone(),
        operator: value.operator().to_owned(),
        reason,
    }
}
