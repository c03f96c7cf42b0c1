//! Numbers that flags take, each with the sentence of what it must be.

/// Sizes beyond this belong to no model this command could train; below it, no product of sizes overflows.
const LARGEST_SIZE: usize = 1 << 16;

/// Reads a size of a model.
pub fn size(text: &str) -> Result<usize, String> {
    let sized = text.parse().ok().filter(|size| (1..=LARGEST_SIZE).contains(size));
    sized.ok_or_else(|| format!("it must be a whole number from 1 to {LARGEST_SIZE}"))
}

/// Reads a whole number above 0.
pub fn at_least_1(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a whole number of at least 1".to_owned())
}

/// Reads a positive number that f32 can hold.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| *x > 0.0 && (*x as f32).is_normal());
    number.ok_or_else(|| {
        "it must be a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)".to_owned()
    })
}

/// Reads a number of at least 0 that f32 can hold.
pub fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| *x >= 0.0 && (*x as f32).is_finite());
    number.ok_or_else(|| {
        "it must be a number of at least 0 and within the range of 32-bit floats (up to 3.4e38)".to_owned()
    })
}
