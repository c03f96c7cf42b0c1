//! Colours and marks that distinguish schemes, also for readers who don't see colours.

use plotters::style::RGBColor;

/// Text and the frame of a plot.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Secondary text.
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
    /// An upright square.
    Square,
    /// A triangle pointing up.
    Triangle,
    /// A square standing on a corner.
    Diamond,
}

impl Mark {
    /// The corners of the shape around (0, 0), as large as a disc of radius 1; empty for a disc.
    pub fn corners(self) -> &'static [(f64, f64)] {
        match self {
            Mark::Disc => &[],
            Mark::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Mark::Triangle => &[(0.0, -1.25), (1.15, 0.8), (-1.15, 0.8)],
            Mark::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        }
    }
}

/// The colour, mark and dashes of a scheme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Its colour.
    pub colour: RGBColor,
    /// Its mark.
    pub mark: Mark,
    /// Dashes and gaps of its line, in pixels, where others cross it; empty for a solid line.
    pub dashes: &'static [f64],
}

/// The style with this index; 28 differ.
pub fn style(place: usize) -> Style {
    const MARKS: [Mark; 4] = [Mark::Disc, Mark::Square, Mark::Triangle, Mark::Diamond];
    const DASHES: [&[f64]; 4] = [&[], &[7.0, 3.0], &[2.0, 2.5], &[9.0, 3.0, 2.0, 3.0]];
    Style {
        colour: COLOURS[place % COLOURS.len()],
        // Seven colours and four marks have no common factor, so stepping through both lists gives every pair.
        mark: MARKS[place % MARKS.len()],
        dashes: DASHES[place / COLOURS.len() % DASHES.len()],
    }
}

/// Every scheme in the order of styles: a scheme styles the same in every figure and table, whatever is beside it. The schemes compared most often come first,
/// since within the first seven styles each has a colour of its own; seven further on, one has the same colour and another mark and dash. New schemes go to the end.
pub const SCHEMES: [&str; 28] = [
    "init-a",
    "init-b",
    "init-ab",
    "pissa",
    "eva",
    "lora-ga",
    "lora-one",
    "hrp",
    "init-ab-subtract",
    "orthogonal",
    "olora",
    "milora",
    "corda-ipm",
    "corda-kpm",
    "mica",
    "init-a-kaiming",
    "init-b-kaiming",
    "nora",
    "loftq-nf4",
    "loftq-int8",
    "sylvester-pca",
    "sylvester-labels",
    "activation-shift",
    "lora-ga-peft",
    "pissa-niter-4",
    "peft-default",
    "peft-gaussian",
    "peft-false",
];

/// The index of a scheme's style. An unlisted scheme, as of another version, shares the style of a listed one, always the same.
pub fn place_of(scheme: &str) -> usize {
    SCHEMES.iter().position(|known| *known == scheme).unwrap_or_else(|| {
        // FNV-1a.
        let hash =
            scheme.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash as usize % SCHEMES.len()
    })
}

/// The style of a scheme.
pub fn style_of(scheme: &str) -> Style {
    style(place_of(scheme))
}

/// A scheme's mark in its colour, as shapes of SVG around (0, 0) with a radius of about 1.
pub fn mark_of(scheme: &str) -> String {
    let Style { colour: RGBColor(red, green, blue), mark, .. } = style_of(scheme);
    let fill = format!("fill=\"#{red:02x}{green:02x}{blue:02x}\"");
    match mark.corners() {
        [] => format!("<circle r=\"1\" {fill}/>"),
        corners => {
            let points: Vec<String> = corners.iter().map(|(x, y)| format!("{x},{y}")).collect();
            format!("<polygon points=\"{}\" {fill}/>", points.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_eight_looks_differ() {
        for first in 0..28 {
            for second in 0..first {
                let (one, other) = (style(first), style(second));
                assert_ne!((one.colour, one.mark), (other.colour, other.mark), "{first} and {second}");
                // Schemes of one colour have different dashes.
                assert!(one.colour != other.colour || one.dashes != other.dashes, "{first} and {second}");
            }
        }
    }

    #[test]
    fn a_scheme_has_one_look() {
        let colour = |scheme: &str| style_of(scheme).colour;
        assert_eq!((colour("init-a"), colour("init-b")), (COLOURS[0], COLOURS[1]));
        for (place, scheme) in SCHEMES.iter().enumerate() {
            assert_eq!(place_of(scheme), place, "{scheme} is listed twice");
        }
        assert_eq!(place_of("of-tomorrow"), place_of("of-tomorrow"));
        assert_eq!(mark_of("init-a"), "<circle r=\"1\" fill=\"#0072b2\"/>");
        assert!(mark_of("init-b").starts_with("<polygon points=\"-0.9,-0.9 "));
    }
}
