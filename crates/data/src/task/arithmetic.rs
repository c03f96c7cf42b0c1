//! Small sums.

use loralab_linalg::Draws;

/// Both summands are below this.
const BOUND: u32 = 50;

/// `3+14=` → `17`
pub(super) fn example(draws: &mut Draws) -> (String, String) {
    let (left, right) = (draws.below(BOUND), draws.below(BOUND));
    (format!("{left}+{right}="), (left + right).to_string())
}
