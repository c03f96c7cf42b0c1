//! A sheet to draw on, measured in CSS pixels.

use std::cell::RefCell;
use std::fmt::Display;

use plotters::coord::Shift;
use plotters::element::{DashedPathElement, Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::palette::{Look, Mark};
use crate::{Figure, FigureError, Spot};

/// plotters places everything on whole units; four of them to a pixel make slow curves smooth.
const UNITS: f64 = 4.0;
/// plotters' SVG writes a font size divided by this.
const FONT_FACTOR: f64 = 1.24;

/// A place, in pixels from the upper left corner.
pub type Place = (f64, f64);

/// A sheet to draw on.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    spots: RefCell<Vec<Spot>>,
}

/// How a text looks and how it hangs on its point.
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
    /// Text of a size in pixels that begins at its point and is centred on it vertically.
    pub const fn new(size: f64, colour: RGBColor) -> Self {
        Self { size, colour, bold: false, upwards: false, across: HPos::Left, down: VPos::Center }
    }

    /// In bold letters.
    pub const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// Centred on its point.
    pub const fn centred(self) -> Self {
        Self { across: HPos::Center, ..self }
    }

    /// Ending at its point.
    pub const fn ending(self) -> Self {
        Self { across: HPos::Right, ..self }
    }

    /// Below its point.
    pub const fn below(self) -> Self {
        Self { down: VPos::Top, ..self }
    }

    /// Running upwards.
    pub const fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }
}

/// Draws a figure of a size in pixels. Title and description are for those who cannot see it.
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
    // plotters' own opening tag would give the size in its units and no words for a screen reader.
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

    /// Says what a place shows.
    pub fn spot(&self, (x, y): Place, text: String) {
        self.spots.borrow_mut().push(Spot { x, y, text });
    }

    /// A line through places.
    pub fn path(&self, places: &[Place], width: f64, colour: RGBAColor) -> Result<(), FigureError> {
        let places: Vec<_> = places.iter().map(|&place| units(place)).collect();
        self.add(PathElement::new(places, colour.stroke_width(length(width))))
    }

    /// A dashed line through places.
    pub fn dashed(&self, places: &[Place], width: f64, colour: RGBColor) -> Result<(), FigureError> {
        let places: Vec<_> = places.iter().map(|&place| units(place)).collect();
        let (dash, gap) = (length(6.0) as i32, length(4.0) as i32);
        self.add(DashedPathElement::new(places, dash, gap, colour.stroke_width(length(width))))
    }

    /// A filled area within places.
    pub fn area(&self, places: &[Place], colour: RGBAColor) -> Result<(), FigureError> {
        let places: Vec<_> = places.iter().map(|&place| units(place)).collect();
        self.add(Polygon::new(places, colour.filled()))
    }

    /// A circle of a radius.
    pub fn ring(&self, centre: Place, radius: f64, width: f64, colour: RGBColor) -> Result<(), FigureError> {
        self.add(Circle::new(units(centre), length(radius), colour.stroke_width(length(width))))
    }

    /// A diagonal cross, `size` from its centre to each side.
    pub fn cross(&self, (x, y): Place, size: f64, width: f64, colour: RGBColor) -> Result<(), FigureError> {
        self.path(&[(x - size, y - size), (x + size, y + size)], width, colour.to_rgba())?;
        self.path(&[(x - size, y + size), (x + size, y - size)], width, colour.to_rgba())
    }

    /// A scheme's mark of a size like a disc of that radius.
    pub fn mark(&self, (x, y): Place, size: f64, look: Look) -> Result<(), FigureError> {
        let corners: &[Place] = match look.mark {
            Mark::Disc => return self.add(Circle::new(units((x, y)), length(size), look.colour.filled())),
            Mark::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Mark::Triangle => &[(0.0, -1.25), (1.15, 0.8), (-1.15, 0.8)],
            Mark::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        };
        let corners: Vec<_> = corners.iter().map(|&(right, down)| (x + right * size, y + down * size)).collect();
        self.area(&corners, look.colour.to_rgba())
    }

    /// A text at a place.
    pub fn text(&self, text: &str, place: Place, lettering: Lettering) -> Result<(), FigureError> {
        let Lettering { size, colour, bold, upwards, across, down } = lettering;
        let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::Name("Helvetica, Arial, sans-serif"), size * FONT_FACTOR * UNITS, style);
        let font = if upwards { font.transform(FontTransform::Rotate270) } else { font };
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(across, down));
        self.add(Text::new(printable(text), units(place), style))
    }
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

/// XML has no way to write control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn escaped(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
