//! Several data sets together: Borda's count. On each, a model gets a point for every model that it stands above; points are summed.

use std::collections::{BTreeMap, BTreeSet};

use super::Scoreboard;
use crate::report::Table;

/// A model and its points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Points {
    /// The model, with its maker.
    pub name: String,
    /// Its place on each data set, from 1, in their order.
    pub places: Vec<usize>,
    /// The sum over the data sets.
    pub points: usize,
}

/// The points of the models that are on every board, the most first.
pub fn count(boards: &[Scoreboard]) -> Vec<Points> {
    let names = |board: &Scoreboard| -> Vec<String> {
        let standings = board.standings.iter();
        standings
            .map(|standing| format!("{} ({})", standing.name, standing.maker))
            .collect()
    };
    let all: Vec<Vec<String>> = boards.iter().map(names).collect();
    let sets = all
        .iter()
        .map(|names| names.iter().cloned().collect::<BTreeSet<_>>());
    let common = sets.reduce(|one, other| &one & &other).unwrap_or_default();
    let mut places: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
    for names in &all {
        let ranked = names.iter().filter(|name| common.contains(*name));
        for (name, place) in ranked.zip(1..) {
            places.entry(name).or_default().push(place);
        }
    }
    let points = |(name, places): (&String, Vec<usize>)| Points {
        name: name.clone(),
        points: places.iter().map(|place| common.len() - place).sum(),
        places,
    };
    let mut counted: Vec<Points> = places.into_iter().map(points).collect();
    counted.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.name.cmp(&b.name)));
    counted
}

/// The count as lines of text.
pub fn text(boards: &[Scoreboard]) -> String {
    let row = |points: Points| {
        let places = points.places.iter().map(ToString::to_string);
        let places = places.collect::<Vec<_>>().join(", ");
        vec![points.name, points.points.to_string(), places]
    };
    let table = Table {
        head: vec!["model", "points", "places"],
        rows: count(boards).into_iter().map(row).collect(),
    };
    let sets: Vec<&str> = boards.iter().map(|board| board.dataset.as_str()).collect();
    format!(
        "Borda count by nDCG@10 over {}\n\n{}",
        sets.join(", "),
        table.text()
    )
}

#[cfg(test)]
mod tests {
    use super::super::standing::Standing;
    use super::*;

    fn board(names: &[&str]) -> Scoreboard {
        let standing = |name: &&str| Standing {
            name: (*name).to_owned(),
            maker: "gondola".to_owned(),
            ..Standing::default()
        };
        Scoreboard {
            dataset: "a shop".to_owned(),
            task: String::new(),
            verdict: String::new(),
            standings: names.iter().map(standing).collect(),
            missing: Vec::new(),
            machine: String::new(),
        }
    }

    #[test]
    fn a_model_gets_a_point_for_each_that_it_stands_above_of_those_that_are_everywhere() {
        let boards = [board(&["a", "x", "b", "c"]), board(&["b", "a", "c"])];
        let points: Vec<(String, usize)> = count(&boards).into_iter().map(|p| (p.name, p.points)).collect();
        let expected = [("a (gondola)", 3), ("b (gondola)", 3), ("c (gondola)", 0)];
        assert_eq!(points, expected.map(|(name, points)| (name.to_owned(), points)));
        assert!(text(&boards).contains("1, 2"));
    }
}
