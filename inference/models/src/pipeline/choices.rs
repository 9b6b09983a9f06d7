//! With which chance a variant would show what another has shown: the stages of a [request's](super::recommend), up to the draw.

use gondola_request::{UserId, UserState};

use super::recommend::{Wanted, spread};
use super::variant::Variant;
use crate::ordering::{Places, Scored, sound_and_damaged};
use crate::retrieval::SearchError;
use crate::scoring::ScoreError;

/// Why it is not known what a variant would show somebody.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// Nothing was found for the user.
    #[error("retrieval failed")]
    Search(#[from] SearchError),
    /// No candidate has a score.
    #[error("scoring failed")]
    Score(#[from] ScoreError),
}

impl Variant {
    /// Who may stand at each place of lists, of items' rows, that a user was shown, and with which chance this variant would have put it
    /// there: on the processor, with what an online store holds of the user, by the snapshot without. A row that is no candidate has no
    /// chance.
    pub fn choices(
        &self,
        user: &UserId,
        state: Option<&UserState>,
        lists: &[Vec<u32>],
    ) -> Result<Vec<Places>, ChoiceError> {
        let items = self.items.view();
        let wanted = Wanted {
            user,
            state,
            k: self.settings.limit,
        };
        let mut asked = self.know(wanted, &items);
        let found = self.candidates(&asked.user, &asked.rules, &items)?;
        self.keep(&mut asked, Some(found), &items);
        let scored: Vec<Scored> = match asked.kept.is_empty() {
            true => Vec::new(),
            false => sound_and_damaged(self.score(&asked.user, &asked.kept, &items)?).0,
        };
        let places =
            |list: &Vec<u32>| Places::new(self.settings.order, &scored, list, spread(&asked.rules, &items));
        Ok(lists.iter().map(places).collect())
    }
}
