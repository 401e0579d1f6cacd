// Tiles of a head in workgroup memory and TILE × TILE blocks of scores, for a cluster of (TILE / 4)² lanes.
//
// A cluster has two tiles of TILE rows: `left`, and `right`, which also holds a block of scores or sums of a product.
// Rows are padded to an odd number of vectors, so that they begin in different banks. A lane owns 4 × 4 scores: queries
// block_row + SIDE·m and keys block_column + SIDE·n, which are in columns 4·block_column + n of the block.
const TILE: u32 = 16u; // spec 32
const LOG2_E: f32 = 1.4426950408889634;
const SIDE: u32 = TILE / 4u;                        // lanes along each side of a block
const LANES: u32 = SIDE * SIDE;                     // lanes of a cluster
// Vectors of a row in a tile. Wider heads take several chunks.
const TILE_PARTS: u32 = select(PARTS, select(8u, 4u, TILE == 16u), PARTS > 8u);
// 64 lanes, or as many as 16 KiB allow.
const CLUSTERS: u32 = select(1u, select(4u, 3u, TILE_PARTS == 8u), TILE == 16u);
// TILE_PARTS, rounded up to a power of two.
const COLUMNS: u32 = select(select(select(8u, 4u, TILE_PARTS <= 4u), 2u, TILE_PARTS <= 2u), 1u, TILE_PARTS == 1u);
const SPLITS: u32 = select(1u, SIDE / COLUMNS, COLUMNS < SIDE); // lanes that share a sum of a product
const WIDE: u32 = select(1u, COLUMNS / SIDE, COLUMNS > SIDE);   // blocks of 4 × 4 of a product per lane
const SLOT_ROWS: u32 = LANES / COLUMNS;             // rows that the cluster loads at once, one vector per lane
const ALL_SLOTS: u32 = select(TILE / SLOT_ROWS, 1u, SLOT_ROWS > TILE);
const SLOTS: u32 = min(ALL_SLOTS, 4u);              // vectors that a lane loads in one of `loads` iterations
const SUMS: u32 = select(ALL_SLOTS, 4u, SPLITS == 1u);          // vectors of a product that a lane stores
const SUM_ROWS: u32 = select(SLOT_ROWS, SIDE, SPLITS == 1u);
const STRIDE: u32 = TILE_PARTS | 1u;
const BLOCK_STRIDE: u32 = SIDE + 1u;
const RIGHT_STRIDE: u32 = max(max(STRIDE, BLOCK_STRIDE), COLUMNS);

var<workgroup> left_tile: array<vec4<f32>, CLUSTERS * TILE * STRIDE>;
var<workgroup> right_tile: array<vec4<f32>, CLUSTERS * TILE * RIGHT_STRIDE>;

// Constants of a lane.
struct Lane {
    // Index in its cluster.
    index: u32,
    // Start of the cluster's tiles.
    left: u32,
    right: u32,
    // Row and column of the first vector that it loads.
    row: u32,
    column: u32,
    loads: bool,
    // Its 4 × 4 scores, and the rows of its products.
    block_row: u32,
    block_column: u32,
    // First vector of its products, and its share of their sums.
    part: u32,
    split: u32,
    // Row and column of the first sums that it stores.
    sum_row: u32,
    sum_column: u32,
}

fn lane_of(local: u32) -> Lane {
    var lane: Lane;
    lane.index = local % LANES;
    lane.left = local / LANES * (TILE * STRIDE);
    lane.right = local / LANES * (TILE * RIGHT_STRIDE);
    lane.row = lane.index / COLUMNS;
    lane.column = min(lane.index % COLUMNS, TILE_PARTS - 1u);
    let in_row = COLUMNS == TILE_PARTS || lane.index % COLUMNS < TILE_PARTS;
    lane.loads = in_row && (SLOT_ROWS <= TILE || lane.index / COLUMNS < TILE);
    lane.block_row = lane.index / SIDE;
    lane.block_column = lane.index % SIDE;
    lane.part = (lane.index % SIDE) % COLUMNS;
    lane.split = (lane.index % SIDE) / COLUMNS;
    lane.sum_row = select(lane.row, lane.block_row, SPLITS == 1u);
    lane.sum_column = select(lane.column, lane.part, SPLITS == 1u);
    return lane;
}

// Writes vector `slot` of the lane into a tile.
fn left_put(lane: Lane, slot: u32, value: vec4<f32>) {
    if (lane.loads) { left_tile[lane.left + (lane.row + SLOT_ROWS * slot) * STRIDE + lane.column] = value; }
}

fn right_put(lane: Lane, slot: u32, value: vec4<f32>) {
    if (lane.loads) { right_tile[lane.right + (lane.row + SLOT_ROWS * slot) * STRIDE + lane.column] = value; }
}
