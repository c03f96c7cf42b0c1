//! Small sums.

use loralab_linalg::Draws;

use super::Example;

/// Both summands are below this.
const BOUND: u32 = 50;

/// `3+14=` → `17`
pub(super) fn example(draws: &mut Draws) -> Example {
    let (left, right) = (draws.below(BOUND), draws.below(BOUND));
    Example::new(format!("{left}+{right}="), (left + right).to_string())
}
