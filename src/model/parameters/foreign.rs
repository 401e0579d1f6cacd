//! Weights in other formats than safetensors: recognition by the first bytes, and Python that converts them.

use std::path::Path;

/// A format: its name, and the expression for its tensors by name in Python, in which `FILE` is the quoted path.
struct Format {
    name: &'static str,
    recipe: &'static str,
}

const TORCH_SCRIPT: Format = Format {
    name: "a TorchScript archive",
    recipe: "import torch; from safetensors.torch import save_file; w = torch.jit.load(FILE, map_location='cpu').state_dict(); \
             save_file({k: v.contiguous().clone() for k, v in w.items()}, OUT)",
};
const TORCH_ZIP: Format = Format { name: "a PyTorch file (zip with a pickle)", ..PICKLE };
const PICKLE: Format = Format {
    name: "a pickle of PyTorch or Python",
    recipe: "import torch; from safetensors.torch import save_file; w = torch.load(FILE, map_location='cpu'); \
             w = w.state_dict() if hasattr(w, 'state_dict') else w.get('state_dict', w); \
             save_file({k: v.contiguous().clone() for k, v in w.items()}, OUT)",
};
const NPZ: Format = Format {
    name: "a NumPy archive (.npz)",
    recipe: "import numpy; from safetensors.numpy import save_file; save_file(dict(numpy.load(FILE)), OUT)",
};
const NPY: Format = Format {
    name: "a single NumPy array (.npy)",
    recipe: "import numpy; from safetensors.numpy import save_file; save_file({NAME: numpy.load(FILE)}, OUT), with all tensors",
};
const GGUF: Format = Format {
    name: "a GGUF file",
    recipe: "from gguf import GGUFReader; from safetensors.numpy import save_file; \
             save_file({t.name: t.data for t in GGUFReader(FILE).tensors}, OUT), if they are not quantized",
};
const HDF5: Format = Format {
    name: "an HDF5 file",
    recipe: "import h5py; from safetensors.numpy import save_file; w = {}; h5py.File(FILE).visititems(lambda k, v: \
             w.update({k.replace('/', '.'): v[()]}) if hasattr(v, 'dtype') else None); save_file(w, OUT)",
};

/// Bytes at each end of a zip archive in which names of its files are searched. The directory is at the end.
const SEARCHED: usize = 1 << 20;

/// Name of the format of `bytes`, the contents of the file at `path`, and what converts it to safetensors. `None` if it
/// is not known.
pub(super) fn described(path: &Path, bytes: &[u8]) -> Option<String> {
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    let format = match bytes {
        _ if begins(b"PK\x03\x04") => zipped(bytes)?,
        // The first bytes of protocols 2 to 5.
        [0x80, 2..=5, ..] => PICKLE,
        _ if begins(b"\x93NUMPY") => NPY,
        _ if begins(b"GGUF") => GGUF,
        _ if begins(b"\x89HDF\r\n\x1a\n") => HDF5,
        _ if begins(b"version https://git-lfs") => {
            return Some("a pointer of Git LFS, not the file itself; get the file with `git lfs pull`".into());
        }
        _ => return None,
    };
    let file = format!("{:?}", path.display().to_string());
    let recipe = format.recipe.replace("FILE", &file).replace("OUT", "\"model.safetensors\"");
    Some(format!("{}; convert it in Python: {recipe}", format.name))
}

/// Format of a zip archive, by the names of the files in it.
fn zipped(bytes: &[u8]) -> Option<Format> {
    let ends = [&bytes[..bytes.len().min(SEARCHED)], &bytes[bytes.len().saturating_sub(SEARCHED)..]];
    let has = |name: &[u8]| ends.iter().any(|part| part.windows(name.len()).any(|window| window == name));
    match (has(b"constants.pkl"), has(b"data.pkl"), has(b".npy")) {
        (true, ..) => Some(TORCH_SCRIPT),
        (_, true, _) => Some(TORCH_ZIP),
        (.., true) => Some(NPZ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognized_by_their_first_bytes() {
        let zip = |name: &str| [b"PK\x03\x04".as_slice(), &[0; 26], name.as_bytes(), &[7; 40]].concat();
        for (bytes, name, call) in [
            (zip("m/data.pkl m/constants.pkl"), "a TorchScript archive", "torch.jit.load"),
            (zip("archive/data.pkl"), "a PyTorch file", "torch.load"),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "a pickle", "torch.load"),
            (zip("lin.0.weight.npy"), "a NumPy archive", "numpy.load"),
            (b"\x93NUMPY\x01\x00".to_vec(), "a single NumPy array", "numpy.load"),
            (b"GGUF\x03\x00\x00\x00".to_vec(), "a GGUF file", "GGUFReader"),
            (b"\x89HDF\r\n\x1a\n\x00".to_vec(), "an HDF5 file", "h5py"),
        ] {
            let text = described(Path::new("my weights.pt"), &bytes).unwrap();
            assert!(text.starts_with(name) && text.contains("; convert it in Python: "), "{text}");
            assert!(text.contains(&format!("{call}(\"my weights.pt\"")) || call == "h5py", "{text}");
            assert!(
                text.contains("save_file(") && text.contains(", \"model.safetensors\")") && !text.contains('\n'),
                "{text}"
            );
        }
        assert!(
            described(Path::new("a"), b"version https://git-lfs.github.com/spec/v1").unwrap().contains("git lfs pull")
        );
        for bytes in [b"".as_slice(), b"PK", b"PK\x03\x04 a zip of texts", b"\x80", b"\x10\0\0\0\0\0\0\0{}"] {
            assert_eq!(described(Path::new("a"), bytes), None);
        }
    }
}
