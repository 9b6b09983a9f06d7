//! Visitors: each asks once, and buys at random, by more of it where an arm is better.

use std::time::Duration;

use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_protocol::proto::{AssignmentReason, Outcome, RecommendRequest, RecordOutcomesRequest};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// Households of The Complete Journey.
const USERS: u64 = 2469;
/// Outcomes that are told at once, at most, and that wait to be told again.
const MAX_OUTCOMES: usize = 500;
const MAX_WAITING: usize = 50_000;
/// Visitors that come together.
const EVERY: Duration = Duration::from_millis(100);

/// The planted effect.
pub struct Effect {
    /// How many of the control's visitors buy.
    pub base: f64,
    /// The arm that sells more.
    pub arm: String,
    /// By how much, relatively.
    pub lift: f64,
}

/// Visitors of one shop.
pub struct Visitors {
    client: RecommenderClient<Channel>,
    effect: Effect,
    random: ChaCha8Rng,
    number: u64,
}

impl Visitors {
    /// Finds the shop.
    pub async fn connect(address: &str, effect: Effect) -> anyhow::Result<Self> {
        Ok(Self {
            client: RecommenderClient::connect(format!("http://{address}")).await?,
            effect,
            random: ChaCha8Rng::seed_from_u64(1),
            number: 0,
        })
    }

    /// So many come each second, for ever. One that isn't served goes away.
    pub async fn keep_coming(mut self, each_second: u32) {
        let together = (u64::from(each_second) * EVERY.as_millis() as u64 / 1000).max(1);
        let mut clock = tokio::time::interval(EVERY);
        let mut waiting = Vec::new();
        loop {
            clock.tick().await;
            for _ in 0..together {
                match self.visit().await {
                    Ok(of_visitor) => waiting.extend(of_visitor),
                    Err(status) => eprintln!("a visitor was not served: {status}"),
                }
            }
            self.tell(&mut waiting).await;
        }
    }

    /// Tells what visitors did. A router that stops asks for it again, and then it waits for the next time.
    async fn tell(&mut self, waiting: &mut Vec<Outcome>) {
        let outcomes = waiting.split_off(waiting.len().saturating_sub(MAX_OUTCOMES));
        let request = RecordOutcomesRequest {
            outcomes: outcomes.clone(),
        };
        match self.client.record_outcomes(request).await {
            Ok(_) => {}
            Err(status) if status.code() == Code::Unavailable => waiting.extend(outcomes),
            Err(status) => eprintln!("outcomes were not taken: {status}"),
        }
        waiting.truncate(MAX_WAITING);
    }

    /// A visitor asks, looks at some of what is recommended, and buys or not.
    async fn visit(&mut self) -> Result<Vec<Outcome>, tonic::Status> {
        self.number += 1;
        let visitor = format!("visitor-{}", self.number);
        let mut request = Request::new(RecommendRequest {
            user: (self.number % USERS + 1).to_string(),
            k: Some(12),
            explain_timing: false,
        });
        let id = visitor
            .parse()
            .map_err(|_| tonic::Status::internal("a visitor's id is not a header"))?;
        request.metadata_mut().insert("x-visitor-id", id);
        let answer = self.client.recommend(request).await?.into_inner();
        let better = answer.reason() == AssignmentReason::Assigned && answer.variant == self.effect.arm;
        let chance = self.effect.base * (1.0 + if better { self.effect.lift } else { 0.0 });
        let mut outcomes = Vec::new();
        for click in 0..self.random.random_range(0..4_u32) {
            outcomes.push(outcome(&visitor, "click", click));
        }
        if self.random.random_bool(chance.min(1.0)) {
            outcomes.push(outcome(&visitor, "purchase", 0));
        }
        Ok(outcomes)
    }
}

fn outcome(visitor: &str, kind: &str, number: u32) -> Outcome {
    Outcome {
        unit: visitor.to_owned(),
        r#type: kind.to_owned(),
        event_id: Some(format!("{kind}-{number}")),
        ..Outcome::default()
    }
}
