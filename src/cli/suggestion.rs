//! "Did you mean": the known word nearest to a mistyped one.

/// Returns the candidate nearest to `typed`, if one is near enough: equal up to case, a few edits away, or one word
/// contained in the other (`layers` for `num_layers`).
pub fn closest<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = typed.to_lowercase();
    let score = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let longer = candidate.chars().count().max(lower.chars().count());
        let contained =
            lower.len() >= 4 && candidate.contains(&lower) || candidate.len() >= 4 && lower.contains(&candidate);
        let slips = slips(&lower, &candidate);
        // At most two edits per five letters. Words of one or two letters must be equal: they are all within two edits
        // of each other.
        let near = slips == 0 || longer >= 3 && slips * 5 <= longer * 2;
        if near { Some(slips) } else { contained.then_some(longer) }
    };
    candidates.filter_map(|candidate| Some((score(candidate)?, candidate))).min().map(|(_, candidate)| candidate)
}

/// Number of insertions, deletions, replacements and swaps of neighboring letters (optimal string alignment distance).
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                table[i][j] = i + j;
                continue;
            }
            let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(table[i - 2][j - 2] + 1);
            }
            table[i][j] = best;
        }
    }
    table[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        assert_eq!(slips("", "abc"), 3);
        assert_eq!(slips("omega", "omega"), 0);
        assert_eq!(slips("omgea", "omega"), 1);
        assert_eq!(slips("kitten", "sitting"), 3);
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["L", "Nh", "nhead", "num_layers", "patch", "Omega", "sub_directory"];
        for (typed, meant) in [
            ("l", Some("L")),
            ("nh", Some("Nh")),
            ("heads", Some("nhead")),
            ("layers", Some("num_layers")),
            ("pacth", Some("patch")),
            ("omega", Some("Omega")),
            ("directory", Some("sub_directory")),
            ("K", None),
            ("temperature", None),
            ("", None),
        ] {
            assert_eq!(closest(typed, keys.into_iter()), meant, "{typed}");
        }
    }
}
