//! Cutting a grid into cohorts that fit in memory.

use std::num::NonZeroUsize;

use crate::config::bytes::Bytes;
use crate::config::grid::Cell;

/// The memory that a cohort takes, and the memory that is free, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of each run: adapters, gradients, moments, activations of its rows.
    pub bytes_per_run: u64,
    /// Bytes of a cohort for any number of runs: the frozen weights, tables, scratch.
    pub shared_bytes: u64,
    /// Bytes that are free.
    pub available: u64,
    /// Largest number of runs a cohort may have for another reason (a setting, a binding limit).
    pub limit: Option<NonZeroUsize>,
}

/// Not even one run fits in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "one run needs {} beside the {} that a cohort shares, {} together, but only {} may be used. Lower `batch_size`, \
     `tokens` or `rank`, take a smaller base, or raise `memory`.",
    Bytes(*.bytes_per_run), Bytes(*.shared_bytes), Bytes(.shared_bytes.saturating_add(*.bytes_per_run)), Bytes(*.available)
)]
pub struct PackError {
    /// Bytes of a run.
    pub bytes_per_run: u64,
    /// Bytes that all runs share.
    pub shared_bytes: u64,
    /// Bytes that are free.
    pub available: u64,
}

impl Budget {
    /// The number of runs that fit in one cohort, at least 1.
    ///
    /// # Errors
    /// [`PackError`] when not even one run fits.
    pub fn capacity(&self) -> Result<usize, PackError> {
        let &Self { bytes_per_run, shared_bytes, available, limit } = self;
        let refused = PackError { bytes_per_run, shared_bytes, available };
        let left = available.checked_sub(shared_bytes).ok_or(refused)?;
        let fitting = left.checked_div(bytes_per_run).unwrap_or(u64::MAX);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX).min(limit.map_or(usize::MAX, NonZeroUsize::get));
        if fitting == 0 { Err(refused) } else { Ok(fitting) }
    }
}

/// Cuts a grid into cohorts, in order. Cells of one cohort have the same group (equal shapes, whatever decides them);
/// each group is cut into as few cohorts as fit, of sizes that differ by at most one: even cohorts take no longer
/// than full ones with a rest, and need less memory.
///
/// # Errors
/// [`PackError`] when not even one run fits.
pub fn pack<Group: PartialEq>(
    cells: &[Cell],
    group: impl Fn(&Cell) -> Group,
    budget: &Budget,
) -> Result<Vec<Vec<Cell>>, PackError> {
    let capacity = budget.capacity()?;
    let mut groups: Vec<(Group, Vec<Cell>)> = Vec::new();
    for cell in cells {
        let of_cell = group(cell);
        match groups.iter_mut().find(|(of_group, _)| *of_group == of_cell) {
            Some((_, members)) => members.push(cell.clone()),
            None => groups.push((of_cell, vec![cell.clone()])),
        }
    }
    let mut cohorts = Vec::new();
    for (_, members) in groups {
        let number = members.len().div_ceil(capacity);
        let (size, larger) = (members.len() / number, members.len() % number);
        let mut members = members.into_iter();
        for index in 0..number {
            cohorts.push(members.by_ref().take(size + usize::from(index < larger)).collect());
        }
    }
    Ok(cohorts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(schemes: &[&str], rates: usize) -> Vec<Cell> {
        let schemes: Vec<_> = schemes.iter().map(|&scheme| scheme.to_owned()).collect();
        let rates: Vec<_> = (1..=rates).map(|rate| rate as f64).collect();
        Cell::grid(&schemes, &rates, &[0, 1])
    }

    fn budget(bytes_per_run: u64, available: u64, limit: usize) -> Budget {
        Budget { bytes_per_run, shared_bytes: 100, available, limit: NonZeroUsize::new(limit) }
    }

    #[test]
    fn cohorts_by_hand() {
        let cells = grid(&["a", "b"], 7);
        let sizes = |budget: Budget| -> Vec<usize> {
            pack(&cells, |_| (), &budget).expect("one fits").iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(budget(10, 1000, 0)), [28]);
        assert_eq!(sizes(budget(10, 260, 0)), [14, 14]);
        assert_eq!(sizes(budget(10, 210, 0)), [10, 9, 9]);
        assert_eq!(sizes(budget(10, 1000, 27)), [14, 14]);
        assert_eq!(sizes(budget(0, 100, 0)), [28]);
    }

    #[test]
    fn groups_are_kept_apart() {
        let cells = grid(&["a", "b", "c"], 2);
        let cohorts = pack(&cells, |cell| cell.scheme == "c", &budget(1, 103, 0)).expect("one fits");
        assert_eq!(cohorts.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2, 2, 2]);
        assert!(cohorts[..3].iter().flatten().all(|cell| cell.scheme != "c"));
        assert!(cohorts[3..].iter().flatten().all(|cell| cell.scheme == "c"));
    }

    #[test]
    fn any_packing_holds_every_cell_once_in_order_and_within_the_budget() {
        for rates in 0..6 {
            for capacity in 1..9 {
                let cells = grid(&["a", "b"], rates);
                let budget = budget(7, 100 + 7 * capacity + 3, 0);
                let cohorts = pack(&cells, |cell| cell.scheme.clone(), &budget).expect("one fits");
                assert_eq!(cohorts, pack(&cells, |cell| cell.scheme.clone(), &budget).expect("one fits"));
                assert!(cohorts.iter().all(|cohort| !cohort.is_empty() && cohort.len() as u64 <= capacity));
                for scheme in ["a", "b"] {
                    let of_scheme = |cell: &&Cell| cell.scheme == scheme;
                    let packed: Vec<_> = cohorts.iter().flatten().filter(of_scheme).collect();
                    assert_eq!(packed, cells.iter().filter(of_scheme).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_run_that_does_not_fit_is_a_sentence_with_numbers() {
        let budget = Budget { bytes_per_run: 3 << 20, shared_bytes: 2 << 20, available: 4 << 20, limit: None };
        assert_eq!(
            pack(&grid(&["a"], 1), |_| (), &budget).expect_err("5 MiB do not fit in 4").to_string(),
            "one run needs 3 MiB beside the 2 MiB that a cohort shares, 5 MiB together, but only 4 MiB may be used. Lower \
             `batch_size`, `tokens` or `rank`, take a smaller base, or raise `memory`."
        );
        let short = Budget { available: 1, ..budget };
        assert!(short.capacity().is_err());
        let endless = Budget { bytes_per_run: u64::MAX, ..budget };
        assert!(endless.capacity().expect_err("it cannot fit").to_string().contains("GiB together"));
    }
}
