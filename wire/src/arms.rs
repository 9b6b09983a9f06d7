//! The arms of an experiment: the control, and the treatments that are held against it.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize, Serializer};

/// Something of each arm. As JSON, a list that the control leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<T>")]
pub struct PerArm<T> {
    /// The control's.
    pub control: T,
    treatments: Vec<T>,
}

/// A treatment arm, by its place among the treatments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Treatment(usize);

/// Why a list is not of arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmsError {
    /// It is empty.
    #[error("a list of arms is empty; the control comes first in it")]
    NoControl,
}

impl Treatment {
    /// The first one: there always is one.
    pub const FIRST: Self = Self(0);

    /// The treatment at a place in a list of treatments alone.
    pub fn among_treatments(place: usize) -> Self {
        Self(place)
    }

    /// The treatment at a place in a list of all arms, which the control leads; `None` for the control.
    pub fn among_arms(place: usize) -> Option<Self> {
        place.checked_sub(1).map(Self)
    }
}

impl<T> PerArm<T> {
    /// From a list that the control leads; `None` where that is empty.
    pub fn from_list(list: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut list = list.into_iter();
        Some(Self {
            control: list.next()?,
            treatments: list.collect(),
        })
    }

    /// How many arms there are.
    pub fn count(&self) -> usize {
        1 + self.treatments.len()
    }

    /// Each arm's, the control's first.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        std::iter::once(&self.control).chain(&self.treatments)
    }

    /// Each arm's to be changed, the control's first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        std::iter::once(&mut self.control).chain(&mut self.treatments)
    }

    /// Each treatment's.
    pub fn treatments(&self) -> impl Iterator<Item = (Treatment, &T)> {
        let places = (0..self.treatments.len()).map(Treatment);
        places.zip(&self.treatments)
    }

    /// A treatment's, if there is one at this place.
    pub fn get(&self, arm: Treatment) -> Option<&T> {
        self.treatments.get(arm.0)
    }

    /// What follows from each arm's.
    pub fn map<U>(&self, of: impl FnMut(&T) -> U) -> PerArm<U> {
        let mut all = self.iter().map(of);
        PerArm {
            control: all.next().expect("the control comes first"),
            treatments: all.collect(),
        }
    }
}

impl<T> Index<Treatment> for PerArm<T> {
    type Output = T;

    fn index(&self, arm: Treatment) -> &T {
        &self.treatments[arm.0]
    }
}

/// By the place among all arms; the control's is 0.
impl<T> Index<usize> for PerArm<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        match Treatment::among_arms(place) {
            None => &self.control,
            Some(arm) => &self[arm],
        }
    }
}

impl<T> IndexMut<usize> for PerArm<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        match Treatment::among_arms(place) {
            None => &mut self.control,
            Some(arm) => &mut self.treatments[arm.0],
        }
    }
}

/// A control and its only treatment.
impl<T> From<[T; 2]> for PerArm<T> {
    fn from([control, treatment]: [T; 2]) -> Self {
        Self {
            control,
            treatments: vec![treatment],
        }
    }
}

impl<T> TryFrom<Vec<T>> for PerArm<T> {
    type Error = ArmsError;

    fn try_from(list: Vec<T>) -> Result<Self, ArmsError> {
        Self::from_list(list).ok_or(ArmsError::NoControl)
    }
}

impl<T: Serialize> Serialize for PerArm<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_a_list_that_the_control_leads() {
        let mut arms: PerArm<u64> = serde_json::from_str("[5,7,9]").unwrap();
        assert_eq!((arms.control, arms[0], arms[2], arms.count()), (5, 5, 9, 3));
        assert_eq!(arms[Treatment::FIRST], 7);
        arms[1] += 1;
        assert_eq!(serde_json::to_string(&arms).unwrap(), "[5,8,9]");
        let refused = serde_json::from_str::<PerArm<u64>>("[]").unwrap_err();
        assert!(refused.to_string().contains("list of arms is empty"), "{refused}");
    }
}
