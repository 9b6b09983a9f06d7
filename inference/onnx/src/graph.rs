//! What a graph may be, looked at before ONNX Runtime sees it.
//!
//! ONNX Runtime reads files of weights that a graph names, wherever they are, and operators of domains that a program adds to it.
//! A bundle has neither: all of a model is in one file, and every operator is the runtime's own.

use std::collections::BTreeSet;

use prost::Message;

use crate::messages::{Attribute, Graph, Model, Node, Weight};

/// Nodes of all graphs of a file together; a BERT of 24 layers has some 3,000.
const MOST_NODES: usize = 100_000;
/// The domains of operators that ONNX Runtime brings along. The first is how files spell the second.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];
/// What a weight says that is in another file.
const ELSEWHERE: i32 = 1;

/// Why a file is not run.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// The bytes are no ONNX.
    #[error("the model is not a readable ONNX file")]
    Protobuf(#[source] prost::DecodeError),
    /// There is no graph in it.
    #[error("the ONNX model has no graph with nodes; it may be cut off, export it again")]
    Empty,
    /// Weights are in other files.
    #[error(
        "the ONNX model keeps {name:?} in another file; save it as one file (torch.onnx.export with external_data=False, or onnx.save without save_as_external_data)"
    )]
    Elsewhere {
        /// The first of those weights.
        name: String,
    },
    /// An operator that ONNX Runtime does not bring along.
    #[error(
        "the ONNX model has the operator {operator:?} of the domain {domain:?}, which ONNX Runtime does not bring along; export it with operators of ONNX alone"
    )]
    Domain {
        /// Its domain.
        domain: String,
        /// Its name.
        operator: String,
    },
    /// There are too many nodes.
    #[error(
        "the ONNX model has more than {MOST_NODES} nodes; a loop in place of what was unrolled makes it smaller"
    )]
    TooManyNodes,
}

/// Refuses what must not run.
pub(crate) fn check(bytes: &[u8]) -> Result<(), GraphError> {
    let model = Model::decode(bytes).map_err(GraphError::Protobuf)?;
    let graph = model.graph.filter(|graph| !graph.nodes.is_empty());
    let graph = graph.ok_or(GraphError::Empty)?;
    let own = model.functions.iter().map(|function| function.domain.as_str());
    let mut look = Look {
        domains: DOMAINS.into_iter().chain(own).collect(),
        nodes: 0,
    };
    look.graph(&graph)?;
    model
        .functions
        .iter()
        .try_for_each(|function| look.nodes(&function.nodes))
}

/// A walk through graphs and those within them. Protobuf's decoder bounds how deep they are.
struct Look<'a> {
    domains: BTreeSet<&'a str>,
    nodes: usize,
}

impl Look<'_> {
    fn graph(&mut self, graph: &Graph) -> Result<(), GraphError> {
        graph.weights.iter().try_for_each(here)?;
        for sparse in &graph.sparse_weights {
            sparse.values.iter().chain(&sparse.places).try_for_each(here)?;
        }
        self.nodes(&graph.nodes)
    }

    fn nodes(&mut self, nodes: &[Node]) -> Result<(), GraphError> {
        self.nodes += nodes.len();
        if self.nodes > MOST_NODES {
            return Err(GraphError::TooManyNodes);
        }
        for node in nodes {
            if !self.domains.contains(node.domain.as_str()) {
                return Err(GraphError::Domain {
                    domain: node.domain.clone(),
                    operator: node.operator.clone(),
                });
            }
            node.attributes
                .iter()
                .try_for_each(|attribute| self.attribute(attribute))?;
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &Attribute) -> Result<(), GraphError> {
        attribute
            .weight
            .iter()
            .chain(&attribute.weights)
            .try_for_each(here)?;
        let graphs = attribute.graph.iter().chain(&attribute.graphs);
        graphs.into_iter().try_for_each(|graph| self.graph(graph))
    }
}

fn here(weight: &Weight) -> Result<(), GraphError> {
    match weight.location {
        ELSEWHERE => Err(GraphError::Elsewhere {
            name: weight.name.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(graph: Graph) -> Vec<u8> {
        let model = Model {
            graph: Some(graph),
            functions: Vec::new(),
        };
        model.encode_to_vec()
    }

    fn node(domain: &str, attributes: Vec<Attribute>) -> Node {
        Node {
            operator: "Gemm".to_owned(),
            attributes,
            domain: domain.to_owned(),
        }
    }

    fn weight(location: i32) -> Weight {
        Weight {
            name: "bottom.weight".to_owned(),
            location,
        }
    }

    #[test]
    fn weights_in_other_files_are_refused_in_every_graph() {
        let graph = |location| Graph {
            nodes: vec![node("", Vec::new())],
            weights: vec![weight(location)],
            sparse_weights: Vec::new(),
        };
        assert_eq!(check(&file(graph(0))), Ok(()));
        let elsewhere = GraphError::Elsewhere {
            name: "bottom.weight".to_owned(),
        };
        assert_eq!(check(&file(graph(1))), Err(elsewhere));

        let body = Attribute {
            graph: Some(graph(1)),
            ..Attribute::default()
        };
        let nested = Graph {
            nodes: vec![node("", vec![body])],
            ..Graph::default()
        };
        let message = check(&file(nested)).unwrap_err().to_string();
        assert!(
            message.contains(r#"keeps "bottom.weight" in another file"#),
            "{message}"
        );
    }

    #[test]
    fn operators_of_other_domains_are_refused_by_name() {
        let graph = |domain| Graph {
            nodes: vec![node(domain, Vec::new())],
            ..Graph::default()
        };
        for domain in ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"] {
            assert_eq!(check(&file(graph(domain))), Ok(()));
        }
        let message = check(&file(graph("ai.onnx.contrib"))).unwrap_err().to_string();
        assert!(
            message.contains(r#""Gemm" of the domain "ai.onnx.contrib""#),
            "{message}"
        );
    }

    #[test]
    fn files_that_are_none_are_refused() {
        assert_eq!(check(b""), Err(GraphError::Empty));
        assert!(matches!(check(b"no model"), Err(GraphError::Protobuf(_))));
        let many = Graph {
            nodes: vec![node("", Vec::new()); MOST_NODES + 1],
            ..Graph::default()
        };
        assert_eq!(check(&file(many)), Err(GraphError::TooManyNodes));
    }
}
