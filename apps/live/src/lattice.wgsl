// Atoms of a lattice, straight from the buffers of the trainer: newest samples, mean densities, or correlations with a
// site; and attention weights of a site as lines.

struct View {
    /// Center of site (0, 0) and distance of two sites, in pixels of the viewport.
    origin: vec2f,
    spacing: f32,
    radius: f32,
    /// Size of the viewport in pixels.
    size: vec2f,
    sides: vec2u,
    /// 0: two samples, 1: densities, 2: correlations with `site`, 3: attention from `site`.
    mode: u32,
    /// Selected site, or none.
    site: u32,
    /// Samples before and after, and how far from one to the other.
    before: u32,
    after: u32,
    blend: f32,
    /// Head of the attention weights and number of positions.
    head: u32,
    positions: u32,

    padding: u32,
}

@group(0) @binding(0) var<uniform> view: View;
/// (B, N) occupations
@group(1) @binding(0) var<storage, read> samples: array<u32>;
/// (N)
@group(1) @binding(1) var<storage, read> densities: array<f32>;
/// (N, N)
@group(1) @binding(2) var<storage, read> correlations: array<f32>;
/// (H, T, T)
@group(2) @binding(0) var<storage, read> attention: array<f32>;
/// Position of each site in the sequence.
@group(2) @binding(1) var<storage, read> position_of: array<u32>;

const NONE: u32 = 0xffffffffu;
const ACCENT = vec3f(1.0, 0.702, 0.278);
const COUNTER = vec3f(0.361, 0.62, 1.0);
const DIM = vec3f(0.16, 0.21, 0.32);
const LIGHT = vec3f(0.886, 0.91, 0.941);

struct Fragment {
    @builtin(position) at: vec4f,
    /// Place in units of the radius of an atom; of a line along it and across it, in pixels.
    @location(0) place: vec2f,
    @location(1) @interpolate(flat) color: vec4f,
    /// Strength of the glow, and whether the atom is the selected one.
    @location(2) @interpolate(flat) glow: vec2f,
    /// Length and half of the width of a line.
    @location(3) @interpolate(flat) line: vec2f,
}

fn center(site: u32) -> vec2f {
    return view.origin + view.spacing * vec2f(f32(site / view.sides.y), f32(site % view.sides.y));
}

fn clip(pixels: vec2f) -> vec4f {
    return vec4f(2.0 * pixels.x / view.size.x - 1.0, 1.0 - 2.0 * pixels.y / view.size.y, 0.0, 1.0);
}

fn corner(vertex: u32) -> vec2f {
    return vec2f(select(-1.0, 1.0, (vertex & 1u) == 1u), select(-1.0, 1.0, vertex >= 2u));
}

/// Mean attention weight of `site` where the selected site is drawn.
fn weight_of(site: u32) -> f32 {
    let row = position_of[view.site];
    let column = position_of[site] + 1u;
    if column > row {
        return 0.0;
    }
    return attention[(view.head * view.positions + row) * view.positions + column];
}

/// Largest magnitude of a correlation of the selected site with another one.
fn largest_correlation() -> f32 {
    let sites = view.sides.x * view.sides.y;
    var largest = 1e-3;
    for (var other = 0u; other < sites; other++) {
        if other != view.site {
            largest = max(largest, abs(correlations[view.site * sites + other]));
        }
    }
    return largest;
}

/// Largest weight of the selected site.
fn largest_weight() -> f32 {
    var largest = 0.05;
    for (var other = 0u; other < view.sides.x * view.sides.y; other++) {
        largest = max(largest, weight_of(other));
    }
    return largest;
}

/// How excited an atom is, 0 to 1, or −1 to 1 for correlations.
fn value_of(site: u32) -> f32 {
    let sites = view.sides.x * view.sides.y;
    switch view.mode {
        case 0u: {
            let before = f32(samples[view.before * sites + site]);
            let after = f32(samples[view.after * sites + site]);
            return mix(before, after, view.blend);
        }
        case 1u: { return densities[site]; }
        case 2u: { return correlations[view.site * sites + site] / largest_correlation(); }
        default: { return weight_of(site) / largest_weight(); }
    }
}

@vertex
fn atom(@builtin(vertex_index) vertex: u32, @builtin(instance_index) site: u32) -> Fragment {
    var out: Fragment;
    let reach = 2.6;
    out.place = reach * corner(vertex);
    out.at = clip(center(site) + view.radius * out.place);
    let value = value_of(site);
    let is_selected = site == view.site;
    if view.mode >= 2u && is_selected {
        out.color = vec4f(LIGHT, 1.0);
        out.glow = vec2f(0.25, 1.0);
        return out;
    }
    let strength = sqrt(clamp(abs(value), 0.0, 1.0));
    let bright = select(COUNTER, ACCENT, value >= 0.0);
    out.color = vec4f(mix(DIM, bright, strength), 1.0);
    out.glow = vec2f(0.55 * strength, select(0.0, 1.0, is_selected));
    return out;
}

@fragment
fn atom_color(in: Fragment) -> @location(0) vec4f {
    let r = length(in.place);
    let edge = fwidth(r);
    let disk = 1.0 - smoothstep(1.0 - edge, 1.0 + edge, r);
    // A little light from above left, and a halo that ends at the border of the quad.
    let shade = 1.0 - 0.22 * clamp(length(in.place - vec2f(-0.35, -0.4)), 0.0, 1.6);
    let halo = in.glow.x * pow(clamp(1.0 - r / 2.6, 0.0, 1.0), 2.0);
    let ring = in.glow.y * (1.0 - smoothstep(0.06, 0.06 + edge, abs(r - 1.32)));
    let alpha = max(max(disk, halo), ring);
    let color = mix(mix(in.color.rgb, LIGHT, ring * (1.0 - disk)), in.color.rgb * shade, disk);
    return vec4f(color * alpha, alpha);
}

@vertex
fn bond(@builtin(vertex_index) vertex: u32, @builtin(instance_index) site: u32) -> Fragment {
    var out: Fragment;
    let weight = weight_of(site);
    let to = center(site);
    let begin = center(view.site);
    let along = to - begin;
    let length = max(length(along), 1e-3);
    let strength = weight / largest_weight();
    let half_width = view.radius * (0.06 + 0.38 * strength);
    let unit = along / length;
    let across = vec2f(-unit.y, unit.x);
    let at = corner(vertex);
    let reach = half_width + 1.0;
    // Instances without weight have no area.
    let shown = select(0.0, 1.0, weight > 1e-4 && site != view.site);
    let x = select(0.0, length, at.x > 0.0) * shown;
    out.place = vec2f(x, at.y * reach);
    out.line = vec2f(length, half_width);
    out.at = clip(begin + unit * x + across * at.y * reach * shown);
    out.color = vec4f(ACCENT, 0.06 + 0.84 * pow(strength, 1.4));
    return out;
}

@fragment
fn bond_color(in: Fragment) -> @location(0) vec4f {
    let cover = clamp(in.line.y - abs(in.place.y) + 0.5, 0.0, 1.0);
    // Fades out of the site whose attention it is.
    let alpha = in.color.a * cover * mix(0.35, 1.0, in.place.x / max(in.line.x, 1e-3));
    return vec4f(in.color.rgb * alpha, alpha);
}
