//! A request and a response over HTTP: JSON, with tensors in it or as bytes behind it.
//!
//! Where tensors are bytes the header `Inference-Header-Content-Length` says where the JSON ends; each input says how many bytes are its
//! own, and they follow one another in the order of the inputs.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::infer::{Inference, InferenceResult};
use crate::messages::triton_type;
use crate::model::Model;
use crate::tensor::{Datatype, Tensor, Values, WrongTensor};

/// The header that says how long the JSON is.
pub const JSON_LENGTH: &str = "inference-header-content-length";

/// Why a body is no request.
#[derive(Debug, thiserror::Error)]
pub enum WrongBody {
    /// It is no JSON, or other JSON.
    #[error("the body is no inference request: {0}")]
    Json(#[from] serde_json::Error),
    /// One of its tensors.
    #[error(transparent)]
    Tensor(#[from] WrongTensor),
    /// The JSON is longer than the body.
    #[error("Inference-Header-Content-Length says that the JSON has {json} bytes, and the body has {body}")]
    Length {
        /// How long the JSON is said to be.
        json: usize,
        /// How long the body is.
        body: usize,
    },
    /// There are more bytes than inputs.
    #[error("{0} bytes follow the last input; binary_data_size of each says how many are its own")]
    Rest(usize),
}

/// Which outputs a client wants as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsBytes {
    all: bool,
    named: Vec<(String, bool)>,
}

impl AsBytes {
    fn wants(&self, output: &str) -> bool {
        let named = self.named.iter().find(|(name, _)| name == output);
        named.map_or(self.all, |(_, wanted)| *wanted)
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: String,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    k: Option<usize>,
    binary_data_output: bool,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<i64>,
    datatype: String,
    #[serde(default)]
    parameters: InputParameters,
    data: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InputParameters {
    binary_data_size: Option<usize>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: OutputParameters,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputParameters {
    binary_data: Option<bool>,
}

/// Reads a body. `json_length` is what the header says, if it is there.
pub fn read(
    model: Model,
    body: &[u8],
    json_length: Option<usize>,
) -> Result<(Inference, AsBytes), WrongBody> {
    let json = json_length.unwrap_or(body.len());
    let (json, mut bytes) = body.split_at_checked(json).ok_or(WrongBody::Length {
        json,
        body: body.len(),
    })?;
    let body: Body = serde_json::from_slice(json)?;
    let inputs = body.inputs.into_iter().map(|input| tensor(input, &mut bytes));
    let inputs: Vec<Tensor> = inputs.collect::<Result<_, _>>()?;
    if !bytes.is_empty() {
        return Err(WrongBody::Rest(bytes.len()));
    }
    let named = body.outputs.iter().filter_map(|output| {
        let wanted = output.parameters.binary_data?;
        Some((output.name.clone(), wanted))
    });
    let as_bytes = AsBytes {
        all: body.parameters.binary_data_output,
        named: named.collect(),
    };
    let inference = Inference {
        model,
        id: body.id,
        inputs,
        outputs: body.outputs.into_iter().map(|output| output.name).collect(),
        k: body.parameters.k,
    };
    Ok((inference, as_bytes))
}

fn tensor(input: Input, bytes: &mut &[u8]) -> Result<Tensor, WrongTensor> {
    let wrong = |problem: String| WrongTensor::new(&input.name, problem);
    let datatype = Datatype::of_request(&input.name, &input.datatype)?;
    let values = match (input.parameters.binary_data_size, &input.data) {
        (Some(size), None) => {
            let (own, rest) = bytes
                .split_at_checked(size)
                .ok_or_else(|| wrong(format!("has {size} bytes, of which {} are there", bytes.len())))?;
            *bytes = rest;
            Values::read(datatype, own).map_err(wrong)?
        }
        (None, Some(data)) => of_json(datatype, data).map_err(wrong)?,
        _ => return Err(wrong("has to have either data or binary_data_size".to_owned())),
    };
    Tensor::of_request(&input.name, &input.shape, values)
}

/// The values of JSON arrays in each other, or of one.
fn of_json(datatype: Datatype, data: &Value) -> Result<Values, String> {
    let mut flat = Vec::new();
    flatten(data, &mut flat);
    let whole = |value: &Value| value.as_i64();
    Ok(match datatype {
        Datatype::Bytes => Values::Texts(each(datatype, &flat, |value| value.as_str().map(str::to_owned))?),
        Datatype::Int32 => Values::Int32(each(datatype, &flat, |value| whole(value)?.try_into().ok())?),
        Datatype::Int64 => Values::Int64(each(datatype, &flat, whole)?),
        Datatype::Uint32 => Values::Uint32(each(datatype, &flat, |value| value.as_u64()?.try_into().ok())?),
        Datatype::Uint64 => Values::Uint64(each(datatype, &flat, Value::as_u64)?),
        Datatype::Fp32 => Values::Fp32(each(datatype, &flat, |value| Some(value.as_f64()? as f32))?),
    })
}

fn flatten<'a>(data: &'a Value, flat: &mut Vec<&'a Value>) {
    match data {
        Value::Array(parts) => parts.iter().for_each(|part| flatten(part, flat)),
        value => flat.push(value),
    }
}

fn each<T>(
    datatype: Datatype,
    values: &[&Value],
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, String> {
    let read = values.iter().map(|value| {
        read(value).ok_or_else(|| format!("has the value {value:.100}, which is no {datatype}"))
    });
    read.collect()
}

/// A body, and how long its JSON is, where bytes follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// All of it.
    pub body: Vec<u8>,
    /// For the header.
    pub json_length: Option<usize>,
}

/// Writes a response.
pub fn write(result: &InferenceResult, as_bytes: &AsBytes) -> Written {
    let mut behind = Vec::new();
    let outputs: Vec<Value> = result
        .outputs
        .iter()
        .map(|output| {
            let mut described = Map::new();
            described.insert("name".to_owned(), json!(output.name));
            described.insert("datatype".to_owned(), json!(output.values.datatype().to_string()));
            described.insert("shape".to_owned(), json!(output.shape));
            if as_bytes.wants(&output.name) {
                let bytes = output.values.write();
                described.insert("parameters".to_owned(), json!({"binary_data_size": bytes.len()}));
                behind.extend(bytes);
            } else {
                described.insert("data".to_owned(), to_json(&output.values));
            }
            Value::Object(described)
        })
        .collect();
    let mut response = json!({
        "model_name": result.model.name(),
        "model_version": crate::VERSION,
        "outputs": outputs,
    });
    if !result.id.is_empty() {
        response["id"] = json!(result.id);
    }
    let mut body = response.to_string().into_bytes();
    let has_bytes = result.outputs.iter().any(|output| as_bytes.wants(&output.name));
    let json_length = has_bytes.then_some(body.len());
    body.extend(behind);
    Written { body, json_length }
}

fn to_json(values: &Values) -> Value {
    match values {
        Values::Texts(values) => json!(values),
        Values::Int32(values) => json!(values),
        Values::Int64(values) => json!(values),
        Values::Uint32(values) => json!(values),
        Values::Uint64(values) => json!(values),
        Values::Fp32(values) => json!(
            values
                .iter()
                .map(|value| as_written(*value))
                .collect::<Vec<f64>>()
        ),
    }
}

/// The number whose digits are those of one of 32 bits: 0.45, and not 0.44999998807907104.
fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// What a model is given and gives, as JSON.
pub fn metadata(model: Model) -> Value {
    serde_json::to_value(Metadata::of(model)).expect("texts and numbers are JSON")
}

#[derive(serde::Serialize)]
struct Metadata {
    name: &'static str,
    versions: [&'static str; 1],
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

#[derive(serde::Serialize)]
struct TensorMetadata {
    name: &'static str,
    datatype: &'static str,
    shape: [i64; 2],
}

impl Metadata {
    fn of(model: Model) -> Self {
        let tensors = |described: &[crate::model::Described]| {
            let tensors = described.iter().map(|described| TensorMetadata {
                name: described.name,
                datatype: described.datatype.into(),
                shape: [-1, described.width],
            });
            tensors.collect()
        };
        Self {
            name: model.name(),
            versions: [crate::VERSION],
            platform: model.platform(),
            inputs: tensors(model.inputs()),
            outputs: tensors(model.outputs()),
        }
    }
}

/// A model's configuration, as JSON that Triton has for it.
pub fn config(model: Model) -> Value {
    let inputs = model.inputs().iter().map(|input| {
        json!({
            "name": input.name, "data_type": triton_type(input.datatype).as_str_name(), "format": "FORMAT_NONE",
            "dims": [input.width], "optional": input.optional,
        })
    });
    let outputs = model.outputs().iter().map(|output| {
        json!({"name": output.name, "data_type": triton_type(output.datatype).as_str_name(), "dims": [output.width]})
    });
    let mut config = json!({
        "name": model.name(),
        "platform": model.platform(),
        "backend": "",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": model.max_batch(),
        "input": inputs.collect::<Vec<Value>>(),
        "output": outputs.collect::<Vec<Value>>(),
        "instance_group": [],
        "model_transaction_policy": {"decoupled": false},
    });
    if !model.stages().is_empty() {
        let steps = model.stages().iter().map(|stage| {
            json!({"model_name": stage.as_str(), "model_version": -1, "input_map": {}, "output_map": {}})
        });
        config["ensemble_scheduling"] = json!({"step": steps.collect::<Vec<Value>>()});
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = r#"{"id": "7", "parameters": {"k": 3}, "inputs": [
        {"name": "user", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
        {"name": "k", "shape": [1], "datatype": "INT32", "data": [[5]]}],
        "outputs": [{"name": "score", "parameters": {"binary_data": true}}, {"name": "item"}]}"#;

    #[test]
    fn tensors_are_json_or_bytes_behind_it() {
        let mut body = BOTH.as_bytes().to_vec();
        body.extend(b"\x02\0\0\0ab\x01\0\0\0c");
        let (inference, as_bytes) = read(Model::Recommend, &body, Some(BOTH.len())).unwrap();
        assert_eq!((inference.id.as_str(), inference.k), ("7", Some(3)));
        let texts = Values::Texts(vec!["ab".to_owned(), "c".to_owned()]);
        assert_eq!(inference.inputs[0].values, texts);
        assert_eq!(inference.inputs[1].values, Values::Int32(vec![5]));
        assert_eq!(inference.outputs, ["score", "item"]);
        assert!(as_bytes.wants("score") && !as_bytes.wants("item"));

        let output = |name: &str, values: Values| Tensor {
            name: name.to_owned(),
            shape: vec![1, 2],
            values,
        };
        let result = InferenceResult {
            model: Model::Recommend,
            id: "7".to_owned(),
            outputs: vec![
                output("score", Values::Fp32(vec![0.5, 0.25])),
                output("item", texts),
            ],
        };
        let written = write(&result, &as_bytes);
        let (json, bytes) = written.body.split_at(written.json_length.unwrap());
        assert_eq!(bytes, [0.5f32.to_le_bytes(), 0.25f32.to_le_bytes()].concat());
        let json: Value = serde_json::from_slice(json).unwrap();
        let wanted = json!({
            "model_name": "recommend", "model_version": "1", "id": "7", "outputs": [
                {"name": "score", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
                {"name": "item", "datatype": "BYTES", "shape": [1, 2], "data": ["ab", "c"]},
            ],
        });
        assert_eq!(json, wanted);
        assert_eq!(write(&result, &AsBytes::default()).json_length, None);
    }

    #[test]
    fn bodies_that_are_no_requests_are_refused() {
        let refused = |body: &str, length| {
            read(Model::Recommend, body.as_bytes(), length)
                .unwrap_err()
                .to_string()
        };
        let input = |rest: &str| format!(r#"{{"inputs": [{{"name": "user", "shape": [1], {rest}}}]}}"#);
        let bytes = input(r#""datatype": "BYTES", "parameters": {"binary_data_size": 9}"#);
        for (body, length, said) in [
            ("[", None, "the body is no inference request: "),
            (
                "{}",
                None,
                "the body is no inference request: missing field `inputs`",
            ),
            (
                "{}",
                Some(3),
                "Inference-Header-Content-Length says that the JSON has 3 bytes, and the body has 2",
            ),
            (
                &input(r#""datatype": "FP16", "data": [1]"#),
                None,
                "tensor \"user\" is of type FP16; give BYTES, INT32",
            ),
            (
                &input(r#""datatype": "INT32", "data": ["a"]"#),
                None,
                "tensor \"user\" has the value \"a\", which is no INT32",
            ),
            (
                &input(r#""datatype": "INT32", "data": [1, 2]"#),
                None,
                "tensor \"user\" has the shape [1] and 2 values",
            ),
            (
                &input(r#""datatype": "INT32""#),
                None,
                "tensor \"user\" has to have either data or",
            ),
            (&bytes, None, "tensor \"user\" has 9 bytes, of which 0 are there"),
            (
                &(r#"{"inputs": []}"#.to_owned() + "rest"),
                Some(14),
                "4 bytes follow the last input",
            ),
        ] {
            let error = refused(body, length);
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn a_model_is_described_as_triton_would() {
        let described = metadata(Model::Recommend);
        assert_eq!(
            described["inputs"][0],
            json!({"name": "user", "datatype": "BYTES", "shape": [-1, 1]})
        );
        let config = config(Model::Recommend);
        assert_eq!(config["max_batch_size"], 256);
        assert_eq!(config["input"][1]["optional"], true);
        let steps = config["ensemble_scheduling"]["step"].as_array().unwrap();
        assert_eq!(steps.len(), 5);
        assert_eq!(steps[3]["model_name"], "scoring");
    }
}
