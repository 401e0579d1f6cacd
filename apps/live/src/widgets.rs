//! Places of widgets on the screen, for tests that drive the app.

use std::collections::BTreeMap;

use eframe::egui::Rect;

/// Rectangles of widgets in the present frame, by name.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<String, Rect>);

impl Places {
    /// Forgets all places, at the beginning of a frame.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds the widget `name`.
    pub fn add(&mut self, name: &str, rect: Rect) {
        self.0.insert(name.into(), rect);
    }

    /// All places as [left, top, right, bottom], in points.
    pub fn json(&self) -> serde_json::Value {
        let sides = |rect: &Rect| [rect.left(), rect.top(), rect.right(), rect.bottom()];
        self.0.iter().map(|(name, rect)| (name.clone(), serde_json::json!(sides(rect)))).collect()
    }
}
