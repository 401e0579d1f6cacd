//! Client of ChromeDriver: W3C WebDriver over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Flags without which a page has no picture of a canvas of WebGPU on Chromium's software driver.
const CANVAS_FLAGS: [&str; 3] = ["--enable-features=Vulkan", "--use-vulkan=swiftshader", "--use-angle=swiftshader"];

/// A browser with one page.
pub struct Browser {
    driver: Child,
    /// Kept, because the driver ends if nobody can read its output.
    _output: BufReader<ChildStdout>,
    port: u16,
    session: String,
    /// Where files are saved.
    pub downloads: TempDir,
}

fn moved([x, y]: [f64; 2]) -> Value {
    json!({"type": "pointerMove", "duration": 100, "x": x as i64, "y": y as i64})
}

fn press() -> [Value; 2] {
    ["pointerDown", "pointerUp"].map(|action| json!({"type": action, "button": 0}))
}

impl Browser {
    /// Starts ChromeDriver on a free port and a browser with `more` flags. `has_webgpu`: whether with those of WebGPU.
    pub fn start(size: [u32; 2], has_webgpu: bool) -> Self {
        let program = std::env::var_os("CHROMEDRIVER").unwrap_or("chromedriver".into());
        let mut driver = Command::new(program).arg("--port=0").stdout(Stdio::piped()).spawn().expect("chromedriver");
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let port = (&mut output).lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let port = port.expect("chromedriver names its port");
        let downloads = tempfile::tempdir().unwrap();
        let folder = downloads.path().to_str().unwrap().to_string();
        let mut browser = Self { driver, _output: output, port, session: String::new(), downloads };
        let mut capabilities: Value =
            serde_json::from_str(include_str!("../../../../.ci/browser/webdriver.json")).unwrap();
        let flags = capabilities["goog:chromeOptions"]["args"].as_array_mut().unwrap();
        flags.retain(|flag| has_webgpu || !flag.as_str().unwrap().contains("webgpu"));
        flags.extend(CANVAS_FLAGS.iter().filter(|_| has_webgpu).map(|flag| Value::from(*flag)));
        flags.push(format!("--window-size={},{}", size[0], size[1]).into());
        capabilities["goog:chromeOptions"]["prefs"] = json!({"download.default_directory": folder});
        capabilities["goog:loggingPrefs"] = json!({"browser": "ALL"});
        let made = browser.request("POST", "/session", json!({"capabilities": {"alwaysMatch": capabilities}}));
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    fn request(&self, method: &str, path: &str, body: Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let (port, length) = (self.port, body.len());
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(("content-length", value)) = line.to_lowercase().split_once(':') {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes).unwrap();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {}", answer["value"]);
        answer["value"].clone()
    }

    fn command(&self, path: &str, body: Value) -> Value {
        self.request("POST", &format!("{}{path}", self.session), body)
    }

    /// Opens `address`.
    pub fn open(&self, address: &str) {
        self.command("/url", json!({"url": address}));
    }

    /// Result of a script, which returns it.
    pub fn script(&self, script: &str) -> Value {
        self.command("/execute/sync", json!({"script": script, "args": []}))
    }

    /// State of the app; null before it has started.
    pub fn state(&self) -> Value {
        let text = self.script("return window.ketformer ? window.ketformer.state() : null");
        text.as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    /// Actions of the mouse.
    fn mouse(&self, actions: &[Value]) {
        let mouse =
            json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions});
        self.command("/actions", json!({"actions": [mouse]}));
    }

    /// Presses the mouse at `from` and releases it at `to`.
    pub fn drag(&self, from: [f64; 2], to: [f64; 2]) {
        let (pause, [down, up]) = (json!({"type": "pause", "duration": 300}), press());
        self.mouse(&[moved(from), down, pause.clone(), moved(to), pause, up]);
    }

    /// Clicks at `place`. What lasts longer than 0.8 s is no click for egui.
    pub fn click(&self, place: [f64; 2]) {
        let [down, up] = press();
        self.mouse(&[moved(place), json!({"type": "pause", "duration": 300}), down, up]);
    }

    /// Sets the size of the window.
    pub fn resize(&self, [width, height]: [u32; 2]) {
        self.command("/window/rect", json!({"width": width, "height": height}));
    }

    /// Shows another tab, calls `action`, and shows the page again.
    pub fn while_hidden(&self, action: impl FnOnce()) {
        let page = self.request("GET", &format!("{}/window", self.session), Value::Null);
        let other = self.command("/window/new", json!({"type": "tab"}))["handle"].clone();
        self.command("/window", json!({"handle": other}));
        action();
        self.request("DELETE", &format!("{}/window", self.session), Value::Null);
        self.command("/window", json!({"handle": page}));
    }

    /// The page as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let text = self.request("GET", &format!("{}/screenshot", self.session), Value::Null);
        STANDARD.decode(text.as_str().unwrap()).unwrap()
    }

    /// Messages of the console since the last call, each with its level.
    pub fn console(&self) -> Vec<[String; 2]> {
        let entries = self.command("/se/log", json!({"type": "browser"}));
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_string();
        entries.as_array().unwrap().iter().map(|entry| [text(entry, "level"), text(entry, "message")]).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser outlives its driver, unless the session is closed first.
        let request = format!(
            "DELETE {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.session
        );
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port))
            && stream.write_all(request.as_bytes()).is_ok()
        {
            // The driver answers after the browser has ended, and keeps the connection open.
            stream.read_exact(&mut [0; 1]).ok();
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
