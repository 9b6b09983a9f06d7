//! The gRPC interface.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};

use gondola_causes::with_causes;
use gondola_events::intake::{RawOutcome, RawTime, Refusal};
use gondola_protocol::conversion::{self, AnswerParts};
use gondola_protocol::proto::recommender_server::{Recommender, RecommenderServer};
use gondola_protocol::proto::{
    ApplyChangesRequest, ApplyChangesResponse, ExplainRequest, ExplainResponse, GetPipelineRequest,
    GetPipelineResponse, GetRulesRequest, GetRulesResponse, Outcome, PutItemRequest, PutItemResponse,
    PutUserRequest, PutUserResponse, RecommendRequest, RecommendResponse, RecordOutcomesRequest,
    RecordOutcomesResponse, RefusedOutcome, SimilarRequest, SimilarResponse, similar_request,
};
use gondola_protocol::{Code, Inquiry, ServiceError};
use gondola_request::{self as request, Change, SimilarTo};

use crate::experimenter::Receipt;
use crate::front::{Front, MAX_BODY_BYTES};
use crate::http;
use crate::metrics::Method;
use crate::room::NoPlace;

/// The service.
pub fn service(front: Arc<Front>) -> RecommenderServer<impl Recommender> {
    RecommenderServer::new(Service { front }).max_decoding_message_size(MAX_BODY_BYTES)
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
        let place = self.front.enter(Method::Recommend).map_err(no_place)?;
        let within = timeout(request.metadata())?;
        let metadata = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let visit = http::visit(&self.front, &request.get_ref().user, metadata).map_err(status)?;
        let RecommendRequest {
            user,
            k,
            explain_timing,
        } = request.into_inner();
        let question = request::RecommendRequest {
            user: user.as_str().into(),
            k: k.map(|k| k as usize),
        };
        let inquiry = Inquiry {
            question: question.into(),
            visit,
        };
        let served = self.front.answer(place, inquiry, within).await.map_err(status)?;
        let AnswerParts {
            items,
            degraded,
            timing,
        } = AnswerParts::of(served.answer, explain_timing);
        let response = RecommendResponse {
            user,
            variant: served.variant.to_string(),
            reason: conversion::reason(served.reason),
            bundles: Arc::unwrap_or_clone(served.bundles),
            items,
            degraded,
            timing,
        };
        Ok(Response::new(response))
    }

    async fn similar(&self, request: Request<SimilarRequest>) -> Result<Response<SimilarResponse>, Status> {
        let place = self.front.enter(Method::Similar).map_err(no_place)?;
        let within = timeout(request.metadata())?;
        let SimilarRequest {
            to,
            k,
            explain_timing,
        } = request.into_inner();
        let to = match to {
            Some(similar_request::To::Item(item)) => SimilarTo::Item(item.into()),
            Some(similar_request::To::Text(text)) => SimilarTo::Text(text),
            Some(similar_request::To::BoughtWith(item)) => SimilarTo::BoughtWith(item.into()),
            None => {
                return Err(Status::invalid_argument(
                    "the request asks for nothing; give item, text or bought_with",
                ));
            }
        };
        let question = request::SimilarRequest {
            to,
            k: k.map(|k| k as usize),
        };
        let answer = self.front.answer(place, question.into(), within);
        let served = answer.await.map_err(status)?;
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

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let _place = self.front.enter(Method::Explain).map_err(no_place)?;
        let within = timeout(request.metadata())?;
        let metadata = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let visit = http::visit(&self.front, &request.get_ref().user, metadata).map_err(status)?;
        let ExplainRequest {
            user,
            items,
            k,
            parts,
        } = request.into_inner();
        let asked = request::ExplainRequest {
            user: user.as_str().into(),
            items: items.into_iter().map(Into::into).collect(),
            k: k.map(|k| k as usize),
            parts,
        };
        let explained = self.front.explain(asked, visit, within).await.map_err(status)?;
        Ok(Response::new(ExplainResponse {
            user,
            ..explained.into()
        }))
    }

    async fn put_user(&self, request: Request<PutUserRequest>) -> Result<Response<PutUserResponse>, Status> {
        let within = timeout(request.metadata())?;
        let change = request.into_inner().into();
        self.front.change(change, within).await.map_err(status)?;
        Ok(Response::new(PutUserResponse {}))
    }

    async fn put_item(&self, request: Request<PutItemRequest>) -> Result<Response<PutItemResponse>, Status> {
        let within = timeout(request.metadata())?;
        let change = request.into_inner().into();
        self.front.change(change, within).await.map_err(status)?;
        Ok(Response::new(PutItemResponse {}))
    }

    async fn apply_changes(
        &self,
        request: Request<ApplyChangesRequest>,
    ) -> Result<Response<ApplyChangesResponse>, Status> {
        let within = timeout(request.metadata())?;
        let changes = request.into_inner().changes.into_iter();
        let read =
            changes.map(|change| Change::try_from(change).map_err(|error| format!("can't be read: {error}")));
        let receipt = self.front.apply(read.collect(), within).await.map_err(status)?;
        Ok(Response::new(receipt.into()))
    }

    async fn get_rules(
        &self,
        request: Request<GetRulesRequest>,
    ) -> Result<Response<GetRulesResponse>, Status> {
        let within = timeout(request.metadata())?;
        let rules = self.front.rules(within).await.map_err(status)?;
        Ok(Response::new(GetRulesResponse {
            rules: Some(rules.into()),
        }))
    }

    async fn record_outcomes(
        &self,
        request: Request<RecordOutcomesRequest>,
    ) -> Result<Response<RecordOutcomesResponse>, Status> {
        let outcomes = request.into_inner().outcomes;
        let outcomes = outcomes.into_iter().map(|outcome| Ok(reported(outcome)));
        let receipt = self
            .front
            .record_outcomes(outcomes.collect())
            .await
            .map_err(status)?;
        Ok(Response::new(response(receipt)))
    }

    async fn get_pipeline(
        &self,
        request: Request<GetPipelineRequest>,
    ) -> Result<Response<GetPipelineResponse>, Status> {
        let within = timeout(request.metadata())?;
        Ok(Response::new(
            self.front.describe(within).await.map_err(status)?.into(),
        ))
    }
}

fn reported(outcome: Outcome) -> RawOutcome {
    RawOutcome {
        event_id: outcome.event_id,
        unit: outcome.unit,
        kind: outcome.r#type,
        value: outcome.value,
        item_id: outcome.item,
        request_id: outcome.request_id,
        event_time: outcome.event_time.map(RawTime::Milliseconds),
    }
}

fn response(receipt: Receipt) -> RecordOutcomesResponse {
    let refused = |refusal: Refusal| RefusedOutcome {
        index: refusal.index as u32,
        problem: refusal.problem,
    };
    RecordOutcomesResponse {
        taken: receipt.taken as u32,
        refused: receipt.refused.into_iter().map(refused).collect(),
    }
}

fn status(error: ServiceError) -> Status {
    let status = Status::new(error.code().into(), with_causes(&error));
    match error.code() {
        Code::ResourceExhausted => ask_again(status),
        _ => status,
    }
}

fn no_place(no_place: NoPlace) -> Status {
    ask_again(Status::resource_exhausted(no_place.to_string()))
}

/// Says when, as over HTTP.
pub(super) fn ask_again(mut status: Status) -> Status {
    let second = MetadataValue::from_static("1");
    status.metadata_mut().insert("retry-after", second);
    status
}

/// The client's own time: the header `grpc-timeout`, at most eight digits and a unit.
pub(super) fn timeout(metadata: &MetadataMap) -> Result<Option<Duration>, Status> {
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
