//! A variant whose requests are answered together, asked by many at once.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gondola_models::pipeline::RequestError;
use gondola_protocol::{Inquiry, Recommender, ServiceError};
use gondola_request::{
    Answer, InformedRequest, ItemId, Question, RecommendRequest, Recommendation, Stage, StageTiming, UserId,
};
use gondola_server::metrics::ComputeMetrics;
use gondola_serving::compute::{Compute, ComputeSettings, GatherSettings};
use gondola_serving::local::LocalVariant;

use crate::stand_in::StandIn;

/// The most items that can be asked for.
const MOST: usize = 5;
const TOOK: Duration = Duration::from_millis(3);

/// Recommends users to themselves.
fn themselves(informed: &InformedRequest) -> Result<Answer, RequestError> {
    let request = &informed.request;
    let k = request.k.unwrap_or(1);
    if k > MOST {
        return Err(RequestError::Count { k, most: MOST });
    }
    let item = Recommendation {
        item: ItemId::from(request.user.as_str()),
        score: k as f32,
        chance: None,
    };
    let timing = StageTiming {
        stage: Stage::Scoring,
        took: TOOK,
    };
    Ok(Answer {
        items: vec![item; k],
        timing: vec![timing],
        ..Answer::default()
    })
}

async fn ask(variant: &LocalVariant<StandIn>, user: usize, k: usize) -> Result<Answer, ServiceError> {
    let request = RecommendRequest {
        user: UserId::from(format!("user-{user}")),
        k: Some(k),
    };
    let inquiry = Inquiry::from(Question::Recommend(request));
    let deadline = Instant::now() + Duration::from_secs(60);
    variant
        .answer(inquiry, deadline)
        .await
        .map(|served| served.answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_their_own_answer_and_their_own_error() {
    let settings = ComputeSettings {
        threads: NonZeroUsize::new(2).unwrap(),
        queue: 1000,
        gather: GatherSettings {
            size: NonZeroUsize::new(16).unwrap(),
            wait: Duration::from_millis(20),
        },
    };
    let metrics = ComputeMetrics::default();
    let compute = Compute::start(&settings, metrics.clone()).unwrap();
    let pipeline = Arc::new(StandIn::new(themselves).gathering());
    let variant = Arc::new(pipeline.on(compute));
    let asked: Vec<_> = (0..200)
        .map(|user| {
            let variant = Arc::clone(&variant);
            // Every tenth asks for more than can be had.
            let k = if user % 10 == 9 { MOST + 1 } else { 1 + user % MOST };
            (user, k, tokio::spawn(async move { ask(&variant, user, k).await }))
        })
        .collect();
    for (user, k, asked) in asked {
        let request = RecommendRequest {
            user: UserId::from(format!("user-{user}")),
            k: Some(k),
        };
        match (asked.await.unwrap(), themselves(&request.into())) {
            (Ok(answer), Ok(wanted)) => {
                assert_eq!(answer.items, wanted.items);
                assert_eq!(answer.timing, wanted.timing);
            }
            (Err(ServiceError::Refused { message, .. }), Err(wanted)) => {
                assert_eq!(message, wanted.to_string());
            }
            (answer, wanted) => panic!("user {user}: {answer:?} is not {wanted:?}"),
        }
    }
    let sizes = pipeline.together.lock().unwrap().clone();
    assert_eq!(sizes.iter().sum::<usize>(), 200);
    assert!(sizes.iter().all(|size| *size <= 16), "{sizes:?}");
    assert!(sizes.len() < 200, "nobody was answered together");
    assert_eq!((metrics.gathered.get(), metrics.waiting.get()), (200, 0));
    assert_eq!(metrics.batches.get(), sizes.len() as u64);
}
