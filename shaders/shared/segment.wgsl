// Segment of a launch that adds the blocks of many gradients: consecutive columns of one of them. Workgroups are
// numbered through all segments, in order.
struct Segment {
    first_group: u32,
    source: u32,            // first element in part
    stride: u32,            // elements from one block, or part of a block, to the next
    columns: u32,
    parts: u32,             // number of blocks, or of their parts
    parts_per_block: u32,
    destination: u32,       // first element in gradient
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

struct Params { segments: u32, keep: u32 }

// The last segment that begins at `group` or before.
fn segment_of(group: u32) -> Segment {
    var first = 0u;
    var end = params.segments;
    while (end - first > 1u) {
        let middle = (first + end) / 2u;
        if (segments[middle].first_group <= group) { first = middle; } else { end = middle; }
    }
    return segments[first];
}
