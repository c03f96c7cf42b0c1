//! Colours and marks that tell schemes apart, also without seeing colours.

use plotters::style::RGBColor;

/// Text and the frame of a plot.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Text of second rank.
pub const GREY: RGBColor = RGBColor(0x5a, 0x5a, 0x5a);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);

/// Okabe and Ito, "Color Universal Design" (2008), ordered so that the first few differ most; their yellow, too light
/// for a line on white, is left out.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
];

/// The shape of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A disc.
    Disc,
    /// A square on its side.
    Square,
    /// A triangle pointing up.
    Triangle,
    /// A square on its corner.
    Diamond,
}

/// How a scheme looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Its colour.
    pub colour: RGBColor,
    /// Its mark.
    pub mark: Mark,
}

/// The look of the scheme at a place in the list; 28 differ.
pub fn look(place: usize) -> Look {
    const MARKS: [Mark; 4] = [Mark::Disc, Mark::Square, Mark::Triangle, Mark::Diamond];
    // Seven colours and four marks have no common factor, so walking both lists meets every pair.
    Look { colour: COLOURS[place % COLOURS.len()], mark: MARKS[place % MARKS.len()] }
}

/// The colour of the scheme at a place in the list, as CSS has it: `#0072b2`.
pub fn colour_of(place: usize) -> String {
    let RGBColor(red, green, blue) = look(place).colour;
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_eight_looks_differ() {
        for first in 0..28 {
            for second in 0..first {
                assert_ne!(look(first), look(second), "{first} and {second}");
            }
        }
    }
}
