//! The arms of an experiment: the control, and the treatments that are held against it.

use std::ops::Index;

/// Something of each arm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerArm<T> {
    /// The control's.
    pub control: T,
    treatments: Vec<T>,
}

/// A treatment arm, by its place among the treatments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Treatment(usize);

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
