//! Flags and keys in messages: errors of the library name types and fields, and a user needs the flag or the key that
//! sets them.

/// Fields in messages of the library, and the key (with `=`) or the flag that sets them.
const FIELDS: [(&str, &str); 29] = [
    ("the text of BenchReport::json", "a file that `ketformer bench --json` wrote"),
    ("BenchConfig::runs", "--runs"),
    ("BenchConfig::shapes", "--shape"),
    ("TuneConfig::seconds", "--seconds"),
    ("GpuOptions::adapter", "--adapter"),
    ("TrainConfig::learning_rate", "lr="),
    ("TrainConfig::memory", "--memory"),
    ("Lattice::lx", "Lx="),
    ("Lattice::ly", "Ly="),
    ("Ptf::width", "Nh="),
    ("Ptf::heads", "nhead="),
    ("Ptf::layers", "num_layers="),
    ("Ptf::feed_forward", "ffn="),
    ("Ptf::phase", "--ptf phase="),
    ("Rnn::width", "Nh="),
    ("Vit::width", "d="),
    ("Lptf::transformer", "--lptf"),
    ("Subsampler::Ptf", "--ptf"),
    ("Subsampler::Rnn", "--rnn"),
    ("GptConfig::width", "width="),
    ("GptConfig::heads", "heads="),
    ("GptConfig::layers", "layers="),
    ("GptConfig::feed_forward", "ffn="),
    ("GptConfig::block", "block="),
    ("another validation_fraction", "another validation="),
    ("give heads, or put", "give heads=, or put"),
    ("single precision", "precision=single"),
    ("memory budget", "--memory"),
    ("another run folder", "another --out"),
];

/// `text` with the flags and keys of [`FIELDS`]. `field=value` becomes `key=value` or `--flag value`.
pub fn with_flags(text: &str) -> String {
    FIELDS.iter().fold(text.to_string(), |text, (field, flag)| {
        let with_value = if flag.ends_with('=') { (*flag).to_string() } else { format!("{flag} ") };
        text.replace(&format!("{field}="), &with_value).replace(field, flag)
    })
}

#[cfg(test)]
mod tests {
    use super::with_flags;

    #[test]
    fn fields_become_flags_and_keys() {
        for (library, shown) in [
            ("Ptf::heads=5 does not divide Ptf::width=32", "nhead=5 does not divide Nh=32"),
            ("give Lattice::lx and Lattice::ly", "give Lx= and Ly="),
            ("give TuneConfig::seconds=60", "give --seconds 60"),
            ("use a smaller memory budget or fewer samples", "use a smaller --memory or fewer samples"),
            ("no field", "no field"),
        ] {
            assert_eq!(with_flags(library), shown);
        }
    }
}
