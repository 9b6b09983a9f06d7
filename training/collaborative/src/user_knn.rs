//! UserKNN: nothing is learned but what everybody bought (see [`UserNeighbors`]).

use gondola_models::retrieval::trained::UserNeighbors;

use crate::purchases::Purchases;
use crate::settings::UserKnn;

pub(crate) fn fit(settings: &UserKnn, purchases: &Purchases) -> UserNeighbors {
    let bought = |user: u32| purchases.of_user(user).iter().map(|bought| bought.item).collect();
    let all = (0..purchases.users() as u32).map(bought).collect();
    UserNeighbors::new(purchases.items(), settings.neighbors, all)
}
