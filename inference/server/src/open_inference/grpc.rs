//! The service of the protocol.

use std::sync::Arc;

use async_trait::async_trait;
use gondola_causes::with_causes;
use gondola_open_inference::proto::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use gondola_open_inference::proto::repository_index_response::ModelIndex;
use gondola_open_inference::proto::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
    ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest,
    ServerReadyResponse,
};
use gondola_open_inference::{Model, UnknownModel, VERSION, messages};
use tonic::{Request, Response, Status};

use super::{EXTENSIONS, InferError, NAME, NOT_LOADED_HERE, infer, state};
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

#[async_trait]
impl GrpcInferenceService for Service {
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
        let within = timeout(request.metadata())?;
        let (metadata, _, message) = request.into_parts();
        let model = found(&message.model_name, &message.model_version)?;
        let inference =
            messages::read(model, message).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let header = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let result = infer(&self.front, inference, within, header).await;
        Ok(Response::new(messages::write(result.map_err(refusal)?)))
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
