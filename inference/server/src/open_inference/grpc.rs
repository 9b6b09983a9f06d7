//! The service of the protocol.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use gondola_causes::with_causes;
use gondola_open_inference::proto::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use gondola_open_inference::proto::repository_index_response::ModelIndex;
use gondola_open_inference::proto::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest, RepositoryIndexResponse,
    RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use gondola_open_inference::{Model, UnknownModel, VERSION, messages};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::{EXTENSIONS, InferError, NAME, NOT_LOADED_HERE, ROWS_AT_ONCE, infer, state};
use crate::access::stream::Turnstile;
use crate::front::{Front, MAX_BODY_BYTES};
use crate::grpc::{ask_again, timeout};

/// The service.
pub(crate) fn service(front: Arc<Front>) -> GrpcInferenceServiceServer<impl GrpcInferenceService> {
    GrpcInferenceServiceServer::new(Service { front }).max_decoding_message_size(MAX_BODY_BYTES)
}

struct Service {
    front: Arc<Front>,
}

fn found(name: &str, version: &str) -> Result<Model, Status> {
    Model::find(name, version).map_err(|error: UnknownModel| Status::not_found(error.to_string()))
}

fn refusal(error: InferError) -> Status {
    let status = Status::new(error.code().into(), with_causes(&error));
    match status.code() {
        tonic::Code::ResourceExhausted => ask_again(status),
        _ => status,
    }
}

/// Answers one request; `metadata` is that of the call.
async fn answer(
    front: &Front,
    metadata: &MetadataMap,
    message: ModelInferRequest,
) -> Result<ModelInferResponse, Status> {
    let within = timeout(metadata)?;
    let model = found(&message.model_name, &message.model_version)?;
    let inference =
        messages::read(model, message).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let header = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
    let result = infer(front, inference, within, header).await;
    Ok(messages::write(result.map_err(refusal)?))
}

/// The same within a stream, whose other requests go on.
async fn answer_in_stream(
    front: &Front,
    metadata: &MetadataMap,
    turnstile: Option<&Turnstile>,
    message: ModelInferRequest,
) -> ModelStreamInferResponse {
    let id = message.id.clone();
    let answered = match turnstile.map(|turnstile| turnstile.admit(front)).transpose() {
        Ok(_admission) => answer(front, metadata, message)
            .await
            .map_err(|status| status.message().to_owned()),
        Err(denial) => Err(denial.to_string()),
    };
    match answered {
        Ok(response) => ModelStreamInferResponse {
            error_message: String::new(),
            infer_response: Some(response),
        },
        Err(error_message) => ModelStreamInferResponse {
            error_message,
            infer_response: Some(ModelInferResponse {
                id,
                ..ModelInferResponse::default()
            }),
        },
    }
}

#[async_trait]
impl GrpcInferenceService for Service {
    type ModelStreamInferStream = BoxStream<'static, Result<ModelStreamInferResponse, Status>>;

    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        let ready = self.front.ready();
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready = found(&name, &version).is_ok() && self.front.ready();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        Ok(Response::new(messages::metadata(found(&name, &version)?)))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        answer(&self.front, &metadata, message).await.map(Response::new)
    }

    /// Answers come in the order of the requests, of which a few are answered beside each other.
    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let (metadata, extensions, messages) = request.into_parts();
        let call = Arc::new((metadata, extensions.get::<Turnstile>().cloned()));
        let front = Arc::clone(&self.front);
        let answers = messages.map(move |message| {
            let (front, call) = (Arc::clone(&front), Arc::clone(&call));
            async move {
                let (metadata, turnstile) = &*call;
                Ok(answer_in_stream(&front, metadata, turnstile.as_ref(), message?).await)
            }
        });
        Ok(Response::new(answers.buffered(ROWS_AT_ONCE).boxed()))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let config = Some(messages::config(found(&name, &version)?));
        Ok(Response::new(ModelConfigResponse { config }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let models: Vec<Model> = match name.as_str() {
            "" => Model::all().collect(),
            name => vec![found(name, &version)?],
        };
        let statistics = models.into_iter().map(|model| self.front.statistics().of(model));
        Ok(Response::new(ModelStatisticsResponse {
            model_stats: statistics.collect(),
        }))
    }

    async fn repository_index(
        &self,
        _: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let (state, reason) = state(&self.front);
        let models = Model::all().map(|model| ModelIndex {
            name: model.name().to_owned(),
            version: VERSION.to_owned(),
            state: state.to_owned(),
            reason: reason.to_owned(),
        });
        Ok(Response::new(RepositoryIndexResponse {
            models: models.collect(),
        }))
    }

    async fn repository_model_load(
        &self,
        _: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        Err(Status::unimplemented(NOT_LOADED_HERE))
    }

    async fn repository_model_unload(
        &self,
        _: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        Err(Status::unimplemented(NOT_LOADED_HERE))
    }
}
