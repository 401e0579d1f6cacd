//! Checkpoints: what is accepted has its checksum, and saving it again gives the same checkpoint.

#![no_main]

use ketformer::run::{newest_checkpoint, save_checkpoint};
use ketformer_fuzz::{check_error, file, folder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = file("checkpoint-000000004.safetensors", bytes);
    match newest_checkpoint(&folder()) {
        Err(error) => check_error(&error, &path),
        Ok(newest) => {
            let newest = newest.expect("a checkpoint");
            assert!(newest.damaged.is_empty(), "{:?}", newest.damaged);
            std::fs::remove_file(&path).expect("a file");
            save_checkpoint(&folder(), &newest.checkpoint).expect("a checkpoint that can be saved");
            let again = newest_checkpoint(&folder()).expect("a whole checkpoint").expect("a checkpoint");
            assert_eq!(format!("{:?}", again.checkpoint), format!("{:?}", newest.checkpoint));
            for file in std::fs::read_dir(folder()).expect("a folder").flatten() {
                std::fs::remove_file(file.path()).expect("a file");
            }
        }
    }
});
