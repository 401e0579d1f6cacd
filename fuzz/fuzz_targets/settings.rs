//! Settings of runs: what is read back after saving is what was read.

#![no_main]

use ketformer::run::RunSettings;
use ketformer_fuzz::{check_error, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = file("settings.json", bytes);
    match RunSettings::load(&path) {
        Err(error) => check_error(&error, &path),
        Ok(settings) => {
            settings.save(&path).expect("settings that can be saved");
            assert_eq!(RunSettings::load(&path).expect("saved settings"), settings);
        }
    }
});
