//! Which of our models take part in a comparison.

use gondola_collaborative::space::Space;

use crate::dataset::training::Scorer;
use crate::publish::TWO_TOWER;

/// Our models that take part.
#[derive(Debug)]
pub struct Entrants {
    /// Models of who buys what, in all their forms.
    pub spaces: Vec<Space>,
    /// The two towers, alone.
    pub towers: bool,
    /// The scorers of whole pipelines.
    pub scorers: Vec<Scorer>,
}

/// A name that none of our models has.
#[derive(Debug, thiserror::Error)]
#[error("--models names {name:?}, which none of our models is called; there are {}", there.join(", "))]
pub struct NoModel {
    name: String,
    there: Vec<&'static str>,
}

impl Entrants {
    /// The models of these bundles. Where none is named: all models of who buys what, the towers, and the pipelines of `usual` scorers.
    pub fn named(bundles: &[String], usual: &[Scorer]) -> Result<Self, NoModel> {
        let mut spaces = Space::all();
        if bundles.is_empty() {
            return Ok(Self {
                spaces,
                towers: true,
                scorers: usual.to_vec(),
            });
        }
        let mut there: Vec<&'static str> = spaces.iter().map(|space| space.bundle).collect();
        there.dedup();
        there.push(TWO_TOWER);
        there.extend(Scorer::ALL.map(Scorer::bundle));
        if let Some(name) = bundles.iter().find(|name| !there.contains(&name.as_str())) {
            return Err(NoModel {
                name: name.clone(),
                there,
            });
        }
        let is_named = |bundle: &str| bundles.iter().any(|name| name == bundle);
        spaces.retain(|space| is_named(space.bundle));
        let scorers = Scorer::ALL.into_iter();
        Ok(Self {
            spaces,
            towers: is_named(TWO_TOWER),
            scorers: scorers.filter(|scorer| is_named(scorer.bundle())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(entrants: &Entrants) -> Vec<&'static str> {
        entrants.spaces.iter().map(|space| space.title).collect()
    }

    #[test]
    fn a_name_chooses_a_model_in_all_its_forms_and_an_unknown_one_is_told() {
        let usual = [Scorer::Dlrm, Scorer::Forest];
        let chosen = ["ease", "sasrec", "two-tower", "boosting"].map(str::to_owned);
        let chosen = Entrants::named(&chosen, &usual).unwrap();
        assert_eq!(
            titles(&chosen),
            ["EASE^R", "EASE^R with recency", "SASRec", "SASRec with drift"]
        );
        assert_eq!(
            (chosen.towers, &chosen.scorers[..]),
            (true, &[Scorer::Boosting][..])
        );
        let all = Entrants::named(&[], &usual).unwrap();
        assert_eq!(all.spaces.len(), Space::all().len());
        assert_eq!((all.towers, &all.scorers[..]), (true, &usual[..]));
        let refused = Entrants::named(&["easy".to_owned()], &usual)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("\"easy\"")
                && refused.contains("popularity, item-knn")
                && refused.contains("two-tower, dlrm"),
            "{refused}"
        );
    }
}
