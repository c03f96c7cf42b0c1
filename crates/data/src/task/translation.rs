//! A sentence of the little world, and the same in the [target dialect](Dialect::target).

use loralab_linalg::Draws;

use crate::task::dialect::Dialect;
use crate::world;

/// `Anna took the red cup.>` → `Anna taket ze ret cup.`
pub(super) fn example(draws: &mut Draws) -> (String, String) {
    let sentence = world::sentence(draws);
    let completion = Dialect::target().respell(&sentence);
    (sentence + ">", completion)
}
