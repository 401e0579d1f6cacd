//! Reading of several ranges through one staging buffer, in pieces: within frames, without waiting, or blocking.

use crate::error::Result;
use crate::gpu::device::STAGING_BYTES;
use crate::gpu::{Gpu, Staging, View};

/// Copies of ranges of views to the host. An encoder of a frame copies at most one piece.
pub(crate) struct Download {
    gpu: Gpu,
    staging: Staging,
    capacity: u64,
    /// Views with the number of their first words that are read.
    ranges: Vec<(View, usize)>,
    /// Words that have arrived.
    words: Vec<u32>,
    /// Words in flight.
    in_flight: u64,
}

impl Download {
    /// Creates the staging buffer, for pieces of `capacity` words.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(gpu: &Gpu, capacity: u64) -> Result<Self> {
        let capacity = capacity.max(1);
        let staging = Staging::to_host(gpu, "ketformer.download", capacity)?;
        Ok(Self { gpu: gpu.clone(), staging, capacity, ranges: Vec::new(), words: Vec::new(), in_flight: 0 })
    }

    /// Begins to read `ranges`.
    pub(crate) fn begin(&mut self, ranges: Vec<(View, usize)>) {
        (self.ranges, self.words) = (ranges, Vec::new());
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Number of words of all ranges.
    fn total(&self) -> usize {
        self.ranges.iter().map(|(_, words)| words).sum()
    }

    /// Encodes the copy of the next piece, if the one before it has arrived.
    pub(crate) fn encode(&mut self, encoder: &mut wgpu::CommandEncoder) {
        let begin = self.words.len() as u64;
        let end = (self.total() as u64).min(begin + self.capacity);
        if self.in_flight > 0 || begin == end {
            return;
        }
        let mut at = 0;
        for (view, words) in &self.ranges {
            let (first, last) = (begin.max(at), end.min(at + *words as u64));
            if first < last {
                self.staging.copy_from(encoder, view, first - at, (first - begin, last - first));
            }
            at += *words as u64;
        }
        self.staging.map_on_submit(encoder);
        self.in_flight = end - begin;
    }

    /// Returns the words of each range if all have arrived.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn poll(&mut self) -> Result<Option<Vec<Vec<u32>>>> {
        if self.in_flight > 0 && self.staging.is_settled() {
            let words = &mut self.words;
            self.staging.read(&self.gpu, |piece| words.extend(&piece[..self.in_flight as usize]))?;
            self.in_flight = 0;
        }
        if self.words.len() < self.total() {
            return Ok(None);
        }
        let mut rest = &self.words[..];
        let split = |(_, words): &(View, usize)| {
            let (these, after) = rest.split_at(*words);
            rest = after;
            these.to_vec()
        };
        let all = self.ranges.iter().map(split).collect();
        self.begin(Vec::new());
        Ok(Some(all))
    }
}

impl Gpu {
    /// Waits for the GPU and returns the words of each of `ranges`, views with the number of their first words.
    ///
    /// # Errors
    /// As [`View::read`].
    pub(crate) fn read_ranges(&self, ranges: Vec<(View, usize)>) -> Result<Vec<Vec<u32>>> {
        let total = ranges.iter().map(|(_, words)| *words as u64).sum::<u64>();
        let mut download = Download::new(self, total.min(STAGING_BYTES / 4))?;
        download.begin(ranges);
        loop {
            if let Some(words) = download.poll()? {
                return Ok(words);
            }
            let mut encoder = self.device().create_command_encoder(&Default::default());
            download.encode(&mut encoder);
            let submission = self.queue().submit([encoder.finish()]);
            self.wait(Some(submission))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_arrive_in_pieces() {
        let gpu = Gpu::new().unwrap();
        let values = |first: u32| (first..first + 10).collect::<Vec<u32>>();
        let buffers = [0, 100, 200].map(|first| gpu.upload("values", &values(first)).unwrap());
        let mut download = Download::new(&gpu, 4).unwrap();
        download.begin(vec![(buffers[0].view(), 3), (buffers[1].view(), 10), (buffers[2].view(), 1)]);
        let (mut frames, mut arrived) = (0, None);
        while arrived.is_none() {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            download.encode(&mut encoder);
            gpu.queue().submit([encoder.finish()]);
            gpu.wait(None).unwrap();
            arrived = download.poll().unwrap();
            frames += 1;
        }
        assert_eq!(frames, 4);
        let expected = [values(0)[..3].to_vec(), values(100), vec![200]];
        assert_eq!(arrived.unwrap(), expected);
        let ranges = vec![(buffers[0].view(), 3), (buffers[1].view(), 10), (buffers[2].view(), 1)];
        assert_eq!(gpu.read_ranges(ranges).unwrap(), expected);
        assert_eq!(gpu.read_ranges(Vec::new()).unwrap(), Vec::<Vec<u32>>::new());
    }
}
