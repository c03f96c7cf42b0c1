//! The schemes that the form offers.

use serde::{Deserialize, Serialize};

/// A scheme, as a person who chooses needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemeInfo {
    /// Its name.
    pub name: String,
    /// A description in one line.
    pub about: String,
    /// The paper it comes from.
    pub source: String,
}

/// Every scheme there is, in the order in which a person sees them.
///
/// The list is a copy of the core's, since the code that comes with that is the worker's and arrives later. A test holds the two equal, and writes the copy.
pub fn schemes() -> Vec<SchemeInfo> {
    serde_json::from_str(include_str!("schemes.json")).expect("a test reads the same file")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_can_be_read() {
        assert!(super::schemes().iter().any(|scheme| scheme.name == "init-a"));
    }
}
