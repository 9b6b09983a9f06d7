//! Lists of categories: one column for each element that is kept.

use super::{Compiler, Made, refuse, refused};
use crate::features::columns::{CategoricalColumn, Encoding, Reading};
use crate::features::list::ListElement;
use crate::features::merlin::Difference;
use crate::features::merlin::exported::{Categorify, ExportedColumn, Expression, InputKind, ListSlice};
use crate::features::merlin::refusal::{MerlinError, Reason};

impl Compiler<'_> {
    pub(super) fn is_list(&self, value: &Expression) -> bool {
        match value {
            Expression::ListSlice(_) => true,
            Expression::Column { name } => self.kind(name) == InputKind::List,
            _ => false,
        }
    }

    /// Categorify of a list, which is to be cut before.
    pub(super) fn list(
        &mut self,
        output: &ExportedColumn,
        categorify: &Categorify,
        list: &Expression,
    ) -> Result<Made, MerlinError> {
        match list {
            Expression::ListSlice(slice) if slice.pad.is_some() => {
                Err(refuse(output, list.operator(), Reason::PadsBefore))
            }
            Expression::ListSlice(slice) => self.elements(output, categorify, slice, &slice.of),
            _ => Err(refuse(output, "Categorify", Reason::AnyLength)),
        }
    }

    /// ListSlice after Categorify.
    pub(super) fn sliced(&mut self, output: &ExportedColumn, slice: &ListSlice) -> Result<Made, MerlinError> {
        match slice.of.as_ref() {
            Expression::Categorify(categorify) => match categorify.of.as_slice() {
                [raw] => self.elements(output, categorify, slice, raw),
                _ => Err(refuse(output, "ListSlice", Reason::OnEncoded)),
            },
            Expression::Unsupported(unsupported) => Err(refused(output, unsupported)),
            _ => Err(refuse(output, "ListSlice", Reason::ListOfNumbers)),
        }
    }

    fn elements(
        &mut self,
        output: &ExportedColumn,
        categorify: &Categorify,
        slice: &ListSlice,
        list: &Expression,
    ) -> Result<Made, MerlinError> {
        let raw = match list {
            Expression::Column { name } => name,
            Expression::Unsupported(unsupported) => return Err(refused(output, unsupported)),
            _ => return Err(refuse(output, "ListSlice", Reason::OnEncoded)),
        };
        let length = slice
            .length
            .ok_or_else(|| refuse(output, "ListSlice", Reason::AnyLength))?;
        let pad = slice.pad.unwrap_or(0.0);
        if pad.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(&pad) {
            return Err(refuse(output, "ListSlice", Reason::PadIsNoIndex));
        }
        let vocabulary = self.vocabulary(categorify)?;
        let column = |position: usize| {
            let element = ListElement {
                start: slice.start,
                end: slice.end,
                position,
                pad: pad as u32,
            };
            CategoricalColumn {
                column: format!("{}.{position}", output.name),
                reads: vec![Reading::of(raw)],
                encoding: Encoding::Element(element, vocabulary.clone()),
            }
        };
        self.note(output, Difference::Padded);
        Ok(Made::Categorical((0..length).map(column).collect()))
    }
}
