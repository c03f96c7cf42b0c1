//! Pictures of few colours, which take little room: a page has a hundred that matter, and letters' edges are the rest.

use std::{collections::HashMap, io::Cursor};

use anyhow::{Context, Result, ensure};
use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Filter};

/// Colours of a picture with a byte for each pixel.
const MOST: usize = 256;

type Colour = [u8; 3];

/// The picture, a PNG, in its most frequent colours; a pixel of another gets the nearest.
pub fn few(png: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Decoder::new(Cursor::new(png)).read_info().context("the picture is no PNG")?;
    let mut pixels = vec![0; reader.output_buffer_size().context("the picture is too large")?];
    let info = reader.next_frame(&mut pixels)?;
    let channels = match (info.color_type, info.bit_depth) {
        (ColorType::Rgb, BitDepth::Eight) => 3,
        (ColorType::Rgba, BitDepth::Eight) => 4,
        other => anyhow::bail!("the picture's pixels are {other:?}, but three or four bytes each were expected"),
    };
    let colours: Vec<Colour> = pixels.chunks_exact(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let (palette, places) = indexed(&colours);
    ensure!(places.len() == (info.width * info.height) as usize, "the picture is not whole");
    let mut small = Vec::new();
    let mut encoder = Encoder::new(&mut small, info.width, info.height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(Compression::High);
    encoder.set_filter(Filter::NoFilter);
    encoder.write_header()?.write_image_data(&places)?;
    Ok(small)
}

/// The most frequent colours, and for each pixel the place of its own or of the nearest.
fn indexed(pixels: &[Colour]) -> (Vec<Colour>, Vec<u8>) {
    let mut counts = HashMap::<Colour, usize>::new();
    for colour in pixels {
        *counts.entry(*colour).or_default() += 1;
    }
    let mut colours: Vec<(Colour, usize)> = counts.into_iter().collect();
    // Of equally frequent ones the darker, so that the same picture gives the same file.
    colours.sort_by_key(|&(colour, count)| (std::cmp::Reverse(count), colour));
    let palette: Vec<Colour> = colours.iter().take(MOST).map(|(colour, _)| *colour).collect();
    let far = |one: &Colour, other: &Colour| -> u32 {
        one.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(*other)).pow(2)).sum()
    };
    let place = |colour: &Colour| {
        let nearest = palette.iter().zip(0u8..=u8::MAX).min_by_key(|(known, _)| far(known, colour));
        nearest.map_or(0, |(_, place)| place)
    };
    let places: HashMap<Colour, u8> = colours.iter().map(|(colour, _)| (*colour, place(colour))).collect();
    let indices = pixels.iter().map(|colour| places[colour]).collect();
    (palette, indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_kept_and_of_many_the_nearest_is_taken() {
        let pixels = [[0, 0, 0], [255, 255, 255], [255, 255, 255]];
        assert_eq!(indexed(&pixels), (vec![[255, 255, 255], [0, 0, 0]], vec![1, 0, 0]));
        // 300 greens, of which 256 are there twice.
        let green = |k: u16| [u8::try_from(k / 256).unwrap_or(0), u8::try_from(k % 256).unwrap_or(0), 0];
        let pixels: Vec<Colour> = (0..300).chain(0..256).map(green).collect();
        let (palette, places) = indexed(&pixels);
        assert_eq!((palette.len(), palette[usize::from(places[7])]), (256, [0, 7, 0]));
        assert_eq!(palette[usize::from(places[299])], [0, 43, 0]);
    }

    #[test]
    fn a_picture_stays_what_it_was() {
        let pixels: Vec<u8> = [[9, 8, 7, 255], [1, 2, 3, 255]].repeat(8).concat();
        let mut png = Vec::new();
        let mut encoder = Encoder::new(&mut png, 4, 4);
        encoder.set_color(ColorType::Rgba);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels)).expect("it is a picture");
        let small = few(&png).expect("it is a picture");
        let mut decoder = Decoder::new(Cursor::new(&small));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("it is a picture");
        let mut read = vec![0; 4 * 4 * 3];
        reader.next_frame(&mut read).expect("it is whole");
        assert_eq!(read, [[9, 8, 7], [1, 2, 3]].repeat(8).concat());
        assert!(few(b"what").is_err());
    }
}
