//! All kernels, and the variants of those that have several.

use super::case::Entry;
use super::variant::Variants;
use super::{attention, device, gram, linear, nn, rbm, token, vmc};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, TunedVariant, Tuning};

/// All kernels of the crate.
pub static ALL: &[Entry] = &[
    device::cases::indirect_args::RESOLVE_ENTRY,
    nn::cases::embed::FORWARD_ENTRY,
    nn::cases::embed::GRADIENT_ENTRY,
    nn::cases::embed::TABLE_ENTRY,
    nn::cases::feed_forward::ENTRY,
    nn::cases::feed_forward::PANEL_ENTRY,
    nn::cases::feed_forward_slices::SLICES_ENTRY,
    nn::cases::feed_forward_slices::SUM_ENTRY,
    nn::cases::feed_forward_slices::SUM_NORM_ENTRY,
    nn::cases::categorical::FORWARD_ENTRY,
    nn::cases::categorical::SAMPLE_ENTRY,
    nn::cases::categorical::BACKWARD_ENTRY,
    nn::cases::transformer_decode::ENTRY,
    nn::cases::weights_pack::ENTRY,
    nn::cases::phase::FORWARD_ENTRY,
    nn::cases::phase::BACKWARD_ENTRY,
    vmc::cases::dedup::HASH_ENTRY,
    vmc::cases::dedup::FIRST_ENTRY,
    vmc::cases::dedup::COMPACT_ENTRY,
    vmc::cases::rows::SAMPLES_ENTRY,
    vmc::cases::rows::MOVES_ENTRY,
    nn::cases::large_patch::ROWS_ENTRY,
    nn::cases::large_patch::ADD_ENTRY,
    nn::cases::large_patch::SUM_ENTRY,
    vmc::cases::energy::RATIO_ENTRY,
    vmc::cases::energy::SITES_ENTRY,
    vmc::cases::energy::LOCAL_ENTRY,
    vmc::cases::energy::STATISTICS_ENTRY,
    vmc::cases::energy::WEIGHTS_ENTRY,
    vmc::cases::free_energy::ENTRY,
    vmc::cases::exclusions::ENTRY,
    nn::cases::adam::SQUARE_ENTRY,
    nn::cases::adam::DECIDE_ENTRY,
    nn::cases::adam::ADAM_ENTRY,
    vmc::cases::repeat::ENTRY,
    vmc::cases::connected::COUNT_ENTRY,
    vmc::cases::connected::OFFSETS_ENTRY,
    vmc::cases::connected::LIST_ENTRY,
    vmc::cases::connected::SPINS_ENTRY,
    vmc::cases::connected::RATIO_ENTRY,
    vmc::cases::enumerated::CUMULATIVE_ENTRY,
    vmc::cases::enumerated::DRAW_ENTRY,
    vmc::cases::enumerated::GATHER_ENTRY,
    vmc::cases::enumerated::RATIO_ENTRY,
    vmc::cases::metropolis::PROPOSE_ENTRY,
    vmc::cases::metropolis::ACCEPT_ENTRY,
    nn::cases::complex_head::FORWARD_ENTRY,
    nn::cases::complex_head::BACKWARD_ENTRY,
    vmc::cases::spins::ENTRY,
    vmc::cases::sites::OCCUPATIONS_ENTRY,
    vmc::cases::sites::WORDS_ENTRY,
    vmc::cases::sites::CORRELATIONS_ENTRY,
    vmc::cases::history::ENTRY,
    rbm::cases::amplitude::AMPLITUDE_ENTRY,
    rbm::cases::amplitude::RATIO_ENTRY,
    rbm::cases::amplitude::SLOPES_ENTRY,
    rbm::cases::sweep::SWEEP_ENTRY,
    rbm::cases::sweep::SWEEP_SCALAR_ENTRY,
    rbm::cases::sweep::ACCEPTANCE_ENTRY,
    nn::cases::cast_f16::ENTRY,
    gram::cases::product::PRODUCT_ENTRY,
    gram::cases::product::PRODUCT_SCALAR_ENTRY,
    gram::cases::pairs::PAIRS_ENTRY,
    gram::cases::pairs::PAIRS_SCALAR_ENTRY,
    gram::cases::center::CENTER_ENTRY,
    gram::cases::dot::DOT_ENTRY,
    gram::cases::columns::TAKE_ENTRY,
    gram::cases::direction::UPDATE_ENTRY,
    gram::cases::direction::STEP_ENTRY,
    linear::cases::product::PRODUCT_ENTRY,
    linear::cases::product::PRODUCT_SCALAR_ENTRY,
    linear::cases::product::PRODUCT_TILED_ENTRY,
    linear::cases::product::PRODUCT_PANEL_ENTRY,
    linear::cases::cooperative::COOPERATIVE_ENTRY,
    linear::cases::cooperative::COOPERATIVE_8_ENTRY,
    linear::cases::gradient::GRADIENT_ENTRY,
    linear::cases::gradient::GRADIENT_SCALAR_ENTRY,
    linear::cases::gradient::GRADIENT_TILED_ENTRY,
    linear::cases::gradient::GRADIENT_PANEL_ENTRY,
    linear::cases::sums::GRADIENT_SUM_ENTRY,
    linear::cases::sums::GRADIENT_SUM_PARTS_ENTRY,
    linear::cases::activate::ACTIVATE_ENTRY,
    nn::cases::norm::FORWARD_ENTRY,
    nn::cases::norm::FORWARD_SCALAR_ENTRY,
    nn::cases::norm::FORWARD_TILED_ENTRY,
    nn::cases::norm::BACKWARD_ENTRY,
    nn::cases::norm::BACKWARD_SCALAR_ENTRY,
    nn::cases::norm::BACKWARD_TILED_ENTRY,
    nn::cases::norm::GRADIENT_ENTRY,
    attention::cases::forward::FORWARD_ENTRY,
    attention::cases::forward::FORWARD_SCALAR_ENTRY,
    attention::cases::forward::FORWARD_TILED_ENTRY,
    attention::cases::forward::FORWARD_WIDE_ENTRY,
    attention::cases::forward::FORWARD_DECODE_ENTRY,
    attention::cases::backward::BACKWARD_QUERY_ENTRY,
    attention::cases::backward::BACKWARD_QUERY_SCALAR_ENTRY,
    attention::cases::backward::BACKWARD_QUERY_TILED_ENTRY,
    attention::cases::backward::BACKWARD_KEY_ENTRY,
    attention::cases::backward::BACKWARD_KEY_SCALAR_ENTRY,
    attention::cases::backward::BACKWARD_KEY_TILED_ENTRY,
    attention::cases::backward::BACKWARD_SHORT_ENTRY,
    attention::cases::backward::BACKWARD_SHORT_TILED_ENTRY,
    attention::cases::suffix::SUFFIX_ENTRY,
    attention::cases::suffix::SUFFIX_SCALAR_ENTRY,
    attention::cases::suffix::SUFFIX_TILED_ENTRY,
    attention::cases::suffix::SUFFIX_WIDE_ENTRY,
    attention::cases::weights::WEIGHTS_ENTRY,
    attention::cases::inputs::DRAW_ENTRY,
    attention::cases::inputs::MODIFIED_ENTRY,
    token::cases::embed::ENTRY,
    token::cases::gradient::ENTRY,
    token::cases::cross_entropy::STATISTICS_ENTRY,
    token::cases::cross_entropy::GRADIENT_ENTRY,
    nn::recurrent::cases::links::LINKS_ENTRY,
    nn::recurrent::cases::step::STEP_ENTRY,
    nn::recurrent::cases::step::STEP_SCALAR_ENTRY,
    nn::recurrent::cases::backward::BACKWARD_ENTRY,
    nn::recurrent::cases::backward::BACKWARD_SCALAR_ENTRY,
    attention::linear::cases::states::STATE_ENTRY,
    attention::linear::cases::forward::FORWARD_ENTRY,
    attention::linear::cases::backward::BACKWARD_QUERY_ENTRY,
    attention::linear::cases::states::BACKWARD_STATE_ENTRY,
    attention::linear::cases::backward::BACKWARD_KEY_ENTRY,
    attention::linear::cases::suffix::SUFFIX_ENTRY,
    attention::cases::factored::FORWARD_ENTRY,
    attention::cases::factored::FORWARD_SCALAR_ENTRY,
    attention::cases::factored::GRADIENT_ENTRY,
    attention::cases::factored::GRADIENT_SCALAR_ENTRY,
    attention::general::cases::forward::FORWARD_ENTRY,
    attention::general::cases::forward::FORWARD_SCALAR_ENTRY,
    attention::general::cases::forward::FORWARD_TILED_ENTRY,
    attention::general::cases::split::SPLIT_ENTRY,
    attention::general::cases::split::MERGE_ENTRY,
    attention::general::cases::scores::SCORES_ENTRY,
    attention::general::cases::backward::STATISTICS_ENTRY,
    attention::general::cases::backward::BACKWARD_QUERY_SCALAR_ENTRY,
    attention::general::cases::backward::BACKWARD_QUERY_TILED_ENTRY,
    attention::general::cases::backward::BACKWARD_KEY_SCALAR_ENTRY,
    attention::general::cases::backward::BACKWARD_KEY_TILED_ENTRY,
    token::cases::sample::ENTRY,
    nn::cases::dropout::ENTRY,
    nn::cases::rotary::ENTRY,
    device::cases::probe::MULTIPLY_ADD_ENTRY,
    device::cases::probe::COPY_ENTRY,
    device::cases::probe::SHUFFLE_ENTRY,
    device::cases::probe::LOOP_ENTRY,
    device::cases::probe::LOAD_ENTRY,
    device::cases::words::FILL_ENTRY,
    device::cases::words::COUNT_ENTRY,
];

/// Returns the kernel called `name`.
///
/// # Errors
/// [`ErrorKind::Settings`] if there is none; the message lists all names.
pub fn find(name: &str) -> Result<&'static Entry> {
    ALL.iter().find(|entry| entry.kernel.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|entry| entry.kernel.name).collect();
        Error::new(ErrorKind::Settings, format!("unknown kernel `{name}`; expected one of {}", names.join(", ")))
    })
}

/// Variants of every kernel that has several.
pub static VARIANTS: &[&Variants] = &[
    &linear::PRODUCT_SELECTOR.variants,
    &linear::GRADIENT_SELECTOR.variants,
    &nn::feed_forward::SELECTOR.variants,
    &nn::norm::FORWARD_SELECTOR.variants,
    &nn::norm::BACKWARD_SELECTOR.variants,
    &attention::FORWARD_SELECTOR.variants,
    &attention::BACKWARD_QUERY_SELECTOR.variants,
    &attention::BACKWARD_KEY_SELECTOR.variants,
    &attention::BACKWARD_SHORT_SELECTOR.variants,
    &attention::SUFFIX_SELECTOR.variants,
    &attention::general::FORWARD_SELECTOR.variants,
    &attention::general::BACKWARD_QUERY_SELECTOR.variants,
    &attention::general::BACKWARD_KEY_SELECTOR.variants,
    &attention::factored::FORWARD_SELECTOR.variants,
    &attention::factored::GRADIENT_SELECTOR.variants,
    &nn::recurrent::STEP_SELECTOR.variants,
    &nn::recurrent::BACKWARD_SELECTOR.variants,
    &rbm::sweep::SWEEP_SELECTOR.variants,
    &gram::PRODUCT_SELECTOR.variants,
    &gram::PAIRS_SELECTOR.variants,
];

/// Describes in one line an entry of a tuning that `gpu` ignores: an unknown kernel, an unknown variant, or a variant
/// that the adapter cannot run. `None` if there is no such entry.
pub fn tuning_doubt(gpu: &Gpu, tuning: &Tuning) -> Option<String> {
    let doubt = |(kernel, _, preferred): (&str, &str, &TunedVariant)| {
        let Some(variants) = VARIANTS.iter().find(|variants| variants.kernel == kernel) else {
            return Some(format!("selects a variant of `{kernel}`, which has no variants"));
        };
        match variants.find(&preferred.variant) {
            None => Some(format!("prefers `{}` for {kernel}, which has no such variant", preferred.variant)),
            Some(variant) => variants.unsupported_reason(gpu, variant).map(|unsupported_reason| {
                format!("prefers `{}` for {kernel}, which requires {unsupported_reason}", variant.name)
            }),
        }
    };
    tuning.iter().find_map(doubt)
}

#[cfg(test)]
mod tests {
    use super::VARIANTS;
    use crate::kernels::variant::Variant;

    #[test]
    fn forms_of_a_kernel_have_names_of_their_own() {
        for variants in VARIANTS {
            for (i, variant) in variants.all.iter().enumerate() {
                assert!(
                    variants.all[..i].iter().all(|other| other.name != variant.name),
                    "{} {}",
                    variants.kernel,
                    variant.name
                );
                let same = |other: &&Variant| {
                    (other.strategy, other.tile, other.subgroups) == (variant.strategy, variant.tile, variant.subgroups)
                };
                assert_eq!(variants.all.iter().filter(same).count(), 1, "{} {}", variants.kernel, variant.name);
            }
        }
    }
}
