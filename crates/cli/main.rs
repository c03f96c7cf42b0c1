//! loralab
fn main() {}
