//! The parts of ONNX's protobuf messages that say what a graph may do. Fields that are not listed, the weights' numbers among
//! them, are skipped.

/// A file.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Model {
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<Graph>,
    #[prost(message, repeated, tag = "25")]
    pub(crate) functions: Vec<Function>,
}

/// A graph that other graphs call by name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Function {
    #[prost(message, repeated, tag = "7")]
    pub(crate) nodes: Vec<Node>,
    #[prost(string, tag = "10")]
    pub(crate) domain: String,
}

/// Nodes that hand named values to each other.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) weights: Vec<Weight>,
    #[prost(message, repeated, tag = "15")]
    pub(crate) sparse_weights: Vec<SparseWeight>,
}

/// An operator.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Node {
    #[prost(string, tag = "4")]
    pub(crate) operator: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attributes: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub(crate) domain: String,
}

/// A constant of a node, which may be a graph: the body of a loop, say.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Attribute {
    #[prost(message, optional, tag = "5")]
    pub(crate) weight: Option<Weight>,
    #[prost(message, optional, tag = "6")]
    pub(crate) graph: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    pub(crate) weights: Vec<Weight>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) graphs: Vec<Graph>,
}

/// A tensor of numbers.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Weight {
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    /// 1: in another file.
    #[prost(int32, tag = "14")]
    pub(crate) location: i32,
}

/// A tensor of which only some numbers are there.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SparseWeight {
    #[prost(message, optional, tag = "1")]
    pub(crate) values: Option<Weight>,
    #[prost(message, optional, tag = "2")]
    pub(crate) places: Option<Weight>,
}
