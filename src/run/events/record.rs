//! Record of a TensorBoard event file: an event as a protocol buffer, framed as a TFRecord.
//!
//! The messages are the subset of TensorBoard's `event.proto` and `summary.proto` that scalars need. A record is
//!
//! ```text
//! u64 length · u32 masked CRC of the length · the data · u32 masked CRC of the data        (little endian)
//! masked = rotate_right(CRC-32C, 15) + 0xa282ead8
//! ```
//!
//! according to "TFRecords format details" of TensorFlow's guide.

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

/// CRC-32C (Castagnoli polynomial), also called CRC-32/ISCSI.
const CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// `Event`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// Content of an event.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum What {
    /// The first record of every file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Scalars),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// `Summary`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scalars {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Scalar>,
}

/// `Summary.Value` with a `simple_value`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scalar {
    #[prost(string, tag = "1")]
    pub tag: String,
    /// Optional because it is part of a `oneof` in the original message: a zero must be written too.
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
}

/// `SessionLog`
#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    #[prost(enumeration = "SessionStatus", tag = "1")]
    pub status: i32,
}

/// `SessionLog.SessionStatus`
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum SessionStatus {
    Unspecified = 0,
    Start = 1,
}

/// Encoded record of an event.
pub(super) fn record(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), &data, &masked_crc(&data)].concat()
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    CRC_32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Events of a file; an incomplete last record is ignored.
///
/// # Panics
/// On a wrong checksum.
#[cfg(test)]
pub(super) fn read(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let Some((of_length, rest)) = rest.split_first_chunk::<4>() else { break };
        assert_eq!(of_length, &masked_crc(length));
        let Some((data, rest)) = rest.split_at_checked(u64::from_le_bytes(*length) as usize) else { break };
        let Some((of_data, rest)) = rest.split_first_chunk::<4>() else { break };
        assert_eq!(of_data, &masked_crc(data));
        events.push(Event::decode(data).unwrap());
        bytes = rest;
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Event {
        Event { wall_time: 1.5, step: 0, what: Some(What::FileVersion("brain.Event:2".into())) }
    }

    fn start() -> Event {
        let session = SessionLog { status: SessionStatus::Start.into() };
        Event { wall_time: 1.5, step: 8, what: Some(What::SessionLog(session)) }
    }

    fn scalars() -> Event {
        let scalar = |tag: &str, value| Scalar { tag: tag.into(), simple_value: Some(value) };
        let values = vec![scalar("energy/per_site", -0.5), scalar("training/accepted", 0.0)];
        Event { wall_time: 2.0, step: 300, what: Some(What::Summary(Scalars { values })) }
    }

    #[test]
    fn checksums_are_those_of_the_castagnoli_polynomial() {
        // RFC 3720, appendix B.4, and the check value of the RevEng CRC catalog.
        assert_eq!(CRC_32C.checksum(b"123456789"), 0xe306_9283);
        assert_eq!(CRC_32C.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CRC_32C.checksum(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5u32.to_le_bytes());
    }

    /// Written by tensorboard.summary.writer.record_writer of TensorBoard 2.21.0.
    #[test]
    fn records_are_the_bytes_that_tensorboard_writes() {
        for (event, bytes) in [
            (version(), "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"),
            (start(), "0f000000000000006d532b0909000000000000f83f10083a0208019571c7d1"),
            (
                scalars(),
                "40000000000000002817f49509000000000000004010ac022a320a160a0f656e657267792f7065725f7369746515000000bf\
                 0a180a11747261696e696e672f61636365707465641500000000aca9b4ef",
            ),
        ] {
            let written: String = record(&event).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(written, bytes, "{event:?}");
        }
    }

    #[test]
    fn a_file_that_ends_anywhere_has_the_records_that_are_whole() {
        let events = [version(), start(), scalars()];
        let records = events.clone().map(|event| record(&event));
        let file = records.concat();
        let ends: Vec<usize> = (1..=3).map(|count| records[..count].iter().map(Vec::len).sum()).collect();
        for end in 0..=file.len() {
            let whole = ends.iter().filter(|whole| **whole <= end).count();
            assert_eq!(read(&file[..end]), events[..whole], "{end} bytes");
        }
    }
}
