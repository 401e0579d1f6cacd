// Rows of heads in buffers with strides. The importing file imports cache and declares `element(source, at)`, which loads an
// element of a buffer.
const FOUR: vec4<u32> = vec4(0u, 1u, 2u, 3u);
const QUERY: u32 = 0u; // sources of rows
const KEY: u32 = 1u;
const VALUE: u32 = 2u;
const D_OUT: u32 = 3u;

// Rows of a head: buffer, index of the first element, distance of rows, number of rows, and width, in elements.
struct Rows { source: u32, start: u32, step: u32, count: u32, width: u32 }

// Four elements of a row, with zeros past its end. Past the last row, that one is repeated.
fn load(rows: Rows, row: u32, part: u32) -> vec4<f32> {
    let at = rows.start + min(row, max(rows.count, 1u) - 1u) * rows.step;
    let column = 4u * part + FOUR;
    let i = at + min(column, vec4(rows.width - 1u));
    let s = rows.source;
    return select(vec4(0.0), vec4(element(s, i.x), element(s, i.y), element(s, i.z), element(s, i.w)), column < vec4(rows.width));
}
