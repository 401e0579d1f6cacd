//! What outlives a reload of the page, a lost device, or the app: settings and weights.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ketformer::Result;
use ketformer::model::Weights;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// State of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    /// Settings.
    pub settings: Settings,
    /// Steps so far.
    pub steps: u64,
    /// Weights, a safetensors file in base64; empty before the first step.
    weights: String,
}

impl Saved {
    /// The state after `steps` steps.
    ///
    /// # Errors
    /// As [`Weights::to_bytes`].
    pub fn new(settings: &Settings, steps: u64, weights: &Weights) -> Result<Self> {
        let weights = STANDARD.encode(weights.to_bytes()?);
        Ok(Self { settings: settings.clone(), steps, weights })
    }

    /// The beginning of a run with `settings`.
    pub fn begin(settings: Settings) -> Self {
        Self { settings, steps: 0, weights: String::new() }
    }

    /// The weights; `None` if there are none or they are damaged.
    pub fn weights(&self) -> Option<Weights> {
        let bytes = STANDARD.decode(&self.weights).ok().filter(|bytes| !bytes.is_empty())?;
        Weights::from_bytes("saved weights", &bytes).ok()
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use super::Saved;

    const KEY: &str = "ketformer-live";
    const LINK: &str = "ketformer-live-link";

    fn local() -> Option<web_sys::Storage> {
        web_sys::window()?.local_storage().ok()?
    }

    /// The state that this browser keeps.
    pub fn load() -> Option<Saved> {
        serde_json::from_str(&local()?.get_item(KEY).ok()??).ok()
    }

    /// Keeps a state in this browser. Returns whether it has room for it.
    pub fn save(saved: &Saved) -> bool {
        let text = serde_json::to_string(saved).unwrap_or_default();
        local().is_some_and(|storage| storage.set_item(KEY, &text).is_ok())
    }

    /// Whether the page was opened by another link than before, and keeps that it was by `link`.
    pub fn is_new_link(link: &str) -> bool {
        let Some(storage) = local() else { return true };
        let before = storage.get_item(LINK).ok().flatten();
        storage.set_item(LINK, link).ok();
        before.as_deref() != Some(link)
    }

    /// Offers `bytes` as a download.
    pub fn download(name: &str, bytes: &[u8]) -> Option<()> {
        use web_sys::wasm_bindgen::JsCast;
        let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(bytes));
        let blob = web_sys::Blob::new_with_u8_array_sequence(&parts).ok()?;
        let address = web_sys::Url::create_object_url_with_blob(&blob).ok()?;
        let anchor = web_sys::window()?.document()?.create_element("a").ok()?;
        let anchor: web_sys::HtmlAnchorElement = anchor.dyn_into().ok()?;
        anchor.set_href(&address);
        anchor.set_download(name);
        anchor.click();
        web_sys::Url::revoke_object_url(&address).ok()
    }
}

#[cfg(target_arch = "wasm32")]
pub use browser::{is_new_link, load, save};

/// Name of the file of weights.
pub const FILE: &str = "ketformer-live.safetensors";

/// Downloads the weights, or writes them into the working directory, under a name that no file has. Returns a message.
pub fn export(weights: &Weights) -> std::result::Result<String, String> {
    let bytes = weights.to_bytes().map_err(|error| error.to_string())?;
    #[cfg(target_arch = "wasm32")]
    {
        let offered = browser::download(FILE, &bytes);
        offered.map(|()| format!("{FILE} is downloaded")).ok_or_else(|| "the browser refused the download".into())
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        let names =
            std::iter::once(FILE.to_string()).chain((2..).map(|number| FILE.replace(".s", &format!("-{number}.s"))));
        for name in names {
            match std::fs::File::create_new(&name).map(|mut file| std::io::Write::write_all(&mut file, &bytes)) {
                Ok(Ok(())) => return Ok(format!("{name} is written")),
                Ok(Err(error)) => return Err(format!("{name} could not be written: {error}")),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("{name} could not be made: {error}")),
            }
        }
        unreachable!("there are more names than files")
    }
}

#[cfg(test)]
mod tests {
    use ketformer::model::Tensor;

    use super::*;

    #[test]
    fn a_saved_state_comes_back() {
        let mut weights = Weights::default();
        weights.tensors.insert("a".into(), Tensor { shape: vec![2], values: vec![0.1, -2.0] });
        let settings = Settings { heads: 1, ..Settings::default() };
        let text = serde_json::to_string(&Saved::new(&settings, 7, &weights).unwrap()).unwrap();
        let back: Saved = serde_json::from_str(&text).unwrap();
        assert_eq!((back.settings.clone(), back.steps, back.weights()), (settings, 7, Some(weights)));
        let damaged = Saved { weights: "AAAA".into(), ..back };
        assert_eq!(damaged.weights(), None);
    }
}
