// Tiles of a head of any width in workgroup memory and blocks of STREAMED × OWNED scores.
//
// A workgroup of 128 lanes owns OWNED rows of a head (queries or keys) and iterates over the others, STREAMED at a
// time. Products over the head width run in chunks of 16 columns, products over the streamed rows in groups of
// GROUP_ROWS rows. A lane owns 4 × 4 scores: streamed rows lane / 8 + 16·m and owned rows lane % 8 + 8·n, a vector of
// the block.
//
// `words` are d_out as floats for D not a multiple of 4, and otherwise with DROPOUT the seed (2) and the step number.
const OWNED: u32 = 32u;
const STREAMED: u32 = 64u;
const LANES: u32 = 128u;
const LOG2_E: f32 = 1.4426950408889634;
const CHUNK: u32 = 4u;                              // vectors of a row in a chunk
const STRIDE: u32 = CHUNK + 1u;                     // padded, so that rows begin in different banks
const MOST_PARTS: u32 = 16u;                        // vectors of a row of sums in one workgroup
const HALVES: u32 = (PARTS + MOST_PARTS - 1u) / MOST_PARTS;
// Vectors of a row of sums, rounded up to a power of two.
const COLUMNS: u32 = select(
    select(select(select(16u, 8u, PARTS <= 8u), 4u, PARTS <= 4u), 2u, PARTS <= 2u), 1u, PARTS == 1u);
const SPLITS: u32 = MOST_PARTS / COLUMNS;           // lanes that share a sum
const GROUP_ROWS: u32 = min(STREAMED, 256u / COLUMNS);
const GROUP_STRIDE: u32 = COLUMNS | 1u;
const SLOT_ROWS: u32 = LANES / COLUMNS;             // rows of sums or of a group that the lanes access at once
const GROUP_SLOTS: u32 = max(1u, GROUP_ROWS / SLOT_ROWS);
const SUMS: u32 = select(max(1u, OWNED / SLOT_ROWS), 4u, SPLITS == 1u); // vectors of sums that a lane stores
const D_OUT: u32 = 3u;                              // next to thirds 0, 1, 2 of qkv
// Rows are loaded as vectors, or as floats for D not a multiple of 4.
const UNIT: u32 = select(1u, 4u, HEAD_ALIGNED);
const WIDTH: u32 = select(HEAD_DIM, PARTS, HEAD_ALIGNED);

var<workgroup> streamed_tile: array<vec4<f32>, STREAMED * STRIDE>;
var<workgroup> owned_tile: array<vec4<f32>, OWNED * STRIDE>;
var<workgroup> block: array<vec4<f32>, STREAMED * OWNED / 4u>;

// Constants of a lane. Positions of rows count vectors, or floats for D not a multiple of 4, and are multiples of
// `width`, that of a row of C columns.
struct Lane {
    index: u32,
    width: u32,
    // First column of the head, and the first part of its sums.
    head: u32,
    first_part: u32,
    // Position of the sample's row that the lane loads first into a chunk and into a group, and of the last row.
    chunk_at: u32,
    group_at: u32,
    last_at: u32,
}

// Part of a row of a third of qkv or of d_out, padded with zeros past the end of the head.
fn load(lane: Lane, source: u32, at: u32, part: u32) -> vec4<f32> {
    let row = lane.head + select(3u * at + source * lane.width, at, source == D_OUT);
    if (HEAD_ALIGNED && source == D_OUT) { return d_out4[row + part]; }
    if (HEAD_ALIGNED) { return qkv4[row + part]; }
    let i = row + head_index(part);
    if (source == D_OUT) { return head_padded(part, bitcast<vec4<f32>>(vec4(words[i.x], words[i.y], words[i.z], words[i.w]))); }
    return head_padded(part, vec4(qkv[i.x], qkv[i.y], qkv[i.z], qkv[i.w]));
}

// What a workgroup owns: rows of a sample from `first` on, of one head, and a half of the columns of their sums. Past
// the samples, the last one is recomputed and not stored.
struct Owned { sample: u32, first_row: u32, first: u32, head: u32, half: u32 }

fn owned_of(index: u32) -> Owned {
    let tiles = (params.tokens + OWNED - 1u) / OWNED;
    let sample = index / HALVES / tiles / params.heads;
    let first_row = min(sample, params.samples - 1u) * params.tokens;
    return Owned(sample, first_row, index / HALVES % tiles * OWNED, index / HALVES / tiles % params.heads, index % HALVES);
}

// Lane `local` of the workgroup.
fn lane_of(local: u32, own: Owned) -> Lane {
    var lane: Lane;
    lane.index = local;
    lane.width = params.heads * WIDTH;
    lane.head = own.head * WIDTH;
    lane.first_part = own.half * MOST_PARTS;
    lane.chunk_at = (own.first_row + local / CHUNK) * lane.width;
    lane.group_at = (own.first_row + local / COLUMNS) * lane.width;
    lane.last_at = (own.first_row + params.tokens - 1u) * lane.width;
    return lane;
}
