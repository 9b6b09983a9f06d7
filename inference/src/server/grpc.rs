//! The asks as gRPC.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use gondola_events::intake::ToldOutcome;

use super::front::{Front, LARGEST_BODY};
use super::http;
use super::proto::recommender_server::{Recommender, RecommenderServer};
use super::proto::{
    AnswerParts, GetPipelineRequest, GetPipelineResponse, PutItemRequest, PutItemResponse, PutUserRequest,
    PutUserResponse, RecommendRequest, RecommendResponse, RecordOutcomesRequest, RecordOutcomesResponse,
    SimilarRequest, SimilarResponse, row, similar_request, user_update,
};
use super::service::{Code, ServiceError};
use crate::pipeline::{self, SimilarTo};

/// The service.
pub fn service(front: Arc<Front>) -> RecommenderServer<impl Recommender> {
    RecommenderServer::new(Service { front }).max_decoding_message_size(LARGEST_BODY)
}

struct Service {
    front: Arc<Front>,
}

#[async_trait]
impl Recommender for Service {
    async fn recommend(
        &self,
        request: Request<RecommendRequest>,
    ) -> Result<Response<RecommendResponse>, Status> {
        let within = timeout(request.metadata())?;
        let metadata = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let visit = http::visit(&self.front, metadata);
        let RecommendRequest {
            user,
            k,
            explain_timing,
        } = request.into_inner();
        let ask = pipeline::RecommendRequest {
            user: user.as_str().into(),
            k: k.map(|k| k as usize),
            visit,
        };
        let served = self.front.recommend(ask, within).await?;
        let AnswerParts {
            items,
            degraded,
            timing,
        } = AnswerParts::of(served.answer, explain_timing);
        let response = RecommendResponse {
            user,
            variant: served.variant.to_string(),
            reason: served
                .reason
                .map_or_else(String::new, |reason| reason.as_str().to_owned()),
            bundles: Arc::unwrap_or_clone(served.bundles),
            items,
            degraded,
            timing,
        };
        Ok(Response::new(response))
    }

    async fn similar(&self, request: Request<SimilarRequest>) -> Result<Response<SimilarResponse>, Status> {
        let within = timeout(request.metadata())?;
        let SimilarRequest {
            to,
            k,
            explain_timing,
        } = request.into_inner();
        let to = match to {
            Some(similar_request::To::Item(item)) => SimilarTo::Item(item.into()),
            Some(similar_request::To::Text(text)) => SimilarTo::Text(text),
            None => {
                return Err(Status::invalid_argument(
                    "the request asks for nothing; give item or text",
                ));
            }
        };
        let ask = pipeline::SimilarRequest {
            to,
            k: k.map(|k| k as usize),
        };
        let served = self.front.similar(ask, within).await?;
        let AnswerParts {
            items,
            degraded,
            timing,
        } = AnswerParts::of(served.answer, explain_timing);
        let response = SimilarResponse {
            variant: served.variant.to_string(),
            bundles: Arc::unwrap_or_clone(served.bundles),
            items,
            degraded,
            timing,
        };
        Ok(Response::new(response))
    }

    async fn put_user(&self, request: Request<PutUserRequest>) -> Result<Response<PutUserResponse>, Status> {
        let within = timeout(request.metadata())?;
        let PutUserRequest {
            user,
            features,
            history,
        } = request.into_inner();
        self.front
            .put_user(user.into(), user_update(features, history), within)
            .await?;
        Ok(Response::new(PutUserResponse {}))
    }

    async fn put_item(&self, request: Request<PutItemRequest>) -> Result<Response<PutItemResponse>, Status> {
        let within = timeout(request.metadata())?;
        let PutItemRequest { item, features } = request.into_inner();
        self.front.put_item(item.into(), row(features), within).await?;
        Ok(Response::new(PutItemResponse {}))
    }

    async fn record_outcomes(
        &self,
        request: Request<RecordOutcomesRequest>,
    ) -> Result<Response<RecordOutcomesResponse>, Status> {
        let outcomes = request.into_inner().outcomes;
        let told = outcomes.into_iter().map(|outcome| Ok(ToldOutcome::from(outcome)));
        let receipt = self.front.record_outcomes(told.collect()).await?;
        Ok(Response::new(receipt.into()))
    }

    async fn get_pipeline(
        &self,
        request: Request<GetPipelineRequest>,
    ) -> Result<Response<GetPipelineResponse>, Status> {
        let within = timeout(request.metadata())?;
        Ok(Response::new(self.front.describe(within).await?.into()))
    }
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        Status::new(status(error.code()), error.message())
    }
}

fn status(code: Code) -> tonic::Code {
    match code {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::DeadlineExceeded => tonic::Code::DeadlineExceeded,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::Internal => tonic::Code::Internal,
    }
}

/// What another server's status means to us.
pub(crate) fn code(status: tonic::Code) -> Code {
    match status {
        tonic::Code::InvalidArgument | tonic::Code::OutOfRange | tonic::Code::FailedPrecondition => {
            Code::InvalidArgument
        }
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::Unimplemented => Code::Unimplemented,
        tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => Code::DeadlineExceeded,
        tonic::Code::Unavailable => Code::Unavailable,
        tonic::Code::Ok
        | tonic::Code::Unknown
        | tonic::Code::AlreadyExists
        | tonic::Code::PermissionDenied
        | tonic::Code::Aborted
        | tonic::Code::Internal
        | tonic::Code::DataLoss
        | tonic::Code::Unauthenticated => Code::Internal,
    }
}

/// The client's own time: the header `grpc-timeout`, at most eight digits and a unit.
fn timeout(metadata: &MetadataMap) -> Result<Option<Duration>, Status> {
    let Some(header) = metadata.get("grpc-timeout") else {
        return Ok(None);
    };
    let wrong = || {
        Status::invalid_argument(format!(
            "grpc-timeout is {header:?}; give digits and one of H M S m u n"
        ))
    };
    let text = header.to_str().map_err(|_| wrong())?;
    let (digits, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let duration = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(wrong()),
    };
    Ok(Some(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_grpc_writes_it() {
        let read = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            timeout(&metadata).map_err(|status| status.code())
        };
        assert_eq!(read("150m"), Ok(Some(Duration::from_millis(150))));
        assert_eq!(read("20000u"), Ok(Some(Duration::from_millis(20))));
        assert_eq!(
            read("99999999H"),
            Ok(Some(Duration::from_secs(99_999_999 * 3600)))
        );
        for wrong in ["", "m", "5", "123456789m", "-1S", "1.5S"] {
            assert_eq!(read(wrong), Err(tonic::Code::InvalidArgument), "{wrong:?}");
        }
        assert_eq!(timeout(&MetadataMap::new()).unwrap(), None);
    }
}
