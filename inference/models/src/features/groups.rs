//! Values of numbered things, each with as many as it has: what users bought, which items are neighbors.

/// Values by group, one slice a group.
#[derive(Debug)]
pub struct Groups<T> {
    /// Where each group begins; one more than there are groups.
    starts: Vec<u32>,
    values: Vec<T>,
}

impl<T> Default for Groups<T> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<T> Groups<T> {
    /// Takes (group, value) of `count` groups, sorted by group. Panics on a group past the last, as a slice does.
    pub fn new(count: usize, rows: Vec<(u32, T)>) -> Self {
        let mut starts = vec![0; count + 1];
        for (group, _) in &rows {
            starts[*group as usize + 1] += 1;
        }
        for group in 0..count {
            starts[group + 1] += starts[group];
        }
        Self {
            starts,
            values: rows.into_iter().map(|(_, value)| value).collect(),
        }
    }

    /// Takes where each group begins, one more than there are groups, and all values; none where these don't fit together.
    pub fn of_starts(starts: Vec<u32>, values: Vec<T>) -> Option<Self> {
        let fit = starts.first() == Some(&0)
            && starts.is_sorted()
            && starts.last().is_some_and(|end| *end as usize == values.len());
        fit.then_some(Self { starts, values })
    }

    /// How many groups there are.
    pub fn count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Where each group begins; one more than there are groups.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The values of all groups, one group after the other.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// No values yet, of `count` groups.
    pub(super) fn empty(count: usize) -> GroupsInOrder<T> {
        GroupsInOrder {
            count,
            starts: vec![0],
            values: Vec::new(),
        }
    }

    /// The values of a group; none for one that is not there.
    pub fn of(&self, group: usize) -> &[T] {
        match (self.starts.get(group), self.starts.get(group + 1)) {
            (Some(start), Some(end)) => &self.values[*start as usize..*end as usize],
            _ => &[],
        }
    }
}

/// Groups whose values come in order, so that none is held twice while they are read.
#[derive(Debug)]
pub(super) struct GroupsInOrder<T> {
    count: usize,
    /// Where the groups until the current one begin.
    starts: Vec<u32>,
    values: Vec<T>,
}

impl<T> GroupsInOrder<T> {
    /// Adds a value to a group; false if the group is past the last, or before that of the value before.
    #[must_use]
    pub(super) fn push(&mut self, group: u32, value: T) -> bool {
        let group = group as usize;
        if group >= self.count || group + 1 < self.starts.len() {
            return false;
        }
        self.begin(group);
        self.values.push(value);
        true
    }

    /// The groups with what was added.
    pub(super) fn finish(mut self) -> Groups<T> {
        self.begin(self.count);
        let Self { starts, values, .. } = self;
        Groups { starts, values }
    }

    fn begin(&mut self, group: usize) {
        let here = self.values.len() as u32;
        self.starts.resize(group + 1, here);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_own_values_and_one_that_is_not_there_has_none() {
        let groups = Groups::new(3, vec![(0, 'a'), (2, 'b'), (2, 'c')]);
        assert_eq!(groups.of(0), ['a']);
        assert!(groups.of(1).is_empty());
        assert_eq!(groups.of(2), ['b', 'c']);
        assert!(groups.of(3).is_empty());
        assert!(Groups::<char>::default().of(0).is_empty());
    }

    #[test]
    fn starts_that_do_not_fit_the_values_make_no_groups() {
        let groups = Groups::of_starts(vec![0, 1, 1, 3], vec!['a', 'b', 'c']).unwrap();
        assert_eq!((groups.count(), groups.of(2)), (3, &['b', 'c'][..]));
        for starts in [vec![], vec![1, 3], vec![0, 2, 1, 3], vec![0, 2]] {
            assert!(Groups::of_starts(starts, vec!['a', 'b', 'c']).is_none());
        }
    }

    #[test]
    fn values_that_come_in_order_are_grouped_as_they_come() {
        let mut groups = Groups::empty(4);
        for (group, value) in [(0, 'a'), (2, 'b'), (2, 'c')] {
            assert!(groups.push(group, value));
        }
        assert!(!groups.push(1, 'd'), "after group 2");
        assert!(!groups.push(4, 'd'), "past the last group");
        let groups = groups.finish();
        let all: Vec<&[char]> = (0..5).map(|group| groups.of(group)).collect();
        assert_eq!(all, [&['a'][..], &[], &['b', 'c'], &[], &[]]);
    }
}
