//! Who gets what: evenly, by hashes that know nothing of each other.

use gondola_experiments::assignment::{Allocation, Arm, Assignment};
use gondola_wire::buckets::{BUCKETS, Buckets};

use super::Lines;

const UNITS: usize = 200_000;

pub(super) fn check(lines: &mut Lines) -> anyhow::Result<()> {
    let arms = |weights: &[u32]| -> Vec<Arm> {
        let named = weights.iter().enumerate();
        named
            .map(|(place, weight)| Arm {
                name: format!("arm-{place}"),
                weight: *weight,
            })
            .collect()
    };
    let first = Assignment::new("shop/home/first", &arms(&[50, 50]))?;
    let second = Assignment::new("shop/home/second", &arms(&[34, 33, 33]))?;
    let mut table = [[0_u64; 3]; 2];
    for unit in 0..UNITS {
        let id = format!("member-{unit}");
        table[first.assign(&id).arm][second.assign(&id).arm] += 1;
    }
    let rows = table.map(|row| row.iter().sum::<u64>());
    let columns: Vec<u64> = (0..3).map(|column| table[0][column] + table[1][column]).collect();
    let expected = |row: u64, column: u64| row as f64 * column as f64 / UNITS as f64;
    let squares = |found: u64, expected: f64| (found as f64 - expected).powi(2) / expected;
    let independence: f64 = (0..2)
        .flat_map(|row| (0..3).map(move |column| (row, column)))
        .map(|(row, column)| squares(table[row][column], expected(rows[row], columns[column])))
        .sum();
    // The quantile at 0.999 of chi-square with 2 degrees of freedom is 13.8, with 1 it is 10.8.
    lines.line(
        independence < 13.8,
        "two experiments are independent",
        format!("chi-square {independence:.2} of a table {table:?}, below 13.8"),
    );
    let even: f64 = rows.iter().map(|row| squares(*row, UNITS as f64 / 2.0)).sum();
    lines.line(
        even < 10.8,
        "arms are even",
        format!("chi-square {even:.2} of {rows:?}, below 10.8"),
    );
    let few = first.clone().with_traffic(Buckets::new(500));
    let many = first.with_traffic(Buckets::new(5000));
    let moved = (0..UNITS)
        .map(|unit| format!("member-{unit}"))
        .filter(|id| few.assign(id).enrolled() && few.assign(id) != many.assign(id))
        .count();
    lines.line(
        moved == 0,
        "raising coverage from 5 % to 50 % moves who takes part",
        format!("{moved} of {UNITS}"),
    );
    for (from, to) in [
        ([90, 10, 0], [50, 50, 0]),
        ([80, 10, 10], [60, 20, 20]),
        ([50, 30, 20], [30, 30, 40]),
    ] {
        let (before, target) = (Allocation::new(&from)?, Allocation::new(&to)?);
        let after = before.reallocate(&to)?;
        let size = |allocation: &Allocation, arm| {
            (0..BUCKETS)
                .filter(|bucket| allocation.arm(*bucket) == arm)
                .count()
        };
        let least: usize = (0..3)
            .map(|arm| size(&target, arm).saturating_sub(size(&before, arm)))
            .sum();
        let moved = (0..BUCKETS)
            .filter(|bucket| before.arm(*bucket) != after.arm(*bucket))
            .count();
        lines.line(
            moved == least,
            &format!("weights {from:?} to {to:?} move the fewest buckets"),
            format!("{moved} of {BUCKETS}, at least {least}"),
        );
    }
    Ok(())
}
