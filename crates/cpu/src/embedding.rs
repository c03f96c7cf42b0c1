//! Table lookup by token.

use crate::{Scalar, Weights};

/// `y` (N, width): row n is row `tokens[n]` of `table` (V, width), times `scale`.
///
/// `scratch` holds one row at a time if the table must be decoded.
///
/// # Panics
/// If a token is not below V, or `y` is not (N, width).
pub fn forward<S: Scalar>(
    tokens: &[u32],
    table: Weights<'_, S>,
    width: usize,
    scale: S,
    y: &mut [S],
    scratch: &mut Vec<S>,
) {
    assert_eq!(y.len(), tokens.len() * width, "y must be (N, width)");
    for (n, &token) in tokens.iter().enumerate() {
        let start = token as usize * width;
        let row = table.slice(start..start + width).decode(scratch);
        let y = &mut y[n * width..(n + 1) * width];
        if scale == S::ONE {
            y.copy_from_slice(row);
        } else {
            y.iter_mut().zip(row).for_each(|(y, &x)| *y = x * scale);
        }
    }
}

/// `dtable` (V, width): row `tokens[n]` += row n of `dy` (N, width) times `scale`, in the order of n.
///
/// # Panics
/// If a token is not below V, or `dy` is not (N, width).
pub fn backward<S: Scalar>(tokens: &[u32], width: usize, scale: S, dy: &[S], dtable: &mut [S]) {
    assert_eq!(dy.len(), tokens.len() * width, "dy must be (N, width)");
    for (n, &token) in tokens.iter().enumerate() {
        let start = token as usize * width;
        let row = &mut dtable[start..start + width];
        for (dtable, &dy) in row.iter_mut().zip(&dy[n * width..]) {
            *dtable += dy * scale;
        }
    }
}
