//! The panels of the page, each a function from what is known to HTML. What is pressed names what it does in `data-do`.

mod check;
mod form;
mod grid;
mod presets;
mod take_away;
mod writing;

pub use check::check;
pub use form::{Field, Form, GROUPS, OWN_TEXT};
pub use grid::{grid, schemes};
pub use presets::presets;
pub use take_away::{Taken, take_away};
pub use writing::{Written, writing};
