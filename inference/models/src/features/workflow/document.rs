//! What `workflow.json` holds.
//!
//! A categorical column that reads the raw one of its name is that name; a numeric one has its operations. That is the first format. The
//! second has columns that are made otherwise: `reads` says of which raw ones.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::columns::{
    CategoricalColumn, Encoding, NamedVocabulary, NumberSource, NumericColumn, Reading,
};
use super::super::list::ListElement;
use super::super::lookup::Lookup;
use super::super::operation::Operation;
use super::super::vocabulary::{Indexes, Vocabulary};
use super::{EntityWorkflow, Workflow, WorkflowError, lookup_path, vocabulary_path};

/// The format of workflows whose columns all read the raw ones of their names.
const FIRST: u32 = 1;
/// The format of all others.
pub(super) const LATEST: u32 = 2;

#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) format: u32,
    user: EntityDocument,
    item: EntityDocument,
    pair: Vec<NumericDocument>,
}

#[derive(Serialize, Deserialize)]
struct EntityDocument {
    categorical: Vec<CategoricalDocument>,
    numeric: Vec<NumericDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum CategoricalDocument {
    Own(String),
    Made {
        column: String,
        reads: Vec<Reading>,
        encoding: EncodingDocument,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EncodingDocument {
    Vocabulary(VocabularyDocument),
    Element {
        part: ListElement,
        vocabulary: VocabularyDocument,
    },
    Buckets(u32),
}

#[derive(Serialize, Deserialize)]
struct VocabularyDocument {
    name: String,
    indexes: Indexes,
}

#[derive(Serialize, Deserialize)]
struct NumericDocument {
    column: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reads: Vec<Reading>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lookup: Option<LookupDocument>,
    operations: Vec<Operation>,
}

#[derive(Serialize, Deserialize)]
struct LookupDocument {
    name: String,
    value: String,
}

impl Document {
    pub(super) fn of(workflow: &Workflow) -> Self {
        let entity = |entity: &EntityWorkflow| EntityDocument {
            categorical: entity.categorical.iter().map(CategoricalDocument::of).collect(),
            numeric: entity.numeric.iter().map(NumericDocument::of).collect(),
        };
        let mut document = Self {
            format: LATEST,
            user: entity(&workflow.user),
            item: entity(&workflow.item),
            pair: workflow.pair.iter().map(NumericDocument::of).collect(),
        };
        if document.is_of_first_format() {
            document.format = FIRST;
        }
        document
    }

    fn is_of_first_format(&self) -> bool {
        let entities = || [&self.user, &self.item].into_iter();
        let mut categorical = entities().flat_map(|entity| &entity.categorical);
        let mut numeric = entities().flat_map(|entity| &entity.numeric).chain(&self.pair);
        categorical.all(|column| matches!(column, CategoricalDocument::Own(_)))
            && numeric.all(NumericDocument::is_of_first_format)
    }

    /// Makes the workflow, with vocabularies and lookups from a folder.
    pub(super) fn load(self, folder: &Path) -> Result<Workflow, WorkflowError> {
        let entity = |name: &'static str, document: EntityDocument| {
            let mut files = Files::new(folder, name);
            let categorical = document.categorical.into_iter();
            let categorical = categorical
                .map(|column| column.load(&mut files))
                .collect::<Result<_, _>>()?;
            let numeric = document.numeric.into_iter();
            let numeric = numeric
                .map(|column| column.load(&mut files))
                .collect::<Result<_, _>>()?;
            Ok::<_, WorkflowError>(EntityWorkflow { categorical, numeric })
        };
        let mut of_pairs = Files::new(folder, "pair");
        let pair = self.pair.into_iter();
        Ok(Workflow {
            user: entity("user", self.user)?,
            item: entity("item", self.item)?,
            pair: pair
                .map(|column| column.load(&mut of_pairs))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl CategoricalDocument {
    fn of(column: &CategoricalColumn) -> Self {
        let own = column.own_vocabulary();
        if own.is_some_and(|vocabulary| vocabulary.indexes() == Indexes::default()) {
            return Self::Own(column.column.clone());
        }
        Self::Made {
            column: column.column.clone(),
            reads: column.reads.clone(),
            encoding: match &column.encoding {
                Encoding::Vocabulary(named) => EncodingDocument::Vocabulary(VocabularyDocument::of(named)),
                Encoding::Element(element, named) => EncodingDocument::Element {
                    part: *element,
                    vocabulary: VocabularyDocument::of(named),
                },
                Encoding::Buckets(count) => EncodingDocument::Buckets(*count),
            },
        }
    }

    fn load(self, files: &mut Files<'_>) -> Result<CategoricalColumn, WorkflowError> {
        match self {
            Self::Own(column) => {
                let vocabulary = Vocabulary::load(&vocabulary_path(files.folder, files.entity, &column))?;
                Ok(CategoricalColumn::of(&column, vocabulary))
            }
            Self::Made {
                column,
                reads,
                encoding,
            } => Ok(CategoricalColumn {
                column,
                reads,
                encoding: match encoding {
                    EncodingDocument::Vocabulary(of) => Encoding::Vocabulary(files.vocabulary(of)?),
                    EncodingDocument::Element { part, vocabulary } => {
                        Encoding::Element(part, files.vocabulary(vocabulary)?)
                    }
                    EncodingDocument::Buckets(count) => Encoding::Buckets(count),
                },
            }),
        }
    }
}

impl VocabularyDocument {
    fn of(named: &NamedVocabulary) -> Self {
        Self {
            name: named.name.clone(),
            indexes: named.vocabulary.indexes(),
        }
    }
}

impl NumericDocument {
    fn of(column: &NumericColumn) -> Self {
        let (reads, lookup) = match &column.source {
            NumberSource::Raw(raw) if *raw == column.column => (vec![], None),
            NumberSource::Raw(raw) => (vec![Reading::of(raw)], None),
            NumberSource::Lookup {
                reads,
                name,
                lookup,
                value,
            } => {
                let document = LookupDocument {
                    name: name.clone(),
                    value: lookup.name(*value).to_owned(),
                };
                (reads.clone(), Some(document))
            }
        };
        Self {
            column: column.column.clone(),
            reads,
            lookup,
            operations: column.operations.clone(),
        }
    }

    fn is_of_first_format(&self) -> bool {
        self.reads.is_empty() && self.operations.iter().all(Operation::is_of_first_format)
    }

    fn load(self, files: &mut Files<'_>) -> Result<NumericColumn, WorkflowError> {
        let source = match self.lookup {
            Some(LookupDocument { name, value }) => {
                let lookup = files.lookup(&name)?;
                let value = lookup.column(&value).ok_or(WorkflowError::NoValue {
                    column: self.column.clone(),
                    name: name.clone(),
                    value,
                })?;
                NumberSource::Lookup {
                    reads: self.reads,
                    name,
                    lookup,
                    value,
                }
            }
            None => {
                let read = self.reads.into_iter().next();
                NumberSource::Raw(read.map_or_else(|| self.column.clone(), |read| read.column))
            }
        };
        Ok(NumericColumn {
            column: self.column,
            source,
            operations: self.operations,
        })
    }
}

/// The files of one entity, each read once.
struct Files<'a> {
    folder: &'a Path,
    entity: &'static str,
    vocabularies: HashMap<String, Arc<Vocabulary>>,
    lookups: HashMap<String, Arc<Lookup>>,
}

impl<'a> Files<'a> {
    fn new(folder: &'a Path, entity: &'static str) -> Self {
        Self {
            folder,
            entity,
            vocabularies: HashMap::new(),
            lookups: HashMap::new(),
        }
    }

    fn vocabulary(&mut self, wanted: VocabularyDocument) -> Result<NamedVocabulary, WorkflowError> {
        let VocabularyDocument { name, indexes } = wanted;
        let vocabulary = match self.vocabularies.get(&name) {
            Some(read) => Arc::clone(read),
            None => {
                let path = vocabulary_path(self.folder, self.entity, &name);
                Arc::new(Vocabulary::load(&path)?.with_indexes(indexes))
            }
        };
        self.vocabularies.insert(name.clone(), Arc::clone(&vocabulary));
        Ok(NamedVocabulary { name, vocabulary })
    }

    fn lookup(&mut self, name: &str) -> Result<Arc<Lookup>, WorkflowError> {
        let lookup = match self.lookups.get(name) {
            Some(read) => Arc::clone(read),
            None => Arc::new(Lookup::load(&lookup_path(self.folder, self.entity, name))?),
        };
        self.lookups.insert(name.to_owned(), Arc::clone(&lookup));
        Ok(lookup)
    }
}
