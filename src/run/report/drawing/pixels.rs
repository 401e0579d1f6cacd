//! Many values as one small image: an embedded PNG with one pixel per value.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::scale::Scale;
use crate::plot_style::Fault;

/// Hue of positive values of a signed scale, `--plus` in `page.css`.
const PLUS: [u8; 3] = [210, 85, 45];
/// Hue of the other values, `--minus` in `page.css`.
const MINUS: [u8; 3] = [40, 120, 200];

/// Number of palette colors on each side of the middle, which is zero.
const SIDE: usize = 127;

/// PNG of `values`, in rows of `columns`, in the colors of `scale`, as a `data:` URL. Opacities have 127 steps per
/// sign, or 254 steps without signs. The page decodes the values from them.
///
/// # Errors
/// Those of the PNG encoder.
pub(in super::super) fn address(values: &[f64], columns: usize, scale: &Scale) -> Result<String, Fault> {
    let steps = if scale.signed { SIDE } else { 2 * SIDE };
    let middle = if scale.signed { SIDE } else { 0 };
    let index = |value: &f64| {
        let step = (scale.opacity(*value) * steps as f64).round() as usize;
        (if scale.signed && *value < 0.0 { middle - step } else { middle + step }) as u8
    };
    let indices: Vec<u8> = values.iter().map(index).collect();
    let colors = 0..=2 * SIDE;
    let hue = |at: usize| if scale.signed && at > middle { PLUS } else { MINUS };
    let palette: Vec<u8> = colors.clone().flat_map(hue).collect();
    let opacities: Vec<u8> = colors.map(|at| (at.abs_diff(middle) * 2 * SIDE / steps) as u8).collect();

    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns as u32, (values.len() / columns) as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.set_trns(opacities);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&indices)?;
    writer.finish()?;
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(address: &str) -> (u32, u32, Vec<u8>) {
        let bytes = BASE64_STANDARD.decode(address.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.color_type, png::ColorType::Rgba);
        (info.width, info.height, pixels)
    }

    #[test]
    fn pixels_are_the_numbers() {
        let scale = Scale::signed([1.0]);
        let (width, height, pixels) = pixels(&address(&[1.0, -1.0, 0.0, 0.5, -0.5, f64::NAN], 3, &scale).unwrap());
        assert_eq!((width, height), (3, 2));
        let [r, g, b] = PLUS;
        assert_eq!(pixels[..4], [r, g, b, 254]);
        assert_eq!(pixels[4..7], MINUS);
        assert_eq!([pixels[7], pixels[11], pixels[15], pixels[19], pixels[23]], [254, 0, 128, 128, 0]);
    }

    #[test]
    fn numbers_without_signs_have_the_whole_palette() {
        let (.., pixels) = pixels(&address(&[0.0, 0.5, 1.0, 1e9], 2, &Scale::positive([1.0])).unwrap());
        assert_eq!([pixels[3], pixels[7], pixels[11], pixels[15]], [0, 127, 254, 254]);
    }
}
