//! What a customer is about to buy.

use gondola_request::ItemId;

use crate::money::Cents;

/// Most lines of a basket: baskets live in memory.
pub const MAX_LINES: usize = 50;
/// Most of one product.
pub const MAX_QUANTITY: u32 = 20;

/// Some of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which product.
    pub item: ItemId,
    /// How many, at least one.
    pub quantity: u32,
    /// What one of it costs.
    pub price: Cents,
    /// The answer that it was found in, if it was.
    pub request: Option<String>,
}

impl Line {
    /// What all of it costs.
    pub fn total(&self) -> Cents {
        self.price.times(self.quantity)
    }
}

/// Lines, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basket {
    lines: Vec<Line>,
}

/// Why nothing was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasketError {
    /// There are too many lines.
    #[error("the basket holds {MAX_LINES} products at most; take one out first")]
    Full,
    /// There are too many of this product.
    #[error("the basket has {MAX_QUANTITY} of this product already, which is the most")]
    Most,
}

impl Basket {
    /// Its lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many things are in it.
    pub fn count(&self) -> u32 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    /// What all of it costs.
    pub fn total(&self) -> Cents {
        self.lines.iter().map(Line::total).sum()
    }

    /// Adds one of a product.
    pub fn add(&mut self, item: &ItemId, price: Cents, request: Option<String>) -> Result<(), BasketError> {
        if let Some(line) = self.lines.iter_mut().find(|line| line.item == *item) {
            if line.quantity >= MAX_QUANTITY {
                return Err(BasketError::Most);
            }
            line.quantity += 1;
            return Ok(());
        }
        if self.lines.len() >= MAX_LINES {
            return Err(BasketError::Full);
        }
        self.lines.push(Line {
            item: item.clone(),
            quantity: 1,
            price,
            request,
        });
        Ok(())
    }

    /// Changes how many of a product there are, [`MAX_QUANTITY`] at most; none takes it out. What is not in the basket stays out.
    pub fn set(&mut self, item: &ItemId, quantity: u32) {
        for line in self.lines.iter_mut().filter(|line| line.item == *item) {
            line.quantity = quantity.min(MAX_QUANTITY);
        }
        self.lines.retain(|line| line.quantity > 0);
    }

    /// Takes everything out.
    pub fn take(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(items: &[(&str, u64)]) -> Basket {
        let mut basket = Basket::default();
        for (item, cents) in items {
            basket.add(&ItemId::from(*item), Cents(*cents), None).unwrap();
        }
        basket
    }

    #[test]
    fn a_product_that_is_added_twice_is_one_line_of_two() {
        let basket = filled(&[("milk", 269), ("eggs", 109), ("milk", 269)]);
        assert_eq!((basket.lines().len(), basket.count()), (2, 3));
        assert_eq!(basket.total(), Cents(2 * 269 + 109));
    }

    #[test]
    fn a_quantity_can_be_changed_and_none_takes_the_line_out() {
        let mut basket = filled(&[("milk", 269), ("eggs", 109)]);
        basket.set(&"milk".into(), 4);
        assert_eq!(basket.total(), Cents(4 * 269 + 109));
        basket.set(&"milk".into(), 0);
        basket.set(&"bread".into(), 3);
        assert_eq!((basket.count(), basket.total()), (1, Cents(109)));
        basket.set(&"eggs".into(), 1_000);
        assert_eq!(basket.count(), MAX_QUANTITY);
        assert_eq!(
            basket.add(&"eggs".into(), Cents(109), None),
            Err(BasketError::Most)
        );
    }

    #[test]
    fn a_basket_is_full_at_some_point_and_empty_after_it_was_taken() {
        let mut basket = Basket::default();
        for item in 0..MAX_LINES {
            basket
                .add(&item.to_string().as_str().into(), Cents(1), None)
                .unwrap();
        }
        assert_eq!(basket.add(&"more".into(), Cents(1), None), Err(BasketError::Full));
        assert_eq!(basket.take().len(), MAX_LINES);
        assert_eq!((basket.count(), basket.total()), (0, Cents(0)));
    }
}
