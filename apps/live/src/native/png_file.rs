//! Pictures as PNG, and animations as APNG of 255 colors.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use color_quant::NeuQuant;
use png::{BlendOp, ColorType, Compression, Encoder};

/// Pixels of a picture, RGBA of eight bits.
pub type Pixels = Vec<u8>;

fn failed(path: &Path) -> impl Fn(&dyn std::fmt::Display) -> String {
    move |error| format!("{} could not be written: {error}", path.display())
}

fn encoder(
    path: &Path,
    [width, height]: [u32; 2],
    color: ColorType,
) -> Result<Encoder<'static, BufWriter<File>>, String> {
    let file = File::create(path).map_err(|error| failed(path)(&error))?;
    let mut encoder = Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(color);
    encoder.set_compression(Compression::High);
    Ok(encoder)
}

/// Writes a picture.
///
/// # Errors
/// A message if the file cannot be written.
pub fn write_picture(path: &Path, size: [u32; 2], picture: &Pixels) -> Result<(), String> {
    let write = |encoder: Encoder<'_, _>| {
        let mut writer = encoder.write_header()?;
        writer.write_image_data(picture)?;
        writer.finish()
    };
    write(encoder(path, size, ColorType::Rgba)?).map_err(|error| failed(path)(&error))
}

/// Number of colors, and the index of pixels that stay as they are.
const COLORS: usize = 255;
/// Number of pictures from which the colors are chosen.
const CHOICE: usize = 8;

/// Writes `pictures`, of which `rate` are shown in a second.
///
/// # Errors
/// A message if the file cannot be written.
pub fn write_animation(path: &Path, size: [u32; 2], pictures: &[Pixels], rate: u16) -> Result<(), String> {
    let few: Pixels = pictures.iter().step_by(pictures.len().div_ceil(CHOICE)).flatten().copied().collect();
    let colors = NeuQuant::new(10, COLORS, &few);
    let mut palette = colors.color_map_rgb();
    palette.extend([0; 3]);
    let mut opacity = vec![255; COLORS];
    opacity.push(0);
    let write = |mut encoder: Encoder<'_, _>| {
        encoder.set_palette(palette);
        encoder.set_trns(opacity);
        encoder.set_animated(pictures.len() as u32, 0)?;
        encoder.set_frame_delay(1, rate)?;
        encoder.set_blend_op(BlendOp::Over)?;
        let mut writer = encoder.write_header()?;
        let mut index_of = HashMap::new();
        let mut shown = Vec::new();
        for picture in pictures {
            let indices: Vec<u8> = picture
                .chunks(4)
                .map(|pixel| *index_of.entry(pixel).or_insert_with(|| colors.index_of(pixel) as u8))
                .collect();
            writer.write_image_data(&changed(&shown, &indices))?;
            shown = indices;
        }
        writer.finish()
    };
    write(encoder(path, size, ColorType::Indexed)?).map_err(|error| failed(path)(&error))
}

/// `indices` without those that are `shown` already.
fn changed(shown: &[u8], indices: &[u8]) -> Vec<u8> {
    let mut changed = indices.to_vec();
    changed.iter_mut().zip(shown).filter(|(new, old)| new == old).for_each(|(new, _)| *new = COLORS as u8);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_an_animation_add_up_to_the_pictures() {
        // The upper and the lower half.
        let pictures: Vec<Pixels> = [[90, 80], [90, 10], [200, 10]]
            .map(|halves| halves.map(|value| [value, value, 1, 255].repeat(1000)).concat())
            .into();
        let size = [50, 40];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        write_animation(&path, size, &pictures, 8).unwrap();
        let mut decoder = png::Decoder::new(std::io::BufReader::new(File::open(&path).unwrap()));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames, 3);
        let mut shown = vec![0; 8000];
        let mut kept = 0;
        for picture in &pictures {
            let mut frame = vec![0; 8000];
            reader.next_frame(&mut frame).unwrap();
            for (pixel, new) in shown.chunks_mut(4).zip(frame.chunks(4)) {
                if new[3] == 0 {
                    kept += 1;
                } else {
                    pixel.copy_from_slice(new);
                }
            }
            assert!(shown.iter().zip(picture).all(|(a, b): (&u8, &u8)| a.abs_diff(*b) < 6));
        }
        assert_eq!(kept, 2000);
        let missing = write_animation(&folder.path().join("no/a.png"), size, &pictures, 8).unwrap_err();
        assert!(missing.contains("a.png"));
    }
}
