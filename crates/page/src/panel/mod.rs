//! The panels of the page, each a function from what is known to HTML. A button names its action in `data-do`.

mod check;
mod form;
mod grid;
mod inside;
mod presets;
mod starts;
mod take_away;
mod writing;

pub use check::check;
pub use form::{Field, Form, OWN_TEXT, SHIPPED, names_of_fields};
pub(crate) use grid::fate;
pub use grid::{cell_words, grid, schemes};
pub use inside::{adapter_options, adapters_table, features_table, inside_words};
pub use presets::presets;
pub use starts::{starts_layers, starts_table, starts_words};
pub use take_away::{Taken, take_away};
pub use writing::{Written, writing};
