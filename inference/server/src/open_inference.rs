//! The Open Inference Protocol: the same questions, as clients of Triton and KServe send them, on the same ports.
//!
//! What it says is in `gondola-open-inference`; here are its paths ([`http`]) and its service ([`grpc`]), and how the rows of a request
//! become questions to the front.

pub(super) mod grpc;
pub(super) mod http;

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use gondola_open_inference::infer::{Asked, WrongInference};
use gondola_open_inference::{Inference, InferenceResult, Model};
use gondola_protocol::{Code, Inquiry, ServiceError, Visit};
use gondola_request::Question;

use crate::front::Front;
use crate::http::visit;
use crate::metrics::Method;
use crate::room::NoPlace;

/// Rows of a request that are answered beside each other.
const ROWS_AT_ONCE: usize = 8;
/// What loading or unloading is answered with.
const NOT_LOADED_HERE: &str =
    "models are not loaded or unloaded by requests here: the spec of the pipeline says what is served";
/// What is served beyond the protocol's core.
const EXTENSIONS: [&str; 4] = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
];
/// The name that this server has for such clients.
const NAME: &str = "gondola";

/// Whether models answer, and why not, as an index of them says it.
fn state(front: &Front) -> (&'static str, &'static str) {
    match front.ready() {
        true => ("READY", ""),
        false => ("UNAVAILABLE", "loading, or stopping"),
    }
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
enum InferError {
    #[error(transparent)]
    Wrong(#[from] WrongInference),
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl InferError {
    fn code(&self) -> Code {
        match self {
            Self::Wrong(_) => Code::InvalidArgument,
            Self::NoPlace(_) => Code::ResourceExhausted,
            Self::Service(error) => error.code(),
        }
    }
}

/// Asks a model. A request has one place, however many rows it has, and so has some of them answered at once.
async fn infer<'a>(
    front: &Front,
    inference: Inference,
    within: Option<Duration>,
    header: impl Fn(&str) -> Option<&'a str>,
) -> Result<InferenceResult, InferError> {
    let method = match inference.model {
        Model::Similar => Method::Similar,
        Model::Score => Method::Explain,
        Model::Recommend | Model::Stage(_) => Method::Recommend,
    };
    let _place = front.enter(method)?;
    match inference.asked()? {
        Asked::Questions(questions) => {
            let inquiries: Vec<Inquiry> = questions
                .into_iter()
                .map(|question| inquiry(front, question, &header))
                .collect::<Result<_, _>>()?;
            let asks = inquiries
                .into_iter()
                .map(|inquiry| front.answer(None, inquiry, within));
            Ok(inference.result(&beside_each_other(asks).await?))
        }
        Asked::Scores(requests) => {
            let visits: Vec<Visit> = requests
                .iter()
                .map(|request| visit(front, request.user.as_str(), &header))
                .collect::<Result<_, _>>()?;
            let asks = requests.into_iter().zip(visits);
            let asks = asks.map(|(request, visit)| front.explain(request, visit, within));
            Ok(inference.scored(&beside_each_other(asks).await?))
        }
    }
}

/// What came of some rows, in their order; the first that fails ends it.
async fn beside_each_other<T, F>(asks: impl Iterator<Item = F>) -> Result<Vec<T>, ServiceError>
where
    F: Future<Output = Result<T, ServiceError>>,
{
    stream::iter(asks).buffered(ROWS_AT_ONCE).try_collect().await
}

fn inquiry<'a>(
    front: &Front,
    question: Question,
    header: impl Fn(&str) -> Option<&'a str>,
) -> Result<Inquiry, ServiceError> {
    let user = match &question {
        Question::Recommend(request) => request.user.as_str(),
        Question::Similar(_) => return Ok(question.into()),
    };
    let visit = visit(front, user, header)?;
    Ok(Inquiry { question, visit })
}
