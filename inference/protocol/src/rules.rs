//! Rules as messages, and back.

use gondola_request::{self as request, BoughtRule, CandidateRule, DiversityRule, ItemRule};

use crate::conversion::{raw_value, value};
use crate::proto::Rules;
use crate::proto::rules::{AlreadyBought, Candidates, Diversity, Item, Values};

impl From<Rules> for request::Rules {
    fn from(message: Rules) -> Self {
        let already_bought = match message.already_bought() {
            AlreadyBought::Unspecified => None,
            AlreadyBought::Keep => Some(BoughtRule::Keep),
            AlreadyBought::Remove => Some(BoughtRule::Remove),
        };
        Self {
            already_bought,
            limit: message.limit.map(size),
            diversity: message.diversity.map(|Diversity { column, most }| DiversityRule {
                column,
                most: size(most),
            }),
            candidates: message.candidates.map(|candidates| CandidateRule {
                two_tower: candidates.two_tower.map(size),
                bought_before: candidates.bought_before.map(size),
                popular: candidates.popular.map(size),
            }),
            items: message.items.into_iter().map(item_rule).collect(),
        }
    }
}

fn item_rule(item: Item) -> ItemRule {
    let Item { column, allow, deny } = item;
    ItemRule {
        column,
        allow: allow.map(|Values { values }| values.into_iter().map(raw_value).collect()),
        deny: deny.into_iter().map(raw_value).collect(),
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl From<request::Rules> for Rules {
    fn from(rules: request::Rules) -> Self {
        let already_bought = match rules.already_bought {
            None => AlreadyBought::Unspecified,
            Some(BoughtRule::Keep) => AlreadyBought::Keep,
            Some(BoughtRule::Remove) => AlreadyBought::Remove,
        };
        Self {
            already_bought: already_bought.into(),
            limit: rules.limit.map(|limit| limit as u64),
            diversity: rules.diversity.map(|DiversityRule { column, most }| Diversity {
                column,
                most: most as u64,
            }),
            candidates: rules.candidates.map(|candidates| Candidates {
                two_tower: candidates.two_tower.map(|number| number as u64),
                bought_before: candidates.bought_before.map(|number| number as u64),
                popular: candidates.popular.map(|number| number as u64),
            }),
            items: rules.items.into_iter().map(item_message).collect(),
        }
    }
}

fn item_message(rule: ItemRule) -> Item {
    let ItemRule { column, allow, deny } = rule;
    Item {
        column,
        allow: allow.map(|values| Values {
            values: values.into_iter().map(value).collect(),
        }),
        deny: deny.into_iter().map(value).collect(),
    }
}
