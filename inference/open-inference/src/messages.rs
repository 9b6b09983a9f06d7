//! A request and a response over gRPC.

use crate::infer::{Inference, InferenceResult};
use crate::model::{Described, Model};
use crate::proto::infer_parameter::ParameterChoice;
use crate::proto::model_ensembling::Step;
use crate::proto::model_infer_request::InferInputTensor;
use crate::proto::model_infer_response::InferOutputTensor;
use crate::proto::model_metadata_response::TensorMetadata;
use crate::proto::{
    DataType, InferParameter, InferTensorContents, ModelConfig, ModelEnsembling, ModelInferRequest,
    ModelInferResponse, ModelInput, ModelMetadataResponse, ModelOutput, ModelTransactionPolicy,
};
use crate::tensor::{Datatype, Tensor, Values, WrongTensor};

/// The parameter that says how many items are wanted.
const K: &str = "k";

/// Reads a message. Tensors are bytes beside it, one for each input, or in the inputs.
pub fn read(model: Model, message: ModelInferRequest) -> Result<Inference, WrongTensor> {
    let k = message.parameters.get(K).map(count).transpose()?;
    let beside = message.raw_input_contents;
    if !beside.is_empty() && beside.len() != message.inputs.len() {
        let problem = format!(
            "{} inputs and {} of their contents are there",
            message.inputs.len(),
            beside.len()
        );
        return Err(WrongTensor::new(
            "raw_input_contents",
            format!("is not complete: {problem}"),
        ));
    }
    let mut beside = beside.into_iter();
    let inputs = message
        .inputs
        .into_iter()
        .map(|input| tensor(input, beside.next().as_deref()));
    Ok(Inference {
        model,
        id: message.id,
        inputs: inputs.collect::<Result<_, _>>()?,
        outputs: message.outputs.into_iter().map(|output| output.name).collect(),
        k,
    })
}

fn count(parameter: &InferParameter) -> Result<usize, WrongTensor> {
    let count = match parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(count)) => usize::try_from(count).ok(),
        Some(ParameterChoice::Uint64Param(count)) => usize::try_from(count).ok(),
        _ => None,
    };
    count.ok_or_else(|| WrongTensor::new(K, "is no whole number from 0 on; give it as int64_param"))
}

fn tensor(input: InferInputTensor, beside: Option<&[u8]>) -> Result<Tensor, WrongTensor> {
    let wrong = |problem: String| WrongTensor::new(&input.name, problem);
    let datatype = Datatype::of_request(&input.name, &input.datatype)?;
    let values = match beside {
        Some(bytes) => Values::read(datatype, bytes).map_err(wrong)?,
        None => inside(datatype, input.contents.unwrap_or_default()).map_err(wrong)?,
    };
    Tensor::of_request(&input.name, &input.shape, values)
}

fn inside(datatype: Datatype, contents: InferTensorContents) -> Result<Values, String> {
    Ok(match datatype {
        Datatype::Bytes => {
            let texts = contents.bytes_contents.into_iter().map(String::from_utf8);
            let texts = texts.collect::<Result<_, _>>();
            Values::Texts(texts.map_err(|_| "has a text that is not UTF-8".to_owned())?)
        }
        Datatype::Int32 => Values::Int32(contents.int_contents),
        Datatype::Int64 => Values::Int64(contents.int64_contents),
        Datatype::Uint32 => Values::Uint32(contents.uint_contents),
        Datatype::Uint64 => Values::Uint64(contents.uint64_contents),
        Datatype::Fp32 => Values::Fp32(contents.fp32_contents),
    })
}

/// Writes a response: tensors are bytes beside it.
pub fn write(result: InferenceResult) -> ModelInferResponse {
    let raw_output_contents = result
        .outputs
        .iter()
        .map(|output| output.values.write())
        .collect();
    let outputs = result.outputs.into_iter().map(|output| InferOutputTensor {
        datatype: output.values.datatype().to_string(),
        name: output.name,
        shape: output.shape.into_iter().map(|size| size as i64).collect(),
        ..InferOutputTensor::default()
    });
    ModelInferResponse {
        model_name: result.model.name().to_owned(),
        model_version: crate::VERSION.to_owned(),
        id: result.id,
        outputs: outputs.collect(),
        raw_output_contents,
        ..ModelInferResponse::default()
    }
}

/// What a model is given and gives.
pub fn metadata(model: Model) -> ModelMetadataResponse {
    let tensors = |described: &[Described]| {
        let tensors = described.iter().map(|described| TensorMetadata {
            name: described.name.to_owned(),
            datatype: described.datatype.to_string(),
            shape: vec![-1, described.width],
        });
        tensors.collect()
    };
    ModelMetadataResponse {
        name: model.name().to_owned(),
        versions: vec![crate::VERSION.to_owned()],
        platform: model.platform().to_owned(),
        inputs: tensors(model.inputs()),
        outputs: tensors(model.outputs()),
    }
}

/// A model, as Triton would be configured to serve it.
pub fn config(model: Model) -> ModelConfig {
    let inputs = model.inputs().iter().map(|input| ModelInput {
        name: input.name.to_owned(),
        data_type: triton_type(input.datatype).into(),
        dims: vec![input.width],
        optional: input.optional,
    });
    let outputs = model.outputs().iter().map(|output| ModelOutput {
        name: output.name.to_owned(),
        data_type: triton_type(output.datatype).into(),
        dims: vec![output.width],
    });
    let steps = model.stages().iter().map(|stage| Step {
        model_name: stage.as_str().to_owned(),
        model_version: -1,
        ..Step::default()
    });
    ModelConfig {
        name: model.name().to_owned(),
        platform: model.platform().to_owned(),
        max_batch_size: model.max_batch() as i32,
        input: inputs.collect(),
        output: outputs.collect(),
        ensemble_scheduling: (!model.stages().is_empty()).then(|| ModelEnsembling {
            step: steps.collect(),
        }),
        backend: String::new(),
        model_transaction_policy: Some(ModelTransactionPolicy { decoupled: false }),
    }
}

pub(crate) fn triton_type(datatype: Datatype) -> DataType {
    match datatype {
        Datatype::Bytes => DataType::TypeString,
        Datatype::Int32 => DataType::TypeInt32,
        Datatype::Int64 => DataType::TypeInt64,
        Datatype::Fp32 => DataType::TypeFp32,
        Datatype::Uint32 => DataType::TypeUint32,
        Datatype::Uint64 => DataType::TypeUint64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(input: InferInputTensor, beside: Vec<Vec<u8>>) -> ModelInferRequest {
        ModelInferRequest {
            inputs: vec![input],
            raw_input_contents: beside,
            ..ModelInferRequest::default()
        }
    }

    fn users(datatype: &str, contents: Option<InferTensorContents>) -> InferInputTensor {
        InferInputTensor {
            name: "user".to_owned(),
            datatype: datatype.to_owned(),
            shape: vec![1, 1],
            contents,
            ..InferInputTensor::default()
        }
    }

    #[test]
    fn tensors_are_in_the_message_or_beside_it() {
        let inside = InferTensorContents {
            bytes_contents: vec![b"anna".to_vec()],
            ..InferTensorContents::default()
        };
        let anna = Values::Texts(vec!["anna".to_owned()]);
        let read_inside = read(Model::Recommend, request(users("BYTES", Some(inside)), vec![]));
        assert_eq!(read_inside.unwrap().inputs[0].values, anna);
        let beside = vec![anna.write()];
        let read_beside = read(Model::Recommend, request(users("BYTES", None), beside));
        assert_eq!(read_beside.unwrap().inputs[0].values, anna);
        for (message, said) in [
            (
                request(users("BYTES", None), vec![vec![], vec![]]),
                "is not complete: 1 inputs and 2 of",
            ),
            (
                request(users("BOOL", None), vec![]),
                "tensor \"user\" is of type BOOL; give BYTES",
            ),
            (
                request(users("INT64", None), vec![]),
                "tensor \"user\" has the shape [1, 1] and 0 values",
            ),
        ] {
            let error = read(Model::Recommend, message).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_response_has_its_tensors_beside_it() {
        let written = write(InferenceResult {
            model: Model::Similar,
            id: "7".to_owned(),
            outputs: vec![Tensor {
                name: "count".to_owned(),
                shape: vec![2, 1],
                values: Values::Int32(vec![3, 4]),
            }],
        });
        assert_eq!(written.raw_output_contents, [[3, 0, 0, 0, 4, 0, 0, 0]]);
        assert_eq!(
            (
                written.outputs[0].datatype.as_str(),
                &written.outputs[0].shape[..]
            ),
            ("INT32", &[2, 1][..])
        );
    }
}
