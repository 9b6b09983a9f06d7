//! One customer's visit: what is in the basket, and what the pipeline is told of what they do.
//!
//! Each thing that a customer does is a function that changes the visit and gives back the interactions to send. Ids of events are the
//! session's with a number, so that each is new, and one that is sent twice counts once.

use std::collections::{BTreeMap, VecDeque};

use gondola_request::{Interaction, InteractionKind, ItemId, UserId};

use crate::basket::{Basket, BasketError};
use crate::money::Cents;

/// How many of the last things that the pipeline was told are shown.
const MAX_TOLD: usize = 8;

/// Something that the pipeline was told, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What was done.
    pub kind: InteractionKind,
    /// With which product.
    pub item: ItemId,
    /// Why it was not taken, if it was not.
    pub problem: Option<String>,
}

/// What the next page says once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The text.
    pub text: String,
    /// Whether the panel is open, because it was used.
    pub panel: bool,
}

/// What one customer does from log-in to log-out.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who.
    pub customer: UserId,
    /// What is in the basket.
    pub basket: Basket,
    /// The product that was bought last in this visit.
    pub bought: Option<ItemId>,
    /// The variant that was chosen, in the place of the customer's own.
    pub arm: Option<String>,
    /// What the customer's columns were set to in this visit.
    pub set: BTreeMap<String, String>,
    /// What the pipeline was told, the latest first.
    pub told: VecDeque<Told>,
    /// What the next page says.
    pub notice: Option<Notice>,
    /// What ids of events begin with.
    session: String,
    /// How many events there were.
    events: u64,
    /// The page that was looked at last, so that one that is loaded again is not looked at again.
    looked_at: Option<(ItemId, Option<String>)>,
}

impl Visit {
    /// A visit that begins.
    pub fn new(session: &str, customer: &UserId) -> Self {
        Self {
            customer: customer.clone(),
            basket: Basket::default(),
            bought: None,
            arm: None,
            set: BTreeMap::new(),
            told: VecDeque::new(),
            notice: None,
            session: session.to_owned(),
            events: 0,
            looked_at: None,
        }
    }

    /// The visit as the next page shows it: a notice is shown once.
    pub fn turn_page(&mut self) -> Self {
        let shown = self.clone();
        self.notice = None;
        shown
    }

    /// The page of a product was opened: a click if a list of recommendations led there, and else a view.
    pub fn look(&mut self, item: &ItemId, request: Option<String>) -> Option<Interaction> {
        let page = (item.clone(), request);
        if self.looked_at.as_ref() == Some(&page) {
            return None;
        }
        let request = page.1.clone();
        self.looked_at = Some(page);
        let kind = match request {
            Some(_) => InteractionKind::Click,
            None => InteractionKind::View,
        };
        Some(self.interaction(kind, item, request))
    }

    /// One of a product was put into the basket.
    pub fn put(
        &mut self,
        item: &ItemId,
        price: Cents,
        request: Option<String>,
    ) -> Result<Interaction, BasketError> {
        self.basket.add(item, price, request.clone())?;
        Ok(self.interaction(InteractionKind::Basket, item, request))
    }

    /// Everything in the basket was bought.
    pub fn check_out(&mut self) -> Vec<Interaction> {
        let lines = self.basket.take();
        if let Some(last) = lines.last() {
            self.bought = Some(last.item.clone());
        }
        let bought = lines.into_iter().map(|line| Interaction {
            price: Some(line.total().dollars()),
            ..self.interaction(InteractionKind::Purchase, &line.item, line.request)
        });
        bought.collect()
    }

    /// A product is not to be shown again. What is disliked is not bought either.
    pub fn dislike(&mut self, item: &ItemId) -> Interaction {
        self.basket.set(item, 0);
        self.interaction(InteractionKind::Dislike, item, None)
    }

    /// Says something on the next page.
    pub fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice {
            text: text.into(),
            panel: false,
        });
    }

    /// Chooses a variant; none is the customer's own.
    pub fn choose_arm(&mut self, arm: Option<String>) {
        let text = match &arm {
            Some(arm) => format!("Recommendations come from {arm} now."),
            None => "Recommendations come from this customer’s own variant now.".to_owned(),
        };
        self.notice = Some(Notice { text, panel: true });
        self.arm = arm;
    }

    /// A column of the customer was set, or could not be.
    pub fn note_set(&mut self, column: &str, value: &str, outcome: Result<(), String>) {
        let text = match outcome {
            Ok(()) => {
                self.set.insert(column.to_owned(), value.to_owned());
                format!("The pipeline takes {column} to be {value} for this customer now.")
            }
            Err(problem) => format!("{column} was not set: {problem}"),
        };
        self.notice = Some(Notice { text, panel: true });
    }

    /// Notes what the pipeline was told. `problem` gives what it said of each, by its place.
    pub fn note(&mut self, told: &[Interaction], problem: impl Fn(usize) -> Option<String>) {
        for (place, interaction) in told.iter().enumerate() {
            self.told.push_front(Told {
                kind: interaction.kind,
                item: interaction.item.clone(),
                problem: problem(place),
            });
        }
        self.told.truncate(MAX_TOLD);
    }

    fn interaction(&mut self, kind: InteractionKind, item: &ItemId, request: Option<String>) -> Interaction {
        self.events += 1;
        Interaction {
            event_id: format!("{}-{}", self.session, self.events),
            user: self.customer.clone(),
            item: item.clone(),
            kind,
            event_time: None,
            price: None,
            unit: None,
            request_id: request,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn visit() -> Visit {
        Visit::new("ab", &"1".into())
    }

    fn json(interaction: &Interaction) -> serde_json::Value {
        serde_json::to_value(interaction).unwrap()
    }

    #[test]
    fn a_page_that_a_list_led_to_is_a_click_and_any_other_is_a_view() {
        let mut visit = visit();
        let viewed = visit.look(&"milk".into(), None).unwrap();
        let sent = json(&viewed);
        assert_eq!(
            (&sent["event_id"], &sent["user"], &sent["item"], &sent["type"]),
            (&"ab-1".into(), &"1".into(), &"milk".into(), &"view".into())
        );
        assert!(sent["request_id"].is_null());
        let clicked = json(&visit.look(&"milk".into(), Some("r-7".to_owned())).unwrap());
        assert_eq!(
            (&clicked["type"], &clicked["request_id"]),
            (&"click".into(), &"r-7".into())
        );
    }

    #[test]
    fn a_page_that_is_loaded_again_is_not_looked_at_again() {
        let mut visit = visit();
        assert!(visit.look(&"milk".into(), None).is_some());
        assert_eq!(visit.look(&"milk".into(), None), None);
        assert!(visit.look(&"eggs".into(), None).is_some());
        assert!(visit.look(&"milk".into(), None).is_some());
    }

    #[test]
    fn a_check_out_is_a_purchase_of_each_line_with_what_was_paid_in_all() {
        let mut visit = visit();
        for item in ["milk", "milk", "eggs"] {
            let put = visit
                .put(&item.into(), Cents(150), Some("r-7".to_owned()))
                .unwrap();
            assert_eq!((put.kind, put.price), (InteractionKind::Basket, None));
        }
        let bought = visit.check_out();
        let told: Vec<_> = bought
            .iter()
            .map(|one| (one.kind, one.item.as_str(), one.price, one.request_id.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                (InteractionKind::Purchase, "milk", Some(3.0), Some("r-7")),
                (InteractionKind::Purchase, "eggs", Some(1.5), Some("r-7")),
            ]
        );
        assert_eq!(visit.bought, Some("eggs".into()));
        assert!(visit.check_out().is_empty());
    }

    #[test]
    fn no_two_events_have_the_same_id() {
        let mut visit = visit();
        let mut events = vec![
            visit.look(&"milk".into(), None).unwrap(),
            visit.put(&"milk".into(), Cents(1), None).unwrap(),
            visit.put(&"milk".into(), Cents(1), None).unwrap(),
            visit.dislike(&"eggs".into()),
        ];
        events.extend(visit.check_out());
        let ids: BTreeSet<&str> = events.iter().map(|event| event.event_id.as_str()).collect();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn what_is_disliked_leaves_the_basket() {
        let mut visit = visit();
        visit.put(&"eggs".into(), Cents(1), None).unwrap();
        assert_eq!(visit.dislike(&"eggs".into()).kind, InteractionKind::Dislike);
        assert_eq!(visit.basket.count(), 0);
    }

    #[test]
    fn a_notice_is_shown_once_and_what_was_told_is_kept_short() {
        let mut visit = visit();
        visit.say("Thank you.");
        assert_eq!(visit.turn_page().notice.unwrap().text, "Thank you.");
        assert_eq!(visit.turn_page().notice, None);
        for round in 0..MAX_TOLD {
            let events = [visit.dislike(&"a".into()), visit.dislike(&"b".into())];
            visit.note(&events, |place| (place == 1).then(|| round.to_string()));
        }
        assert_eq!(visit.told.len(), MAX_TOLD);
        assert_eq!(
            visit.told[0],
            Told {
                kind: InteractionKind::Dislike,
                item: "b".into(),
                problem: Some("7".to_owned())
            }
        );
    }
}
