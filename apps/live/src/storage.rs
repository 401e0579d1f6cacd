//! What outlives a reload of the page, a lost device, or the app: settings and the state of the trainer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ketformer::Result;
use ketformer::model::Weights;
use ketformer::vmc::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// State of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Settings.
    pub settings: Settings,
    /// Steps so far, with all settings.
    pub steps: u64,
    /// State of the trainer; `None` before the first step.
    trainer: Option<Trainer>,
}

/// [`Checkpoint`] with tensors as safetensors files in base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Trainer {
    step: u64,
    weights: String,
    optimizer: String,
    chains: Vec<u32>,
}

fn encoded(weights: &Weights) -> Result<String> {
    Ok(STANDARD.encode(weights.to_bytes()?))
}

fn decoded(text: &str) -> Option<Weights> {
    Weights::from_bytes("saved weights", &STANDARD.decode(text).ok()?).ok()
}

impl Saved {
    /// The state after `steps` steps.
    ///
    /// # Errors
    /// As [`Weights::to_bytes`].
    pub fn new(settings: &Settings, steps: u64, checkpoint: &Checkpoint) -> Result<Self> {
        let trainer = Trainer {
            step: checkpoint.step,
            weights: encoded(&checkpoint.weights)?,
            optimizer: encoded(&checkpoint.optimizer)?,
            chains: checkpoint.chains.clone(),
        };
        Ok(Self { settings: settings.clone(), steps, trainer: Some(trainer) })
    }

    /// The beginning of a run with `settings`.
    pub fn begin(settings: Settings) -> Self {
        Self { settings, steps: 0, trainer: None }
    }

    /// The state of the trainer; `None` if there is none or it is damaged.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let Trainer { step, weights, optimizer, chains } = self.trainer.as_ref()?;
        let (weights, optimizer) = (decoded(weights)?, decoded(optimizer)?);
        Some(Checkpoint { step: *step, weights, optimizer, chains: chains.clone() })
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

/// Downloads the weights, or writes them as [`offer`] does. Returns a message.
pub fn export(weights: &Weights) -> std::result::Result<String, String> {
    offer(FILE, &weights.to_bytes().map_err(|error| error.to_string())?)
}

/// Downloads a file, or writes it into the working directory, under a name that no file has. Returns a message.
pub fn offer(file: &str, bytes: &[u8]) -> std::result::Result<String, String> {
    #[cfg(target_arch = "wasm32")]
    {
        let offered = browser::download(file, bytes);
        offered.map(|()| format!("{file} is downloaded")).ok_or_else(|| "the browser refused the download".into())
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        let numbered = (2..).map(|number| format!("{stem}-{number}.{extension}"));
        for name in std::iter::once(file.to_string()).chain(numbered) {
            match std::fs::File::create_new(&name).map(|mut file| std::io::Write::write_all(&mut file, bytes)) {
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
        let one = |name: &str, value: f32| Weights {
            tensors: [(name.to_string(), Tensor { shape: vec![2], values: vec![value, -2.0] })].into(),
        };
        let (weights, optimizer) = (one("a", 0.1), one("adam.first.a", 0.3));
        let checkpoint = Checkpoint { step: 5, weights, optimizer, chains: vec![1, 0] };
        let saved = Saved::new(&Settings { heads: 1, ..Settings::default() }, 7, &checkpoint).unwrap();
        let mut text = serde_json::to_value(&saved).unwrap();
        let back: Saved = serde_json::from_value(text.clone()).unwrap();
        assert_eq!((back.checkpoint(), back), (Some(checkpoint), saved));
        text["trainer"]["weights"] = "AAAA".into();
        assert_eq!(serde_json::from_value::<Saved>(text).unwrap().checkpoint(), None);
    }
}
