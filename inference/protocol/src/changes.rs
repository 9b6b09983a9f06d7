//! Changes as messages, and back.

use gondola_request::{
    self as request, Interaction as RequestInteraction, ItemPatch, ItemUpdate, Moment, PurchaseUpdate,
    UserUpdate,
};

use crate::conversion::{features, row, same};
use crate::proto::change::Change as Kind;
use crate::proto::{
    ApplyChangesResponse, Change, DeleteItem, DeleteRules, DeleteUser, Interaction, InteractionType,
    PatchItem, Purchase, PurchaseHistory, PutItemRequest, PutUserRequest, RefusedChange,
};
use crate::service::{self, ChangeReceipt, Code};

/// Why a message is no change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoChange {
    /// It has none of the kinds that we know.
    #[error("the change is empty, or of a kind that this release does not know; set one of its fields")]
    Empty,
    /// An interaction without its type.
    #[error(
        "the interaction has no type, or one that this release does not know; set it, for example to INTERACTION_TYPE_VIEW"
    )]
    NoType,
}

impl TryFrom<Change> for request::Change {
    type Error = NoChange;

    fn try_from(message: Change) -> Result<Self, NoChange> {
        Ok(match message.change.ok_or(NoChange::Empty)? {
            Kind::PutUser(put) => {
                let (user, update) = user_update(put);
                Self::PutUser { user, update }
            }
            Kind::PatchUser(patch) => {
                let (user, update) = user_update(patch);
                Self::PatchUser { user, update }
            }
            Kind::DeleteUser(DeleteUser { user }) => Self::DeleteUser { user: user.into() },
            Kind::PutItem(put) => put.into(),
            Kind::PatchItem(PatchItem {
                item,
                features,
                blocked,
            }) => Self::PatchItem {
                item: item.into(),
                update: ItemPatch {
                    features: row(features),
                    blocked,
                },
            },
            Kind::DeleteItem(DeleteItem { item }) => Self::DeleteItem { item: item.into() },
            Kind::Interaction(interaction) => Self::Interaction(interaction.try_into()?),
            Kind::PutRules(rules) => Self::PutRules(rules.into()),
            Kind::DeleteRules(DeleteRules {}) => Self::DeleteRules,
        })
    }
}

impl From<request::Change> for Change {
    fn from(change: request::Change) -> Self {
        let kind = match change {
            request::Change::PutUser { user, update } => Kind::PutUser(user_message(&user, update)),
            request::Change::PatchUser { user, update } => Kind::PatchUser(user_message(&user, update)),
            request::Change::DeleteUser { user } => Kind::DeleteUser(DeleteUser {
                user: user.as_str().to_owned(),
            }),
            request::Change::PutItem { item, update } => Kind::PutItem(PutItemRequest {
                item: item.as_str().to_owned(),
                features: features(update.features),
                blocked: update.blocked,
            }),
            request::Change::PatchItem { item, update } => Kind::PatchItem(PatchItem {
                item: item.as_str().to_owned(),
                features: features(update.features),
                blocked: update.blocked,
            }),
            request::Change::DeleteItem { item } => Kind::DeleteItem(DeleteItem {
                item: item.as_str().to_owned(),
            }),
            request::Change::Interaction(interaction) => Kind::Interaction(interaction.into()),
            request::Change::PutRules(rules) => Kind::PutRules(rules.into()),
            request::Change::DeleteRules => Kind::DeleteRules(DeleteRules {}),
        };
        Self { change: Some(kind) }
    }
}

impl From<PutItemRequest> for request::Change {
    fn from(put: PutItemRequest) -> Self {
        Self::PutItem {
            item: put.item.into(),
            update: ItemUpdate {
                features: row(put.features),
                blocked: put.blocked,
            },
        }
    }
}

impl From<PutUserRequest> for request::Change {
    fn from(put: PutUserRequest) -> Self {
        let (user, update) = user_update(put);
        Self::PutUser { user, update }
    }
}

fn user_update(message: PutUserRequest) -> (request::UserId, UserUpdate) {
    let PutUserRequest {
        user,
        features,
        history,
    } = message;
    let purchase = |purchase: Purchase| PurchaseUpdate {
        item: purchase.item.into(),
        purchases: purchase.purchases,
        days_since_last: purchase.days_since_last,
        recent_purchases: purchase.recent_purchases,
    };
    let history = history.map(|history| history.purchases.into_iter().map(purchase).collect());
    let update = UserUpdate {
        features: row(features),
        history,
    };
    (user.into(), update)
}

fn user_message(user: &request::UserId, update: UserUpdate) -> PutUserRequest {
    let purchase = |purchase: PurchaseUpdate| Purchase {
        item: purchase.item.as_str().to_owned(),
        purchases: purchase.purchases,
        days_since_last: purchase.days_since_last,
        recent_purchases: purchase.recent_purchases,
    };
    PutUserRequest {
        user: user.as_str().to_owned(),
        features: features(update.features),
        history: update.history.map(|history| PurchaseHistory {
            purchases: history.into_iter().map(purchase).collect(),
        }),
    }
}

same!(
    InteractionType = request::InteractionKind {
        View,
        Click,
        Basket,
        Purchase,
        Dislike
    }
);

impl TryFrom<Interaction> for RequestInteraction {
    type Error = NoChange;

    fn try_from(message: Interaction) -> Result<Self, NoChange> {
        let kind: Option<request::InteractionKind> = message.r#type().into();
        Ok(Self {
            kind: kind.ok_or(NoChange::NoType)?,
            event_id: message.event_id,
            user: message.user.into(),
            item: message.item.into(),
            event_time: message.event_time.map(Moment),
            price: message.price,
            unit: message.unit,
            request_id: message.request_id,
        })
    }
}

impl From<RequestInteraction> for Interaction {
    fn from(interaction: RequestInteraction) -> Self {
        Self {
            event_id: interaction.event_id,
            user: interaction.user.as_str().to_owned(),
            item: interaction.item.as_str().to_owned(),
            r#type: InteractionType::from(interaction.kind).into(),
            event_time: interaction.event_time.map(|Moment(at)| at),
            price: interaction.price,
            unit: interaction.unit,
            request_id: interaction.request_id,
        }
    }
}

impl From<ChangeReceipt> for ApplyChangesResponse {
    fn from(receipt: ChangeReceipt) -> Self {
        let refused = |refused: service::RefusedChange| RefusedChange {
            index: refused.index as u32,
            code: tonic::Code::from(refused.code) as u32,
            problem: refused.problem,
        };
        Self {
            taken: receipt.taken as u32,
            duplicates: receipt.duplicates as u32,
            refused: receipt.refused.into_iter().map(refused).collect(),
        }
    }
}

impl From<ApplyChangesResponse> for ChangeReceipt {
    fn from(response: ApplyChangesResponse) -> Self {
        let refused = |refused: RefusedChange| service::RefusedChange {
            index: refused.index as usize,
            code: Code::from(tonic::Code::from(refused.code as i32)),
            problem: refused.problem,
        };
        Self {
            taken: response.taken as usize,
            duplicates: response.duplicates as usize,
            refused: response.refused.into_iter().map(refused).collect(),
        }
    }
}
