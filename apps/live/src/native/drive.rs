//! Input from lines of stdin in place of a mouse, for tests: each line is a JSON object.
//!
//! `{"move": [x, y]}`, `{"down": [x, y]}`, `{"up": [x, y]}` are events of the pointer, in points; `{"state": 0}` prints
//! the state of the app; `{"size": [w, h]}`, `{"minimize": true}` and `{"lose": 0}` resize and minimize the window and
//! destroy the device; `{"quit": 0}` closes the window.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};

use eframe::egui::{self, Event, Modifiers, PointerButton, ViewportCommand, pos2, vec2};
use serde_json::Value;

use crate::app::LiveApp;

/// Lines that were read and not yet executed. Windows after a lost device read the same ones.
fn lines() -> &'static Mutex<Receiver<Value>> {
    static LINES: OnceLock<Mutex<Receiver<Value>>> = OnceLock::new();
    LINES.get_or_init(|| {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap_or(Value::Null)).is_err() {
                    return;
                }
            }
            sender.send(serde_json::json!({"quit": 0})).ok();
        });
        Mutex::new(receiver)
    })
}

/// Executes the next line, and returns its events of the pointer.
pub fn next(app: &mut LiveApp, context: &egui::Context) -> Vec<Event> {
    let line = lines().lock().ok().and_then(|lines| lines.try_recv().ok());
    let Some(Value::Object(line)) = line else { return Vec::new() };
    let number = |value: &Value, at: usize| value.get(at).and_then(Value::as_f64).unwrap_or(0.0) as f32;
    let mut events = Vec::new();
    for (name, value) in &line {
        let at = pos2(number(value, 0), number(value, 1));
        let button = |pressed| Event::PointerButton {
            pos: at,
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        };
        match name.as_str() {
            "move" => events.push(Event::PointerMoved(at)),
            "down" => events.extend([Event::PointerMoved(at), button(true)]),
            "up" => events.extend([Event::PointerMoved(at), button(false)]),
            "state" => println!("{}", app.state()),
            "size" => context.send_viewport_cmd(ViewportCommand::InnerSize(vec2(at.x, at.y))),
            "minimize" => context.send_viewport_cmd(ViewportCommand::Minimized(value == &Value::Bool(true))),
            "lose" => app.lose_device(),
            "quit" => context.send_viewport_cmd(ViewportCommand::Close),
            _ => eprintln!("ketformer-live: unknown input {name}"),
        }
    }
    events
}
