//! Who bought what, by user and by item.

use gondola_models::features::History;
use gondola_models::features::groups::Groups;
use gondola_models::retrieval::trained::Bought;

/// Who bought an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Buyer {
    /// The user.
    pub user: u32,
    /// How often.
    pub count: f32,
    /// Days since the last time.
    pub days_since_last: f32,
}

/// Who bought what: the items that enough users bought, by positions of their own.
#[derive(Debug)]
pub struct Purchases {
    rows: Vec<u32>,
    by_user: Groups<Bought>,
    by_item: Groups<Buyer>,
}

impl Purchases {
    /// What `users` users bought of a catalog of `items` rows, of those that `fewest_buyers` or more bought, the most bought first.
    pub fn of(history: &History, users: usize, items: usize, fewest_buyers: usize) -> Self {
        let mut buyers = vec![0usize; items];
        for purchase in (0..users).flat_map(|user| history.of(user)) {
            buyers[purchase.item as usize] += 1;
        }
        let enough = |row: &u32| buyers[*row as usize] >= fewest_buyers.max(1);
        let mut rows: Vec<u32> = (0..items as u32).filter(enough).collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(buyers[*row as usize]), *row));
        Self::of_rows(history, users, items, rows)
    }

    /// The same of these rows, in this order.
    pub(crate) fn of_rows(history: &History, users: usize, items: usize, rows: Vec<u32>) -> Self {
        let mut positions = vec![None; items];
        for (position, row) in (0..).zip(&rows) {
            positions[*row as usize] = Some(position);
        }
        let mut by_user = Vec::new();
        for user in 0..users {
            let known = history.of(user).iter().filter_map(|purchase| {
                Some(Bought {
                    item: positions[purchase.item as usize]?,
                    count: purchase.purchases,
                    days_since_last: purchase.days_since_last,
                })
            });
            let mut bought: Vec<Bought> = known.collect();
            bought.sort_unstable_by_key(|bought| bought.item);
            by_user.extend(bought.into_iter().map(|bought| (user as u32, bought)));
        }
        let by_item = |(user, bought): &(u32, Bought)| {
            let buyer = Buyer {
                user: *user,
                count: bought.count,
                days_since_last: bought.days_since_last,
            };
            (bought.item, buyer)
        };
        let mut buyers: Vec<(u32, Buyer)> = by_user.iter().map(by_item).collect();
        buyers.sort_unstable_by_key(|(item, buyer)| (*item, buyer.user));
        Self {
            by_item: Groups::new(rows.len(), buyers),
            by_user: Groups::new(users, by_user),
            rows,
        }
    }

    /// The catalog's row of each item.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The same, where nothing else of it is needed.
    pub fn into_rows(self) -> Vec<u32> {
        self.rows
    }

    /// How many items there are.
    pub fn items(&self) -> usize {
        self.rows.len()
    }

    /// How many users there are, also of those who bought nothing of it.
    pub fn users(&self) -> usize {
        self.by_user.count()
    }

    /// What a user bought, in the order of the items.
    pub fn of_user(&self, user: u32) -> &[Bought] {
        self.by_user.of(user as usize)
    }

    /// Who bought an item, in the order of the users.
    pub fn of_item(&self, item: u32) -> &[Buyer] {
        self.by_item.of(item as usize)
    }
}
