//! Copies between host and device while submissions are in flight: staging buffers, rings of steps, and downloads.

mod download;
mod ring;
mod staging;

pub(crate) use download::Download;
pub(crate) use ring::{Arrived, StepRing};
pub(crate) use staging::Staging;
