// Outcomes v of a patch after which a configuration can still reach E occupied sites, by their occupied sites |v|:
//
//   least ≤ |v| ≤ most        most = E − before        least = E − before − sites of later patches
//
// With E = EVERY_SECTOR all outcomes are allowed. If E is out of reach, only the outcome nearest to it is allowed.
const EVERY_SECTOR: u32 = 0xffffffffu;
// Values of excluded outcomes: LOWEST replaces their logits in the maximum, NEG_LARGE is their log P.
const LOWEST: f32 = -3.4028234e38;
const NEG_LARGE: f32 = -1e30;

struct Sector { excitations: u32, sites_per_patch: u32, patches: u32 }
struct Room { least: u32, most: u32 }

// Bounds for the patch at `position`, with `before` occupied sites in the patches before it.
fn sector_room(sector: Sector, position: u32, before: u32) -> Room {
    if (sector.excitations == EVERY_SECTOR) { return Room(0u, 32u); }
    let most = sector.excitations - min(before, sector.excitations);
    let later = sector.sites_per_patch * (sector.patches - 1u - position);
    return Room(min(most - min(later, most), sector.sites_per_patch), most);
}

fn sector_allows(room: Room, outcome: u32) -> bool {
    let occupied = countOneBits(outcome);
    return room.least <= occupied && occupied <= room.most;
}
