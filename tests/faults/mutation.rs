//! Random damage of files.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Random numbers of the fault with this number.
pub fn random(fault: u64) -> SmallRng {
    SmallRng::seed_from_u64(fault)
}

/// Returns `bytes` with one to three random changes. They are those of disks and transfers (bits, lost and doubled
/// ranges, zeros), of editors (line ends, words, numbers) and of programs that were killed (ends cut off).
pub fn damaged(bytes: &[u8], random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..=3) {
        change(&mut bytes, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let length = bytes.len();
    if length == 0 {
        bytes.extend((0..random.random_range(1..64)).map(|_| random.random::<u8>()));
        return;
    }
    let at = random.random_range(0..length);
    let end = (at + random.random_range(1..=64)).min(length);
    match random.random_range(0..12) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let doubled = bytes[at..end].to_vec();
            bytes.splice(at..at, doubled);
        }
        5 => bytes[at..end].fill(0),
        6 => bytes.extend((0..random.random_range(1..64)).map(|_| random.random::<u8>())),
        7 => drop(bytes.drain(..at)),
        8 => *bytes = text_with(bytes, |text| text.replace('\n', "\r\n")),
        9 => {
            let number = *pick(&["-1", "0", "1e999", "18446744073709551616", "NaN", "null", "\"\"", "1e-320"], random);
            *bytes = text_with(bytes, |text| replaced(text, number, random));
        }
        10 => *bytes = text_with(bytes, |text| line_moved(text, random)),
        _ => {
            // The length of the header of a safetensors file.
            let header: u64 = *pick(&[0, 1, 7, u64::MAX, 1 << 40, 100_000_000], random);
            let count = length.min(8);
            bytes[..count].copy_from_slice(&header.to_le_bytes()[..count]);
        }
    }
}

fn pick<'a, T>(all: &'a [T], random: &mut SmallRng) -> &'a T {
    &all[random.random_range(0..all.len())]
}

/// Text after `edit`; bytes that are not text remain.
fn text_with(bytes: &[u8], edit: impl FnOnce(&str) -> String) -> Vec<u8> {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.to_vec(), |text| edit(text).into_bytes())
}

/// Text with one of its numbers replaced.
fn replaced(text: &str, number: &str, random: &mut SmallRng) -> String {
    let starts: Vec<usize> = (1..text.len())
        .filter(|at| {
            let (before, here) = (text.as_bytes()[at - 1], text.as_bytes()[*at]);
            here.is_ascii_digit() && !before.is_ascii_alphanumeric() && before != b'.'
        })
        .collect();
    if starts.is_empty() {
        return text.into();
    }
    let start = *pick(&starts, random);
    let rest = text[start..].trim_start_matches(|c: char| c.is_ascii_digit() || ".e+-".contains(c));
    format!("{}{number}{rest}", &text[..start])
}

/// Text with one of its lines moved, doubled or removed.
fn line_moved(text: &str, random: &mut SmallRng) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return text.into();
    }
    let line = *pick(&lines, random);
    if random.random() {
        let from = random.random_range(0..lines.len());
        lines.remove(from);
    }
    if random.random() {
        let to = random.random_range(0..=lines.len());
        lines.insert(to, line);
    }
    lines.join("\n") + "\n"
}
