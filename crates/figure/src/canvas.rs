//! A drawing surface measured in CSS pixels.

use std::cell::RefCell;
use std::fmt::Display;

use plotters::coord::Shift;
use plotters::element::{DashedPathElement, Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::palette::Style;
use crate::{Figure, FigureError, Spot};

/// plotters places everything on integer units; four of them to a pixel make flat curves smooth.
const UNITS: f64 = 4.0;
/// plotters' SVG divides font sizes by this.
const FONT_FACTOR: f64 = 1.24;

/// A position, in pixels from the upper left corner.
pub type Place = (f64, f64);

/// A drawing surface.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    spots: RefCell<Vec<Spot>>,
}

/// The style of a text and its alignment at its position.
#[derive(Clone, Copy)]
pub struct Lettering {
    size: f64,
    colour: RGBColor,
    bold: bool,
    upwards: bool,
    across: HPos,
    down: VPos,
}

impl Lettering {
    /// Text of a font size in pixels that starts at its position and is centred on it vertically.
    pub const fn new(size: f64, colour: RGBColor) -> Self {
        Self { size, colour, bold: false, upwards: false, across: HPos::Left, down: VPos::Center }
    }

    /// The same in bold.
    pub const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// The same, centred on its position.
    pub const fn centred(self) -> Self {
        Self { across: HPos::Center, ..self }
    }

    /// The same, ending at its position.
    pub const fn ending(self) -> Self {
        Self { across: HPos::Right, ..self }
    }

    /// The same, below its position.
    pub const fn below(self) -> Self {
        Self { down: VPos::Top, ..self }
    }

    /// The same, rotated to run upwards.
    pub const fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }
}

/// Draws a figure of a size in pixels. Title and description are for screen readers.
pub fn draw(
    (width, height): (f64, f64),
    title: &str,
    description: &str,
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), FigureError>,
) -> Result<Figure, FigureError> {
    let (units_wide, units_high) = ((width * UNITS) as u32, (height * UNITS) as u32);
    let mut body = String::new();
    let spots = {
        let area = SVGBackend::with_string(&mut body, (units_wide, units_high)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let canvas = Canvas { area, spots: RefCell::default() };
        paint(&canvas)?;
        canvas.area.present().map_err(failed)?;
        canvas.spots.into_inner()
    };
    // plotters' own opening tag has the size in its units and no text for a screen reader.
    let body = body.split_once('>').map_or("", |(_, body)| body);
    let (title, description) = (escaped(title), escaped(description));
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {units_wide} {units_high}\" \
         role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<desc>{description}</desc>{body}"
    );
    Ok(Figure { svg, spots })
}

impl<'a> Canvas<'a> {
    fn add<E>(&self, element: E) -> Result<(), FigureError>
    where
        for<'e> &'e E: PointCollection<'e, (i32, i32)>,
        E: Drawable<SVGBackend<'a>>,
    {
        self.area.draw(&element).map_err(failed)
    }

    /// Records the text for a position.
    pub fn spot(&self, (x, y): Place, text: String) {
        self.spots.borrow_mut().push(Spot { x, y, text });
    }

    /// A line through positions.
    pub fn path(&self, places: &[Place], width: f64, colour: RGBAColor) -> Result<(), FigureError> {
        let places: Vec<_> = places.iter().map(|&place| units(place)).collect();
        self.add(PathElement::new(places, colour.stroke_width(length(width))))
    }

    /// A dashed line through positions.
    pub fn dashed(&self, places: &[Place], width: f64, colour: RGBColor) -> Result<(), FigureError> {
        let places: Vec<_> = places.iter().map(|&place| units(place)).collect();
        let (dash, gap) = (length(6.0) as i32, length(4.0) as i32);
        self.add(DashedPathElement::new(places, dash, gap, colour.stroke_width(length(width))))
    }

    /// A scheme's line through positions, with the dashes of its style.
    pub fn line(&self, places: &[Place], width: f64, style: Style) -> Result<(), FigureError> {
        if style.dashes.is_empty() {
            return self.path(places, width, style.colour.to_rgba());
        }
        // plotters supports only one dash and one gap.
        dashes(places, style.dashes).iter().try_for_each(|dash| self.path(dash, width, style.colour.to_rgba()))
    }

    /// A filled area with this outline.
    pub fn area(&self, places: &[Place], colour: RGBAColor) -> Result<(), FigureError> {
        let places: Vec<_> = places.iter().map(|&place| units(place)).collect();
        self.add(Polygon::new(places, colour.filled()))
    }

    /// A circle.
    pub fn ring(&self, centre: Place, radius: f64, width: f64, colour: RGBColor) -> Result<(), FigureError> {
        self.add(Circle::new(units(centre), length(radius), colour.stroke_width(length(width))))
    }

    /// A diagonal cross, `size` from its centre to each side.
    pub fn cross(&self, (x, y): Place, size: f64, width: f64, colour: RGBColor) -> Result<(), FigureError> {
        self.path(&[(x - size, y - size), (x + size, y + size)], width, colour.to_rgba())?;
        self.path(&[(x - size, y + size), (x + size, y - size)], width, colour.to_rgba())
    }

    /// A scheme's mark, as large as a disc of radius `size`.
    pub fn mark(&self, (x, y): Place, size: f64, style: Style) -> Result<(), FigureError> {
        let corners = style.mark.corners();
        if corners.is_empty() {
            return self.add(Circle::new(units((x, y)), length(size), style.colour.filled()));
        }
        let corners: Vec<_> = corners.iter().map(|&(right, down)| (x + right * size, y + down * size)).collect();
        self.area(&corners, style.colour.to_rgba())
    }

    /// A text at a position.
    pub fn text(&self, text: &str, place: Place, lettering: Lettering) -> Result<(), FigureError> {
        let Lettering { size, colour, bold, upwards, across, down } = lettering;
        let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::Name("Helvetica, Arial, sans-serif"), size * FONT_FACTOR * UNITS, style);
        let font = if upwards { font.transform(FontTransform::Rotate270) } else { font };
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(across, down));
        self.add(Text::new(printable(text), units(place), style))
    }
}

/// The pieces of a line that its dashes cover; `pattern` is dash, gap, dash, gap …, in pixels.
fn dashes(places: &[Place], pattern: &[f64]) -> Vec<Vec<Place>> {
    let mut pieces: Vec<Vec<Place>> = vec![];
    let (mut turn, mut left) = (0, pattern[0]);
    pieces.extend(places.first().map(|&first| vec![first]));
    for pair in places.windows(2) {
        let [(x, y), (to_x, to_y)] = [pair[0], pair[1]];
        let length = (to_x - x).hypot(to_y - y);
        let mut gone = 0.0;
        while gone < length {
            let step = left.min(length - gone);
            gone += step;
            left -= step;
            let at = (x + (to_x - x) * gone / length, y + (to_y - y) * gone / length);
            if let Some(piece) = pieces.last_mut().filter(|_| turn % 2 == 0) {
                piece.push(at);
            }
            if left <= 0.0 {
                turn = (turn + 1) % pattern.len();
                left = pattern[turn];
                if turn % 2 == 0 {
                    pieces.push(vec![at]);
                }
            }
        }
    }
    pieces.retain(|piece| piece.len() > 1);
    pieces
}

fn units((x, y): Place) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

fn length(pixels: f64) -> u32 {
    (pixels * UNITS).round() as u32
}

fn failed(error: impl Display) -> FigureError {
    FigureError::Drawing(error.to_string())
}

/// The text without control characters, which XML can't represent.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn escaped(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_by_hand() {
        let pieces = dashes(&[(0.0, 0.0), (4.0, 0.0), (4.0, 6.0)], &[3.0, 2.0]);
        assert_eq!(pieces, [vec![(0.0, 0.0), (3.0, 0.0)], vec![(4.0, 1.0), (4.0, 4.0)]]);
        // A dash continues around a corner.
        let pieces = dashes(&[(0.0, 0.0), (2.0, 0.0), (2.0, 2.0)], &[3.0, 9.0]);
        assert_eq!(pieces, [vec![(0.0, 0.0), (2.0, 0.0), (2.0, 1.0)]]);
        assert!(dashes(&[(1.0, 1.0)], &[3.0, 2.0]).is_empty() && dashes(&[], &[3.0, 2.0]).is_empty());
    }
}
