//! Properties of all wave functions, independent of their network. A new model adds a row to [`cases::cases`] and is
//! then included in all tests.

mod attention;
mod blockade;
mod cases;
mod chains;
mod checkpoint;
mod chi_squared;
mod coverage;
mod decoding;
#[path = "../devices/mod.rs"]
mod devices;
mod energy;
mod entropy;
mod exact;
mod full_sum;
mod gradient;
mod gram;
mod hamiltonians;
mod memory;
mod mixed;
#[path = "../../examples/own_wave_function.rs"]
#[allow(dead_code, reason = "its program is not part of the tests")]
mod own_wave_function;
mod reconfiguration;
mod refusals;
mod rejection;
mod sampling;
mod symmetry;
mod temperature;
mod training;
mod vit;
